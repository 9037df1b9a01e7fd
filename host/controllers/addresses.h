// SPDX-License-Identifier: Apache-2.0
// Workload addresses of one mesh, from 127.77.0.0/16. Several meshes, of several users, may share
// the machine: each starts in a /24 of its own (by its name and user), and an address is taken only
// when its ports are free.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::host {

class Addresses final {
 public:
  explicit Addresses(const std::string& seed);

  // An address on which `ports` can be bound now. ResourceExhausted when there is none left.
  StatusOr<std::string> Take(const std::vector<uint16_t>& ports);
  void Release(const std::string& ip) { taken_.erase(ip); }

 private:
  uint32_t next_;  // offset in the /16
  std::set<std::string> taken_;
};

// Whether `ip`:`port` can be bound now (TCP).
bool IsPortFree(const std::string& ip, uint16_t port);

}  // namespace meltemi::host
