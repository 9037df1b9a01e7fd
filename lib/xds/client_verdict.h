// SPDX-License-Identifier: Apache-2.0
// What a request of either form says of the response `nonce`: taken (no error), or refused and why.
#pragma once

#include <string>

namespace meltemi::xds {

template <typename Request>
std::string WithVerdict(Request request, const std::string& nonce, const std::string& error) {
  constexpr int kInvalidArgument = 3;
  request.set_response_nonce(nonce);
  if (!error.empty()) {
    request.mutable_error_detail()->set_code(kInvalidArgument);
    request.mutable_error_detail()->set_message(error);
  }
  return request.SerializeAsString();
}

}  // namespace meltemi::xds
