// SPDX-License-Identifier: Apache-2.0
// Why a response is what it is, as Envoy's access logs and Istio's metrics name it: short flags,
// and the details token of local replies.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "lib/base/arena.h"

namespace meltemi::proxy {

// In Envoy's bit order. They are printed in the order they were set in, as Envoy does.
enum class ResponseFlag : uint8_t {
#define MELTEMI_FLAG(id, short_name, long_name) id,
#include "proxy/http/response_flags.def"
#undef MELTEMI_FLAG
  kCount
};

class ResponseFlags final {
 public:
  void Set(ResponseFlag flag) {
    if (Has(flag)) return;
    bits_ |= uint32_t{1} << static_cast<int>(flag);
    if (count_ < kOrderedMax) order_[count_++] = flag;
  }
  bool Has(ResponseFlag flag) const { return bits_ >> static_cast<int>(flag) & 1; }
  bool empty() const { return bits_ == 0; }
  uint32_t bits() const { return bits_; }
  // "URX,UF", or "-"; no heap for one flag.
  std::string_view Short(Arena& arena) const;
  std::string_view Long(Arena& arena) const;

 private:
  static constexpr size_t kOrderedMax = 11;  // later ones are not printed
  uint32_t bits_ = 0;
  uint8_t count_ = 0;
  std::array<ResponseFlag, kOrderedMax> order_{};
};

}  // namespace meltemi::proxy
