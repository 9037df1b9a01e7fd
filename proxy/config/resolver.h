// SPDX-License-Identifier: Apache-2.0
// Names to addresses for DNS clusters. Control thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/address.h"

namespace meltemi::proxy {

class NameResolver {
 public:
  enum class Family : uint8_t { kAny, kV4, kV6 };
  using Answer = std::function<void(StatusOr<std::vector<net::Address>>)>;
  virtual ~NameResolver() = default;
  // `answer` runs once, later, from the loop. Addresses carry port zero.
  virtual void Resolve(const std::string& name, Family family, Answer answer) = 0;
};

}  // namespace meltemi::proxy
