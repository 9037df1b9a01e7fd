// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/names.h"

#include <fmt/format.h>

#include <charconv>

namespace meltemi::pilot {

std::string ClusterName::text() const {
  return fmt::format("{}|{}|{}|{}", is_inbound ? "inbound" : "outbound", port, subset, host);
}

std::optional<ClusterName> ClusterName::Parse(std::string_view text) {
  ClusterName name;
  constexpr std::string_view kInbound = "inbound|", kOutbound = "outbound|";
  if (text.starts_with(kInbound)) {
    name.is_inbound = true;
    text.remove_prefix(kInbound.size());
  } else if (text.starts_with(kOutbound)) {
    text.remove_prefix(kOutbound.size());
  } else {
    return std::nullopt;
  }
  const size_t first = text.find('|');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = text.find('|', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + first, name.port);
  if (error != std::errc() || end != text.data() + first || name.port > 65535) return std::nullopt;
  name.subset = text.substr(first + 1, second - first - 1);
  name.host = text.substr(second + 1);
  return name;
}

std::string SniOf(const ClusterName& cluster) {
  return fmt::format("{}_.{}_.{}_.{}", cluster.is_inbound ? "inbound" : "outbound", cluster.port,
                     cluster.subset, cluster.host);
}

}  // namespace meltemi::pilot
