// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/log_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace meltemi::proxy {
namespace {

using telemetry::LogCommand;
using telemetry::LogField;

bool Put(std::string_view value, std::string& out) {
  out.append(value);
  return !value.empty();
}

bool Put(int64_t number, std::string& out) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
  return true;
}

bool PutAddress(const net::Address& address, std::string& out) {
  char text[net::Address::kTextBytesMax];
  return Put({text, address.WriteText(text)}, out);
}

bool PutIp(const net::Address& address, std::string& out) {
  char text[net::Address::kTextBytesMax];
  return Put({text, address.WriteIp(text)}, out);
}

// Envoy does the same, for whoever splits lines at spaces.
bool PutWord(std::string_view text, std::string& out) {
  const size_t begin = out.size();
  out.append(text);
  std::replace(out.begin() + static_cast<ptrdiff_t>(begin), out.end(), ' ', '_');
  return !text.empty();
}

bool PutSpan(MonotonicTime from, MonotonicTime to, std::string& out) {
  if (from == MonotonicTime{} || to == MonotonicTime{}) return false;
  return Put(std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count(), out);
}

std::optional<std::string_view> RequestValue(const StreamInfo& info, std::string_view name) {
  const http::RequestHead& head = *info.request;
  if (name.empty()) return std::nullopt;
  if (name == ":path") return info.original_path.empty() ? head.path : info.original_path;
  if (name == ":method") return head.method;
  if (name == ":scheme") return head.scheme;
  if (name == ":authority" || name == "host") return head.authority;
  const std::string_view* value = head.headers.Find(name);
  if (value == nullptr) return std::nullopt;
  return *value;
}

// Response heads die with their stream, so what logs ask for was kept.
std::optional<std::string_view> ResponseValue(const StreamInfo& info, std::string_view name) {
  if (name == "x-envoy-upstream-service-time" && !info.upstream_service_time.empty()) {
    return info.upstream_service_time;
  }
  for (const StreamInfo::KeptHeader& kept : info.kept_headers) {
    if (kept.name == name) return kept.value;
  }
  return std::nullopt;
}

// The one filter state there is: what came back of the request for a tunnel. "key" or "key:TYPED".
std::string_view TunnelAnswer(const StreamInfo& info, std::string_view argument) {
  constexpr std::string_view kPrefix = "envoy.tcp_proxy.propagate_response_";
  if (!argument.starts_with(kPrefix)) return {};
  argument.remove_prefix(kPrefix.size());
  if (argument == "headers" || argument == "headers:TYPED") return info.tunnel_headers;
  if (argument == "trailers" || argument == "trailers:TYPED") return info.tunnel_trailers;
  return {};
}

// `path` = "namespace:key".
bool PutFact(const DownstreamFacts& down, std::string_view path, std::string& out) {
  if (down.proxy_header() == nullptr) return false;
  const size_t colon = path.find(':');
  if (colon == std::string_view::npos) return false;
  for (const net::ProxyHeader::Fact& fact : down.proxy_header()->facts) {
    if (fact.space == path.substr(0, colon) && fact.key == path.substr(colon + 1)) {
      return Put(fact.value, out);
    }
  }
  return false;
}

}  // namespace

bool StreamLogValues::Append(const LogCommand& command, std::string& out) const {
  switch (command.field) {
    case LogField::kReq:
    case LogField::kReqWithoutQuery: {
      auto value = RequestValue(info_, command.argument);
      if (!value.has_value() || value->empty()) value = RequestValue(info_, command.alternative);
      if (!value.has_value()) return false;
      if (command.field == LogField::kReqWithoutQuery) *value = value->substr(0, value->find('?'));
      return Put(*value, out);
    }
    case LogField::kResp: {
      auto value = ResponseValue(info_, command.argument);
      if (!value.has_value()) value = ResponseValue(info_, command.alternative);
      return value.has_value() && Put(*value, out);
    }
    case LogField::kAccessLogType:
      return Put(info_.log_type, out);
    case LogField::kBytesReceived:
      return Put(static_cast<int64_t>(info_.request_body_bytes), out);
    case LogField::kBytesSent:
      return Put(static_cast<int64_t>(info_.response_body_bytes), out);
    case LogField::kLocalReplyBody:
      out.append(info_.local_reply_body);
      return true;
    case LogField::kProtocol:
      return !info_.is_tcp && Put(http::ProtocolName(info_.request->protocol), out);
    case LogField::kResponseCode:
      return Put(info_.status, out);
    case LogField::kResponseCodeDetails:
      return Put(info_.details, out);
    case LogField::kResponseFlags:
      return Put(info_.flags.Short(*info_.arena), out);
    case LogField::kResponseFlagsLong:
      return Put(info_.flags.Long(*info_.arena), out);
    case LogField::kConnectionTerminationDetails:
      return Put(info_.termination_details, out);
    case LogField::kRouteName:
      return info_.route.route != nullptr && Put(info_.route.route->name, out);
    case LogField::kGrpcStatus:
    case LogField::kGrpcStatusNumber:
      return Put(info_.grpc_status, out);
    case LogField::kStreamId:
      return Put(info_.request->headers.Get(http::HeaderId::kXRequestId), out);
    default:
      return AppendTimes(command, out) || AppendUpstream(command, out) ||
             AppendDownstream(command, out);
  }
}

