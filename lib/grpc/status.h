// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace meltemi::grpc {

// gRPC status codes (the numbers are the protocol's); equal to absl::StatusCode by value.
struct CallStatus {
  int code = 0;
  std::string message;
  bool ok() const { return code == 0; }
};

}  // namespace meltemi::grpc
