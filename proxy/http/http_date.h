// SPDX-License-Identifier: Apache-2.0
// The value of `date` (RFC 9110 §5.6.7), made once a second. Worker-local.
#pragma once

#include <string_view>

#include "lib/base/clock.h"

namespace meltemi::proxy {

class HttpDate final {
 public:
  // Valid until the next call.
  std::string_view At(WallTime time);

 private:
  int64_t second_ = -1;
  char text_[32] = {};
};

}  // namespace meltemi::proxy