bool StreamLogValues::AppendTimes(const LogCommand& command, std::string& out) const {
  switch (command.field) {
    case LogField::kStartTime:
      telemetry::AppendTime(info_.start_wall, command.argument, out);
      return true;
    case LogField::kDuration:
      return PutSpan(info_.start, info_.end, out);
    case LogField::kRequestDuration:
      return PutSpan(info_.start, info_.request_end, out);
    case LogField::kResponseDuration:
      return PutSpan(info_.start, info_.response_start, out);
    case LogField::kResponseTxDuration:
      return PutSpan(info_.response_start, info_.end, out);
    default:
      return false;
  }
}

bool StreamLogValues::AppendUpstream(const LogCommand& command, std::string& out) const {
  switch (command.field) {
    case LogField::kUpstreamCluster:
    case LogField::kUpstreamClusterRaw:
      return Put(info_.cluster_name, out);
    case LogField::kUpstreamHost:
    case LogField::kUpstreamRemoteAddress:
      return PutAddress(info_.upstream_address, out);
    case LogField::kUpstreamLocalAddress:
      return PutAddress(info_.upstream_local, out);
    case LogField::kUpstreamPeerUriSan:
      return Put(info_.upstream_uri_san, out);
    case LogField::kUpstreamRequestAttemptCount:
      return Put(info_.attempts, out);
    case LogField::kUpstreamTransportFailureReason:
      return Put(info_.upstream_failure, out);
    default:
      return false;
  }
}

bool StreamLogValues::AppendDownstream(const LogCommand& command, std::string& out) const {
  const DownstreamFacts& down = *info_.downstream;
  switch (command.field) {
    case LogField::kConnectionId:
      return Put(static_cast<int64_t>(down.id >> 1), out);
    case LogField::kDownstreamDirectRemoteAddress:
      return PutAddress(down.direct_remote(), out);
    case LogField::kDownstreamRemoteAddress:  // one from X-Forwarded-For has no port
      return info_.client_ip.empty() ? PutAddress(down.remote, out) : Put(info_.client_ip, out);
    case LogField::kDownstreamRemoteAddressWithoutPort:
      return info_.client_ip.empty() ? PutIp(down.remote, out) : Put(info_.client_ip, out);
    case LogField::kDownstreamRemotePort:
      return Put(info_.client_ip.empty() ? down.remote.port() : 0, out);
    case LogField::kDownstreamLocalAddress:
      return PutAddress(down.local, out);
    case LogField::kDownstreamLocalAddressWithoutPort:
      return PutIp(down.local, out);
    case LogField::kDownstreamLocalPort:
      return Put(down.local.port(), out);
    case LogField::kDownstreamLocalUriSan:
      return Put(down.local_uri_san(), out);
    case LogField::kDownstreamPeerSubject:
      return Put(down.peer_subject(), out);
    case LogField::kDownstreamPeerUriSan:
      return Put(down.peer_uri_san(), out);
    case LogField::kDownstreamTlsCipher:
      return Put(down.tls_cipher(), out);
    case LogField::kDownstreamTlsVersion:
      return Put(down.tls_version(), out);
    case LogField::kRequestedServerName:
      return Put(down.server_name(), out);
    case LogField::kDownstreamTransportFailureReason:
      return PutWord(info_.downstream_failure, out);
    case LogField::kFilterChainName:
      return Put(down.filter_chain_name, out);
    case LogField::kDynamicMetadata:  // of a connection: what its PROXY header said
      return info_.is_tcp && PutFact(down, command.argument, out);
    case LogField::kFilterState:
      return Put(TunnelAnswer(info_, command.argument), out);
    default:
      return false;
  }
}

}  // namespace meltemi::proxy
