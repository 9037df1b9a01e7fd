// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/request_ingest.h"

#include <algorithm>
#include <cstring>

#include "lib/routing/host_table.h"
#include "proxy/http/client_cert.h"
#include "proxy/http/path.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::string_view Concat(std::string_view a, std::string_view b, std::string_view c, Arena& arena) {
  char* const text = arena.Allocate(a.size() + b.size() + c.size());
  std::memcpy(text, a.data(), a.size());
  std::memcpy(text + a.size(), b.data(), b.size());
  if (!c.empty()) std::memcpy(text + a.size() + b.size(), c.data(), c.size());
  return {text, a.size() + b.size() + c.size()};
}

// The n-th entry from the right, 0 = last; "" when there are fewer.
std::string_view EntryFromRight(std::string_view list, uint32_t n) {
  for (;;) {
    const size_t comma = list.rfind(',');
    if (n == 0) return Trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
    if (comma == std::string_view::npos) return {};
    list = list.substr(0, comma);
    --n;
  }
}

IngestResult CheckTarget(const HttpOptions& options, http::RequestHead& head) {
  IngestResult result;
  const auto refuse = [&](int status, std::string_view details) {
    result.status = status;
    result.details = details;
    return result;
  };
  if (head.protocol == http::Protocol::kHttp10 && !options.accepts_http10) {
    return refuse(426, "low_version");
  }
  if (head.authority.empty()) return refuse(400, "missing_host_header");
  const bool is_connect = head.method == "CONNECT" && head.upgrade.empty();
  if (head.path.empty() && is_connect) return result;
  if (head.path.empty()) return refuse(404, "missing_path_header");
  if (head.path.front() != '/' && head.path != "*") return refuse(404, "absolute_path_rejected");
  if (options.strips_any_port) head.authority = routing::WithoutPort(head.authority);
  if (options.strips_trailing_dot && head.authority.ends_with('.')) {
    head.authority.remove_suffix(1);
  }
  Arena& arena = head.headers.arena();
  head.path = WithoutFragment(head.path);
  if (options.escaped_slashes != HttpOptions::EscapedSlashes::kKeep &&
      HasEscapedSlashes(head.path)) {
    if (options.escaped_slashes == HttpOptions::EscapedSlashes::kReject) {
      return refuse(400, "path_normalization_failed");
    }
    head.path = UnescapeSlashes(head.path, arena);
    if (options.escaped_slashes == HttpOptions::EscapedSlashes::kRedirect) {
      result.location = head.path;
      return refuse(307, "path_normalization_failed");
    }
  }
  if (options.normalizes_path) {
    const PathResult normal = NormalizePath(head.path, arena);
    if (!normal.is_valid) return refuse(400, "path_normalization_failed");
    head.path = normal.path;
  }
  if (options.merges_slashes) head.path = MergeSlashes(head.path, arena);
  return result;
}

bool IsInternal(const HttpOptions& options, std::string_view ip) {
  if (options.internal_ranges.empty() || ip.empty()) return false;
  const StatusOr<net::Address> address = net::Address::ParseIp(ip, 0);
  if (!address.ok()) return false;
  return std::any_of(options.internal_ranges.begin(), options.internal_ranges.end(),
                     [&](const IpRange& range) { return range.Contains(address->ip_bytes()); });
}

// Who the client is, and X-Forwarded-For as sent on.
void ResolveClient(const HttpOptions& options, const DownstreamFacts& downstream,
                   http::RequestHead& head, IngestResult& result) {
  http::HeaderMap& headers = head.headers;
  const std::string_view* forwarded = headers.Find(HeaderId::kXForwardedFor);
  if (forwarded == nullptr && !options.uses_remote_address) return;
  const std::string_view list =
      forwarded == nullptr ? std::string_view() : headers.Joined("x-forwarded-for");
  const uint32_t hops = options.xff_trusted_hops;
  bool is_single = list.find(',') == std::string_view::npos;
  if (options.uses_remote_address) {
    if (hops > 0) result.client_ip = EntryFromRight(list, hops - 1);
    is_single = list.empty();
    if (!options.skips_xff_append && !downstream.remote_ip.empty()) {
      if (list.empty()) {
        headers.AddBorrowed(HeaderId::kXForwardedFor, http::HeaderName(HeaderId::kXForwardedFor),
                            downstream.remote_ip);
      } else {
        headers.Set(HeaderId::kXForwardedFor,
                    Concat(list, ",", downstream.remote_ip, headers.arena()));
      }
    }
  } else {
    result.client_ip = EntryFromRight(list, hops);
  }
  const std::string_view client =
      result.client_ip.empty() ? std::string_view(downstream.remote_ip) : result.client_ip;
  result.is_internal = is_single && IsInternal(options, client);
}

