// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_tunnel_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "proxy/http/format_compiler.h"
#include "proxy/http/log_values.h"
#include "proxy/http/route_compiler.h"
#include "proxy/http/stream_values.h"
#include "proxy/tcp_stream_info.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy_TunnelingConfig;

// RFC 3986 §3.2.2 and a port; parts of it may be a client's word (its SNI).
bool IsHost(std::string_view text) {
  constexpr std::string_view kMarks = "-._~!$&'()*+,;=:[]%";
  const auto is_legal = [&](char c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || kMarks.find(c) != std::string_view::npos;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_legal);
}

// RFC 9110 §5.5; a client's word may be part of it too.
bool IsFieldValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

// As Envoy prints a HeaderMap message in an access log.
std::string TextOf(const http::HeaderMap& headers, const http::ResponseHead* head) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  const auto add = [&](std::string_view name, std::string_view value) {
    list.push_back({{"key", name}, {"value", value}});
  };
  if (head != nullptr) add(":status", std::to_string(head->status));
  if (head != nullptr && head->content_length >= 0) {
    add("content-length", std::to_string(head->content_length));
  }
  for (const http::HeaderField& field : headers.fields()) add(field.name, field.value);
  const nlohmann::ordered_json text = {{"headers", std::move(list)}};
  return text.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

struct Settings {
  telemetry::AccessLogFormat hostname;
  routing::HeaderMutations added;
  bool is_post = false;
  std::string path;
  bool keeps_headers = false, keeps_trailers = false;
};

class CompiledTunnelRequest final : public TunnelRequest {
 public:
  explicit CompiledTunnelRequest(Settings settings) : settings_(std::move(settings)) {}

  bool Write(Worker& worker, const TcpSummary& of, Arena& arena,
             http::RequestHead& head) const override {
    const TcpStreamInfo stream(worker, of);
    std::string host;
    settings_.hostname.Run(StreamLogValues(stream.info()), host);
    if (!IsHost(host)) return false;
    head.authority = arena.Copy(host);
    head.method = settings_.is_post ? "POST" : "CONNECT";
    if (settings_.is_post) {
      head.path = settings_.path;
      head.scheme = of.accepted->is_tls ? "https" : "http";
    }
    const StreamValues values(stream.info());
    settings_.added.Apply(head, {&head, nullptr, &values});
    for (http::HeaderField& field : head.headers.mutable_fields()) {
      if (!IsFieldValue(field.value)) return false;
      field.value = arena.Copy(field.value);  // it may be a view of `stream`
    }
    return true;
  }
  std::string ResponseText(const http::ResponseHead& head) const override {
    return settings_.keeps_headers ? TextOf(head.headers, &head) : std::string();
  }
  std::string TrailersText(const http::HeaderMap& trailers) const override {
    return settings_.keeps_trailers ? TextOf(trailers, nullptr) : std::string();
  }

 private:
  const Settings settings_;
};

Status CheckAdded(const routing::HeaderMutations& added) {
  for (size_t i = 0; i < added.add.size(); ++i) {
    const routing::HeaderRef& header = added.add[i].header;
    const bool is_pseudo = header.pseudo != routing::HeaderRef::Pseudo::kNone;
    if (!is_pseudo && header.name != "host" && !header.name.starts_with(':')) continue;
    return absl::InvalidArgumentError(
        fmt::format("headers_to_add[{}]: pseudo headers and host cannot be set; hostname is", i));
  }
  return absl::OkStatus();
}

StatusOr<Settings> Compile(const TcpProxy_TunnelingConfig& from) {
  if (from.has_request_id_extension()) {
    return absl::UnimplementedError("request_id_extension is not supported");
  }
  if (from.hostname().empty()) return absl::InvalidArgumentError("hostname: must not be empty");
  if (from.hostname().find("%FILTER_STATE(") != std::string::npos) {
    return absl::UnimplementedError("hostname: %FILTER_STATE(…)% is not supported");
  }
  if (!from.use_post() && !from.post_path().empty()) {
    return absl::InvalidArgumentError("post_path: is only for use_post");
  }
  if (!from.post_path().empty() && !from.post_path().starts_with('/')) {
    return absl::InvalidArgumentError("post_path: must begin with a slash");
  }
  auto hostname = CompileFormatText(from.hostname(), FormatUse::kBody);
  if (!hostname.ok()) return WithContext(hostname.status(), "hostname");
  auto added = CompileHeadersToAdd(from.headers_to_add());
  if (!added.ok()) return WithContext(added.status(), "headers_to_add");
  MELTEMI_RETURN_IF_ERROR(CheckAdded(*added));
  return Settings{.hostname = std::move(hostname->format),
                  .added = *std::move(added),
                  .is_post = from.use_post(),
                  .path = from.post_path().empty() ? "/" : from.post_path(),
                  .keeps_headers = from.propagate_response_headers(),
                  .keeps_trailers = from.propagate_response_trailers()};
}

}  // namespace

StatusOr<std::shared_ptr<const TunnelRequest>> CompileTunnelRequest(std::string_view serialized) {
  TcpProxy_TunnelingConfig from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("cannot be decoded");
  }
  MELTEMI_ASSIGN_OR_RETURN(Settings settings, Compile(from));
  return std::make_shared<const CompiledTunnelRequest>(std::move(settings));
}

}  // namespace meltemi::proxy
