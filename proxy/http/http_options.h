// SPDX-License-Identifier: Apache-2.0
// An HttpConnectionManager as compiled. Immutable, shared by the workers, part of the chain
// handler.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/http/connection.h"
#include "proxy/filters/http_filter.h"
#include "proxy/http/access_log.h"
#include "proxy/http/routes.h"

namespace meltemi::proxy {

class LocalReplyMapping;
class ScopedRoutes;

struct IpRange {
  std::string bytes;  // network order, 4 or 16
  uint32_t prefix_bits = 0;
  bool Contains(std::string_view ip_bytes) const;
};

struct HttpOptions {
  enum class Codec : uint8_t { kAuto, kHttp1, kHttp2 };
  enum class ServerHeader : uint8_t { kOverwrite, kAppendIfAbsent, kPassThrough };
  enum class ClientCert : uint8_t {
    kSanitize,
    kForwardOnly,
    kAppendForward,
    kSanitizeSet,
    kAlwaysForwardOnly
  };
  enum class EscapedSlashes : uint8_t { kKeep, kReject, kRedirect, kForward };

  Codec codec = Codec::kAuto;
  std::string stat_prefix;
  std::string server_name = "envoy";
  ServerHeader server_header = ServerHeader::kOverwrite;
  std::string via;

  bool uses_remote_address = false;
  bool skips_xff_append = false;
  bool appends_xff_without_remote = false;  // of original_ip_detection_extensions
  bool appends_forwarded_port = false;
  uint32_t xff_trusted_hops = 0;
  std::vector<IpRange> xff_trusted_ranges;  // instead of hops, when not empty
  std::string scheme_overwrite;             // "" = none
  std::vector<IpRange> internal_ranges;

  bool generates_request_id = true;
  bool preserves_external_request_id = false;
  bool sets_request_id_in_response = false;
  bool packs_trace_reason = true;

  ClientCert client_cert = ClientCert::kSanitize;
  bool cert_has_subject = false, cert_has_uri = false, cert_has_dns = false, cert_has_pem = false;

  std::string identity_path;  // of our own SPIFFE identity: "/ns/x/sa/y"; "" = unknown

  bool proxies_continue = false;
  bool accepts_http10 = false;
  std::string default_host_http10;
  bool normalizes_path = false;
  bool merges_slashes = false;
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  bool rejects_fragments = true;
  bool strips_any_port = false;
  bool strips_matching_port = false;
  bool strips_trailing_dot = false;
  bool rejects_underscores = false;
  bool drops_underscores = false;
  bool suppresses_envoy_headers = false;
  std::vector<std::string> strict_headers;  // control headers whose values are judged

  // 0 = none. Defaults are Envoy's.
  Duration stream_idle_timeout = std::chrono::minutes(5);
  Duration request_timeout{0};
  Duration idle_timeout = std::chrono::hours(1);
  Duration connection_duration_max{0};
  Duration stream_duration_max{0};
  uint32_t requests_max = 0;                           // per connection
  std::vector<std::pair<std::string, bool>> upgrades;  // lower-case token, enabled
  http::Limits limits;

  std::shared_ptr<const HttpRoutes> inline_routes;  // or
  RouteId rds = kNoId;                              // or
  std::shared_ptr<const ScopedRoutes> scopes;       // by request
  std::vector<std::shared_ptr<const HttpFilter>> request_filters;
  std::vector<std::shared_ptr<const HttpFilter>> response_filters;  // in reverse order of the chain
  std::vector<std::shared_ptr<const HttpFilter>> end_filters;
  AccessLogs access_logs;
  std::shared_ptr<const LocalReplyMapping> local_replies;   // nullptr = as they are
  std::vector<routing::HeaderRef> logged_response_headers;  // at most kKeptHeadersMax
};

}  // namespace meltemi::proxy
