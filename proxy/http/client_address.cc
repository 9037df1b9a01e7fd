// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/client_address.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lib/net/address.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

constexpr std::string_view kForwardedPort = "x-forwarded-port";

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Takes the last entry off a list of addresses.
std::string_view TakeLast(std::string_view& list) {
  const size_t comma = list.rfind(',');
  const std::string_view last = comma == std::string_view::npos ? list : list.substr(comma + 1);
  list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
  return Trim(last);
}

bool IsIn(const std::vector<IpRange>& ranges, const net::Address& address) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const IpRange& range) { return range.Contains(address.ip_bytes()); });
}

struct Entry {
  std::string_view ip;  // "" = none that is an address
  net::Address address;
  bool is_only = false;  // the list had no other
};

// The entry that `hops` trusted proxies stand behind.
Entry EntryBehindHops(std::string_view list, uint32_t hops) {
  for (uint32_t i = 0; i < hops; ++i) {
    if (list.find(',') == std::string_view::npos) return {};
    TakeLast(list);
  }
  const std::string_view ip = TakeLast(list);
  const StatusOr<net::Address> address = net::Address::ParseIp(ip, 0);
  if (!address.ok()) return {};
  return {ip, *address, hops == 0 && list.empty()};
}

// The last entry that is not a trusted proxy's; the first one when all are.
Entry EntryBehindRanges(std::string_view list, const std::vector<IpRange>& trusted) {
  const bool is_only = list.find(',') == std::string_view::npos;
  Entry found;
  while (!list.empty()) {
    const std::string_view ip = TakeLast(list);
    if (ip.empty()) continue;
    const StatusOr<net::Address> address = net::Address::ParseIp(ip, 0);
    if (!address.ok()) {
      found.is_only = false;
      return found;
    }
    found = {ip, *address, is_only};
    if (!IsIn(trusted, *address)) return found;
  }
  return found;
}

void AppendPeer(const DownstreamFacts& downstream, std::string_view list,
                http::HeaderMap& headers) {
  char ip[net::Address::kTextBytesMax];
  const std::string_view peer(ip, downstream.remote.WriteIp(ip));
  if (peer.empty()) return;
  if (list.empty()) return headers.Set(HeaderId::kXForwardedFor, peer);
  char* const text = headers.arena().Allocate(list.size() + 1 + peer.size());
  std::memcpy(text, list.data(), list.size());
  text[list.size()] = ',';
  std::memcpy(text + list.size() + 1, peer.data(), peer.size());
  headers.Set(HeaderId::kXForwardedFor, {text, list.size() + 1 + peer.size()});
}

}  // namespace

bool IpRange::Contains(std::string_view ip_bytes) const {
  if (ip_bytes.size() != bytes.size()) return false;
  const size_t whole = prefix_bits / 8;
  if (ip_bytes.substr(0, whole) != std::string_view(bytes).substr(0, whole)) return false;
  const uint32_t rest = prefix_bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - rest));
  return ((static_cast<uint8_t>(ip_bytes[whole]) ^ static_cast<uint8_t>(bytes[whole])) & mask) == 0;
}

Client ResolveClient(const HttpOptions& options, const DownstreamFacts& downstream,
                     http::HeaderMap& headers) {
  const bool has_list = headers.Find(HeaderId::kXForwardedFor) != nullptr;
  const bool appends =
      options.uses_remote_address ? !options.skips_xff_append : options.appends_xff_without_remote;
  if (!has_list && !options.uses_remote_address && !appends) return {};
  const std::string_view list = has_list ? headers.Joined("x-forwarded-for") : std::string_view();
  Entry entry;
  bool may_be_internal = false;
  if (options.uses_remote_address) {
    if (options.xff_trusted_hops > 0) entry = EntryBehindHops(list, options.xff_trusted_hops - 1);
    may_be_internal = !has_list;
  } else {
    const bool is_trusted =
        options.xff_trusted_ranges.empty() || IsIn(options.xff_trusted_ranges, downstream.remote);
    if (is_trusted && has_list) {
      entry = options.xff_trusted_ranges.empty()
                  ? EntryBehindHops(list, options.xff_trusted_hops)
                  : EntryBehindRanges(list, options.xff_trusted_ranges);
    }
    may_be_internal = entry.is_only;
  }
  if (appends) AppendPeer(downstream, list, headers);
  const net::Address& address = entry.ip.empty() ? downstream.remote : entry.address;
  return {entry.ip, may_be_internal && IsIn(options.internal_ranges, address)};
}

void SetForwardedProto(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::RequestHead& head) {
  http::HeaderMap& headers = head.headers;
  const std::string_view transport = downstream.is_tls ? "https" : "http";
  const bool trusts_given = !options.uses_remote_address || options.xff_trusted_hops > 0;
  const std::string_view* given = headers.Find(HeaderId::kXForwardedProto);
  if (given != nullptr && trusts_given && !given->empty()) {
    head.scheme = *given == "http" || *given == "https" ? *given : transport;
  } else {
    head.scheme = transport;
    if (given != nullptr) headers.Remove(HeaderId::kXForwardedProto);
    headers.AddBorrowed(HeaderId::kXForwardedProto, http::HeaderName(HeaderId::kXForwardedProto),
                        transport);
  }
  if (!options.scheme_overwrite.empty()) head.scheme = options.scheme_overwrite;
  if (!options.appends_forwarded_port) return;
  if (trusts_given && headers.Find(kForwardedPort) != nullptr) return;
  const fmt::format_int port(downstream.local.port());
  headers.Set(kForwardedPort, {port.data(), port.size()});
}

}  // namespace meltemi::proxy
