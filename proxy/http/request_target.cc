// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/request_target.h"

#include <charconv>
#include <cstring>

#include "lib/routing/host_table.h"
#include "proxy/http/path.h"

namespace meltemi::proxy {
namespace {

using EscapedSlashes = HttpOptions::EscapedSlashes;

constexpr std::string_view kPathFailed = "path_normalization_failed";

// Returns false when the path is refused.
bool CanonicalizePath(const HttpOptions& options, Arena& arena, std::string_view& path,
                      bool& is_redirected) {
  const std::string_view whole = path;
  path = WithoutFragment(whole);
  if (options.rejects_fragments && path.size() < whole.size()) return false;
  if (options.escaped_slashes != EscapedSlashes::kKeep && HasEscapedSlashes(path)) {
    if (options.escaped_slashes == EscapedSlashes::kReject) return false;
    path = UnescapeSlashes(path, arena);
    is_redirected = options.escaped_slashes == EscapedSlashes::kRedirect;
  }
  if (options.normalizes_path) {
    const PathResult normal = NormalizePath(path, arena);
    if (!normal.is_valid) return false;
    path = normal.path;
  }
  if (options.merges_slashes) path = MergeSlashes(path, arena);
  return true;
}

// The dot at the end of a host name, before a port too.
std::string_view WithoutTrailingDot(std::string_view host, Arena& arena) {
  const size_t dot = host.rfind('.');
  if (dot == std::string_view::npos) return host;
  if (dot + 1 == host.size()) return host.substr(0, dot);
  if (host[dot + 1] != ':') return host;
  char* const text = arena.Allocate(host.size() - 1);
  std::memcpy(text, host.data(), dot);
  std::memcpy(text + dot, host.data() + dot + 1, host.size() - dot - 1);
  return {text, host.size() - 1};
}

std::string_view WithoutStrippedPort(const HttpOptions& options, uint16_t local_port,
                                     std::string_view host) {
  const std::string_view bare = routing::WithoutPort(host);
  if (bare.size() + 1 >= host.size()) return host;  // none, or nothing behind the colon
  uint32_t port = 0;
  const char* const end = host.data() + host.size();
  const auto [read, error] = std::from_chars(bare.data() + bare.size() + 1, end, port);
  if (error != std::errc() || read != end) return host;
  return options.strips_any_port || port == local_port ? bare : host;
}

void CanonicalizeHost(const HttpOptions& options, uint16_t local_port, http::RequestHead& head) {
  if (options.strips_trailing_dot) {
    head.authority = WithoutTrailingDot(head.authority, head.headers.arena());
  }
  // CONNECT is to a port (RFC 9110 §9.3.6).
  const bool is_connect = head.method == "CONNECT" && head.upgrade.empty();
  if ((options.strips_any_port || options.strips_matching_port) && !is_connect) {
    head.authority = WithoutStrippedPort(options, local_port, head.authority);
  }
}

}  // namespace

TargetVerdict CanonicalizeTarget(const HttpOptions& options, uint16_t local_port,
                                 http::RequestHead& head) {
  if (head.protocol == http::Protocol::kHttp10) {
    if (!options.accepts_http10) return {426, "low_version", "Upgrade Required", {}};
    if (head.authority.empty()) head.authority = options.default_host_http10;
  }
  if (head.authority.empty()) return {400, "missing_host_header", {}, {}};
  const bool is_connect = head.method == "CONNECT" && head.upgrade.empty();
  if (head.path.empty() && !is_connect) return {404, "missing_path_header", {}, {}};
  if (!head.path.empty() && head.path.front() != '/' && head.path != "*") {
    return {404, "absolute_path_rejected", {}, {}};
  }
  bool is_redirected = false;
  if (!head.path.empty() &&
      !CanonicalizePath(options, head.headers.arena(), head.path, is_redirected)) {
    return {400, kPathFailed, {}, {}};
  }
  CanonicalizeHost(options, local_port, head);
  if (is_redirected) return {307, kPathFailed, {}, head.path};
  return {};
}

}  // namespace meltemi::proxy
