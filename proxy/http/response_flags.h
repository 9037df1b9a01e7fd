// SPDX-License-Identifier: Apache-2.0
// Why a response is what it is, as Envoy's access logs and Istio's metrics name it: short flags,
// and the details token of local replies.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/arena.h"

namespace meltemi::proxy {

// In Envoy's bit order, which is the order they are printed in.
enum class ResponseFlag : uint8_t {
#define MELTEMI_FLAG(id, short_name, long_name) id,
#include "proxy/http/response_flags.def"
#undef MELTEMI_FLAG
  kCount
};

class ResponseFlags final {
 public:
  void Set(ResponseFlag flag) { bits_ |= uint32_t{1} << static_cast<int>(flag); }
  bool Has(ResponseFlag flag) const { return bits_ >> static_cast<int>(flag) & 1; }
  bool empty() const { return bits_ == 0; }
  uint32_t bits() const { return bits_; }
  // "UF,URX", or "-"; no heap for one flag.
  std::string_view Short(Arena& arena) const;
  std::string_view Long(Arena& arena) const;

 private:
  uint32_t bits_ = 0;
};

}  // namespace meltemi::proxy
