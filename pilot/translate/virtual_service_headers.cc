// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/virtual_service_headers.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace meltemi::pilot {
namespace {

using envoy::config::core::v3::HeaderValueOption;

bool IsAuthority(std::string_view name) {
  constexpr std::string_view kHost = "host";
  const auto is_equal = [](char a, char b) { return (a | 0x20) == b; };
  return name == ":authority" ||
         std::equal(name.begin(), name.end(), kHost.begin(), kHost.end(), is_equal);
}

template <typename Map>
void AddSorted(const Map& from, HeaderValueOption::HeaderAppendAction action, HeaderOptions& to) {
  std::vector<std::pair<std::string_view, std::string_view>> sorted(from.begin(), from.end());
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [name, value] : sorted) {
    if (IsAuthority(name) || name.starts_with(':')) continue;
    HeaderValueOption& option = *to.Add();
    option.mutable_header()->set_key(std::string(name));
    option.mutable_header()->set_value(std::string(value));
    option.set_append_action(action);
  }
}

template <typename Map>
std::string FindAuthority(const Map& map) {
  std::string found;
  for (const auto& [name, value] : map) {
    // Of two spellings the pseudo header wins, whatever the order of the map.
    if (IsAuthority(name) && (found.empty() || name == ":authority")) found = value;
  }
  return found;
}

}  // namespace

void AddHeaders(const istio::networking::v1::Headers::HeaderOperations& from, HeaderOptions& to) {
  AddSorted(from.set(), HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD, to);
  AddSorted(from.add(), HeaderValueOption::APPEND_IF_EXISTS_OR_ADD, to);
}

std::string AuthorityOf(const istio::networking::v1::Headers& headers) {
  std::string set = FindAuthority(headers.request().set());
  return set.empty() ? FindAuthority(headers.request().add()) : set;
}

}  // namespace meltemi::pilot
