// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/http_date.h"

#include <fmt/format.h>

#include <ctime>

namespace meltemi::proxy {
namespace {

constexpr size_t kDateBytes = 29;  // "Sun, 06 Nov 1994 08:49:37 GMT"
constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string_view HttpDate::At(WallTime time) {
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  if (second != second_) {
    second_ = second;
    const time_t seconds = second;
    tm utc{};
    gmtime_r(&seconds, &utc);
    fmt::format_to_n(text_, sizeof text_, "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
  }
  return {text_, kDateBytes};
}

}  // namespace meltemi::proxy