// Headers by which a client could steer the router: only internal clients may.
constexpr std::string_view kControlHeaders[] = {
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
};
constexpr std::string_view kEdgeHeaders[] = {
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
};

template <size_t kCount>
bool IsOneOf(const std::string_view (&names)[kCount], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// One walk over all headers; anything but "x-envoy-…" passes on its first characters.
void Sanitize(const HttpOptions& options, bool is_internal, http::HeaderMap& headers) {
  const bool is_edge = !is_internal && options.uses_remote_address;
  std::vector<http::HeaderField>& fields = headers.mutable_fields();
  std::erase_if(fields, [&](const http::HeaderField& field) {
    if (options.drops_underscores && field.name.find('_') != std::string_view::npos) return true;
    if (!field.name.starts_with("x-envoy-")) return false;
    if (field.id == HeaderId::kXEnvoyInternal) return true;
    if (!is_internal && IsOneOf(kControlHeaders, field.name)) return true;
    return is_edge && IsOneOf(kEdgeHeaders, field.name);
  });
}

void SetForwardedProto(const HttpOptions& options, const DownstreamFacts& downstream,
                       http::RequestHead& head) {
  const std::string_view transport = downstream.is_tls ? "https" : "http";
  const std::string_view* given = head.headers.Find(HeaderId::kXForwardedProto);
  const bool is_believed = given != nullptr && (*given == "http" || *given == "https") &&
                           (!options.uses_remote_address || options.xff_trusted_hops > 0);
  if (is_believed) {
    head.scheme = *given;
    return;
  }
  head.scheme = transport;
  if (given != nullptr) head.headers.Remove(HeaderId::kXForwardedProto);
  head.headers.AddBorrowed(HeaderId::kXForwardedProto, http::HeaderName(HeaderId::kXForwardedProto),
                           transport);
}

void SetRequestId(const HttpOptions& options, bool is_edge, Random& random,
                  http::HeaderMap& headers) {
  if (!options.generates_request_id) return;
  const std::string_view* given = headers.Find(HeaderId::kXRequestId);
  if (given != nullptr && !given->empty() && (!is_edge || options.preserves_external_request_id)) {
    return;
  }
  if (given != nullptr) headers.Remove(HeaderId::kXRequestId);
  headers.AddBorrowed(HeaderId::kXRequestId, http::HeaderName(HeaderId::kXRequestId),
                      NewRequestId(random, headers.arena()));
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

std::string_view NewRequestId(Random& random, Arena& arena) {
  constexpr char kHex[] = "0123456789abcdef";
  uint64_t words[2] = {random.Next(), random.Next()};
  words[0] = (words[0] & ~0xf000ULL) | 0x4000ULL;                         // version 4
  words[1] = (words[1] & 0x3fffffffffffffffULL) | 0x8000000000000000ULL;  // RFC 4122 variant
  char* const text = arena.Allocate(36);
  char* to = text;
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) *to++ = '-';
    *to++ = kHex[words[digit / 16] >> (60 - 4 * (digit % 16)) & 0xf];
  }
  return {text, 36};
}

IngestResult Ingest(const HttpOptions& options, const DownstreamFacts& downstream, Random& random,
                    http::RequestHead& head) {
  if (options.rejects_underscores) {
    for (const http::HeaderField& field : head.headers.fields()) {
      if (field.name.find('_') != std::string_view::npos) {
        IngestResult refused;
        refused.status = 400;
        refused.details = "http.unexpected_underscore";
        return refused;
      }
    }
  }
  IngestResult result = CheckTarget(options, head);
  ResolveClient(options, downstream, head, result);
  Sanitize(options, result.is_internal, head.headers);
  const bool is_edge = !result.is_internal && options.uses_remote_address;
  if (is_edge) {
    const std::string_view client =
        result.client_ip.empty() ? std::string_view(downstream.remote_ip) : result.client_ip;
    head.headers.Set("x-envoy-external-address", client);
  }
  if (result.is_internal) head.headers.Set(HeaderId::kXEnvoyInternal, "true");
  SetForwardedProto(options, downstream, head);
  SetRequestId(options, is_edge, random, head.headers);
  ForwardClientCert(options, downstream, head.headers);
  if (!options.via.empty()) {
    const std::string_view before = head.headers.Joined("via");
    head.headers.Set(HeaderId::kVia, before.empty()
                                         ? std::string_view(options.via)
                                         : Concat(before, ", ", options.via, head.headers.arena()));
  }
  return result;
}

}  // namespace meltemi::proxy
