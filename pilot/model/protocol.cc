// SPDX-License-Identifier: Apache-2.0
// What a port speaks, from what its Service or ServiceEntry says.
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "pilot/model/service.h"

namespace meltemi::pilot {
namespace {

constexpr std::array<std::pair<std::string_view, Protocol>, 15> kNames = {{
    {"http", Protocol::kHttp},
    {"http2", Protocol::kHttp2},
    {"grpc", Protocol::kGrpc},
    {"grpc-web", Protocol::kGrpcWeb},
    {"https", Protocol::kHttps},
    {"http_proxy", Protocol::kHttpProxy},
    {"tls", Protocol::kTls},
    {"tcp", Protocol::kTcp},
    {"udp", Protocol::kUdp},
    {"mongo", Protocol::kMongo},
    {"redis", Protocol::kRedis},
    {"mysql", Protocol::kMysql},
    // Values of Kubernetes' appProtocol (KEP-3726).
    {"kubernetes.io/h2c", Protocol::kHttp2},
    {"kubernetes.io/ws", Protocol::kHttp},
    {"kubernetes.io/wss", Protocol::kHttps},
}};
constexpr std::string_view kGrpcWeb = "grpc-web";

// Servers that speak first, or whose clients wait: detection would hang them.
constexpr bool IsServerFirst(uint32_t port) {
  return port == 25 || port == 53 || port == 3306 || port == 27017;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

}  // namespace

Protocol ParseProtocol(std::string_view text) {
  const std::string lower = Lower(text);
  for (const auto& [name, protocol] : kNames) {
    if (name == lower) return protocol;
  }
  return Protocol::kUnsupported;
}

Protocol ProtocolOf(std::string_view app_protocol, std::string_view name, uint32_t number,
                    bool is_udp) {
  if (is_udp) return Protocol::kUdp;
  const std::string_view text = app_protocol.empty() ? name : app_protocol;
  if (app_protocol.starts_with("kubernetes.io/")) {
    if (const Protocol p = ParseProtocol(text); p != Protocol::kUnsupported) return p;
  }
  const bool is_grpc_web = Lower(text.substr(0, kGrpcWeb.size())) == kGrpcWeb;
  const Protocol protocol =
      is_grpc_web ? Protocol::kGrpcWeb : ParseProtocol(text.substr(0, text.find('-')));
  if (protocol == Protocol::kUnsupported && IsServerFirst(number)) return Protocol::kTcp;
  return protocol;
}

}  // namespace meltemi::pilot
