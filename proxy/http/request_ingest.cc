// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/request_ingest.h"

#include <algorithm>
#include <cstring>

#include "proxy/http/client_address.h"
#include "proxy/http/client_cert.h"
#include "proxy/http/request_target.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

std::string_view Concat(std::string_view a, std::string_view b, std::string_view c, Arena& arena) {
  char* const text = arena.Allocate(a.size() + b.size() + c.size());
  std::memcpy(text, a.data(), a.size());
  std::memcpy(text + a.size(), b.data(), b.size());
  if (!c.empty()) std::memcpy(text + a.size() + b.size(), c.data(), c.size());
  return {text, a.size() + b.size() + c.size()};
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
    "x-envoy-decorator-operation",     "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node", "x-envoy-original-host",
    "x-envoy-original-path",
};

template <size_t kCount>
bool IsOneOf(const std::string_view (&names)[kCount], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// One walk over all headers; anything but "x-envoy-…" passes on its first characters. Returns
// whether an internal client wants the request traced.
bool Sanitize(const HttpOptions& options, bool is_internal, http::HeaderMap& headers) {
  bool is_trace_forced = false;
  const bool is_edge = !is_internal && options.uses_remote_address;
  std::vector<http::HeaderField>& fields = headers.mutable_fields();
  std::erase_if(fields, [&](const http::HeaderField& field) {
    if (options.drops_underscores && field.name.find('_') != std::string_view::npos) return true;
    if (!field.name.starts_with("x-envoy-")) return false;
    if (field.id == HeaderId::kXEnvoyInternal) return true;
    if (field.name == "x-envoy-upstream-stream-duration-ms") return true;  // nobody's to send
    if (!is_internal && IsOneOf(kControlHeaders, field.name)) return true;
    is_trace_forced |= field.name == "x-envoy-force-trace";
    return is_edge && IsOneOf(kEdgeHeaders, field.name);
  });
  return is_trace_forced;
}

constexpr size_t kRequestIdBytes = 36;
constexpr size_t kTraceReasonAt = 14;  // the version's digit of a UUID
constexpr char kNotTraced = '4';

void SetRequestId(const HttpOptions& options, bool is_edge, Random& random,
                  http::HeaderMap& headers) {
  if (!options.generates_request_id) return;
  const std::string_view* given = headers.Find(HeaderId::kXRequestId);
  if (given != nullptr && !given->empty() && (!is_edge || options.preserves_external_request_id)) {
    if (is_edge && options.packs_trace_reason && given->size() == kRequestIdBytes) {
      // Strangers do not decide what is traced.
      char* const text = headers.arena().Allocate(kRequestIdBytes);
      std::memcpy(text, given->data(), kRequestIdBytes);
      text[kTraceReasonAt] = kNotTraced;
      headers.Set(HeaderId::kXRequestId, {text, kRequestIdBytes});
    }
    return;
  }
  if (given != nullptr) headers.Remove(HeaderId::kXRequestId);
  headers.AddBorrowed(HeaderId::kXRequestId, http::HeaderName(HeaderId::kXRequestId),
                      NewRequestId(random, headers.arena()));
}

}  // namespace

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
        refused.details = head.protocol == http::Protocol::kHttp2 ? "http2.unexpected_underscore"
                                                                  : "http1.unexpected_underscore";
        refused.body = "Bad Request";
        refused.is_protocol_error = true;
        return refused;
      }
    }
  }
  const TargetVerdict target = CanonicalizeTarget(options, downstream.local.port(), head);
  const Client client = ResolveClient(options, downstream, head.headers);
  IngestResult result{target.status,   target.details, target.body,
                      target.location, client.ip,      client.is_internal};
  result.is_trace_forced = Sanitize(options, client.is_internal, head.headers);
  const bool is_edge = !client.is_internal && options.uses_remote_address;
  if (is_edge) {
    char ip[net::Address::kTextBytesMax];
    const std::string_view direct(ip, downstream.remote.WriteIp(ip));
    head.headers.Set("x-envoy-external-address", client.ip.empty() ? direct : client.ip);
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
