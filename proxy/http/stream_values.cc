// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/stream_values.h"

#include <fmt/format.h>

#include <ctime>

namespace meltemi::proxy {
namespace {

std::string_view Number(int64_t number, Arena& arena) {
  const fmt::format_int text(number);
  return arena.Copy({text.data(), text.size()});
}

std::string_view AddressText(const net::Address& address, Arena& arena) {
  char text[net::Address::kTextBytesMax];
  return arena.Copy({text, address.WriteText(text)});
}

std::string_view IpText(const net::Address& address, Arena& arena) {
  char text[net::Address::kTextBytesMax];
  return arena.Copy({text, address.WriteIp(text)});
}

}  // namespace

std::string_view FormatTime(WallTime time, Arena& arena) {
  const auto since = time.time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
  const time_t seconds = milliseconds / 1000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  const auto end = fmt::format_to_n(text, sizeof text, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                                    utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                                    utc.tm_min, utc.tm_sec, milliseconds % 1000);
  return arena.Copy({text, end.size});
}

std::string_view StreamValues::Value(routing::ValueCommand command, std::string_view,
                                     Arena& arena) const {
  using Command = routing::ValueCommand;
  const DownstreamFacts& down = *info_.downstream;
  switch (command) {
    case Command::kRequestHeader:
    case Command::kResponseHeader:
      return {};
    case Command::kConnectionId:
      return Number(static_cast<int64_t>(down.id), arena);
    case Command::kDownstreamDirectRemoteAddress:
      return AddressText(down.direct_remote(), arena);
    case Command::kDownstreamDirectRemoteAddressWithoutPort:
      return IpText(down.direct_remote(), arena);
    case Command::kDownstreamLocalAddress:
      return AddressText(down.local, arena);
    case Command::kDownstreamLocalAddressWithoutPort:
      return IpText(down.local, arena);
    case Command::kDownstreamLocalPort:
      return Number(down.local.port(), arena);
    case Command::kDownstreamPeerSubject:
      return down.peer_subject();
    case Command::kDownstreamPeerUriSan:
      return down.peer_uri_san();
    case Command::kDownstreamRemoteAddress:
      return info_.client_ip.empty() ? AddressText(down.remote, arena) : info_.client_ip;
    case Command::kDownstreamRemoteAddressWithoutPort:
      return info_.client_ip.empty() ? IpText(down.remote, arena) : info_.client_ip;
    case Command::kDownstreamRemotePort:
      return info_.client_ip.empty() ? Number(down.remote.port(), arena) : "0";
    case Command::kDownstreamTlsCipher:
      return down.tls_cipher();
    case Command::kDownstreamTlsVersion:
      return down.tls_version();
    case Command::kProtocol:
      return http::ProtocolName(info_.request->protocol);
    case Command::kRequestedServerName:
      return down.server_name();
    case Command::kResponseCode:
      return Number(info_.status, arena);
    case Command::kResponseCodeDetails:
      return info_.details;
    case Command::kResponseFlags:
      return info_.flags.Short(arena);
    case Command::kRouteName:
      return info_.route.route == nullptr ? std::string_view() : info_.route.route->name;
    case Command::kStartTime:
      return FormatTime(info_.start_wall, arena);
    case Command::kUpstreamCluster:
      return info_.cluster_name;
    case Command::kUpstreamHost:
    case Command::kUpstreamRemoteAddress:
      return AddressText(info_.upstream_address, arena);
  }
  return {};
}

}  // namespace meltemi::proxy
