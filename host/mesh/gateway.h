// SPDX-License-Identifier: Apache-2.0
// The ingress gateway of a mesh on one machine: Istio's names and labels, with ports an ordinary
// user may bind. Immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "host/controllers/json.h"
#include "host/controllers/pods.h"

namespace meltemi::host {

class Gateway final {
 public:
  Gateway(uint16_t port, uint16_t tls_port) : port_(port), tls_port_(tls_port) {}

  // Namespace, ServiceAccount and Service. The Service's ports 80 and 8080 have the machine's HTTP
  // port as target, 443 and 8443 its HTTPS port.
  std::vector<Json> Objects() const;
  PodRequest Pod() const;

 private:
  uint16_t port_, tls_port_;
};

}  // namespace meltemi::host
