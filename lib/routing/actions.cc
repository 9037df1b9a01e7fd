// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/actions.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <cstring>
#include <initializer_list>

namespace meltemi::routing {
namespace {

constexpr uint64_t kClusterSalt = 1;
constexpr uint64_t kCookieSalt = 2;

std::string_view Concat(std::initializer_list<std::string_view> parts, Arena& arena) {
  size_t bytes = 0;
  for (const std::string_view part : parts) bytes += part.size();
  char* const text = arena.Allocate(bytes);
  char* to = text;
  for (const std::string_view part : parts) {
    if (part.empty()) continue;
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  return {text, bytes};
}

struct SplitPath {
  std::string_view path;
  std::string_view query;  // with "?", or ""
};

SplitPath Split(std::string_view path) {
  const size_t question = path.find('?');
  if (question == std::string_view::npos) return {path, {}};
  return {path.substr(0, question), path.substr(question)};
}

std::string_view Substitute(const RegexRewrite& rewrite, std::string_view text, Arena& arena) {
  std::string copy(text);
  re2::RE2::GlobalReplace(&copy, *rewrite.regex, rewrite.substitution);
  return arena.Copy(copy);
}

// Envoy replaces the matched prefix; for exact and regex matches the whole path is what matched.
std::string_view ReplaceMatched(const PathMatch& match, std::string_view path,
                                std::string_view replacement, std::string_view query,
                                Arena& arena) {
  const bool is_prefix =
      match.kind == PathMatch::Kind::kPrefix || match.kind == PathMatch::Kind::kSeparatedPrefix;
  const size_t matched = is_prefix ? std::min(match.text.size(), path.size()) : path.size();
  return Concat({replacement, path.substr(matched), query}, arena);
}

std::optional<std::string_view> Cookie(const http::HeaderMap& headers, std::string_view name) {
  for (const http::HeaderField& field : headers.fields()) {
    if (field.id != http::HeaderId::kCookie) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const size_t end = rest.find(';');
      std::string_view pair = rest.substr(0, end);
      while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
      if (pair.starts_with(name) && pair.size() > name.size() && pair[name.size()] == '=') {
        std::string_view value = pair.substr(name.size() + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
          value = value.substr(1, value.size() - 2);
        }
        return value;
      }
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
  return std::nullopt;
}

// The Host to redirect to: a port that the new scheme or a new port makes wrong is taken off.
std::string_view HostForRedirect(const http::RequestHead& head, std::string_view scheme,
                                 bool has_new_port) {
  const std::string_view host = head.authority;
  const std::string_view bare = WithoutPort(host);
  const std::string_view port = host.substr(bare.size());
  bool drops_port = has_new_port;
  if (scheme != head.scheme) {
    drops_port |= head.scheme == "https" && port == ":443";
    drops_port |= head.scheme == "http" && port == ":80";
  }
  return drops_port ? bare : host;
}

std::optional<uint64_t> HashOne(const HashPolicy& policy, const http::RequestHead& head,
                                std::string_view source_ip, uint64_t random, Arena& arena,
                                RequestHash& result) {
  std::optional<std::string_view> value;
  switch (policy.kind) {
    case HashPolicy::Kind::kHeader:
      value = ValueOf(head, policy.header);
      break;
    case HashPolicy::Kind::kQueryParameter:
      value = QueryParameter(head.path, policy.name);
      break;
    case HashPolicy::Kind::kSourceIp:
      if (!source_ip.empty()) value = source_ip;
      break;
    case HashPolicy::Kind::kCookie:
      value = Cookie(head.headers, policy.name);
      if (!value.has_value() && policy.cookie_ttl.has_value()) {
        std::array<char, 16> hex;
        fmt::format_to_n(hex.data(), hex.size(), "{:016x}", Mix(random, kCookieSalt));
        value = arena.Copy({hex.data(), hex.size()});
        result.new_cookie = &policy;
        result.new_cookie_value = *value;
      }
      break;
  }
  if (!value.has_value()) return std::nullopt;
  return XXH64(value->data(), value->size(), 0);
}

}  // namespace

ChosenCluster ChooseCluster(const ForwardAction& action, const http::RequestHead& head,
                            uint64_t random) {
  if (action.cluster_header.has_value()) {
    const std::string_view name = ValueOf(head, *action.cluster_header).value_or("");
    return {nullptr, nullptr, name};
  }
  if (action.weighted.empty()) return {&action.cluster, nullptr, action.cluster.name};
  if (action.total_weight == 0) return {};
  uint64_t at = Mix(random, kClusterSalt) % action.total_weight;
  for (const WeightedCluster& entry : action.weighted) {
    if (at < entry.weight) return {&entry.cluster, &entry, entry.cluster.name};
    at -= entry.weight;
  }
  return {};
}

std::string_view RewritePath(const ForwardAction& action, const PathMatch& match,
                             std::string_view path, Arena& arena) {
  if (action.prefix_rewrite.empty() && !action.regex_rewrite.has_value()) return path;
  const SplitPath split = Split(path);
  if (action.regex_rewrite.has_value()) {
    const std::string_view rewritten = Substitute(*action.regex_rewrite, split.path, arena);
    return Concat({rewritten, split.query}, arena);
  }
  return ReplaceMatched(match, split.path, action.prefix_rewrite, split.query, arena);
}

std::string_view Location(const RedirectAction& action, const PathMatch& match,
                          const http::RequestHead& head, Arena& arena) {
  const std::string_view scheme = action.scheme.empty() ? head.scheme : action.scheme;
  const std::string_view host =
      action.host.empty() ? HostForRedirect(head, scheme, action.port != 0) : action.host;
  std::array<char, 8> port_text;
  size_t port_bytes = 0;
  if (action.port != 0) {
    const auto written = fmt::format_to_n(port_text.data(), port_text.size(), ":{}", action.port);
    port_bytes = std::min(written.size, port_text.size());
  }
  const SplitPath split = Split(head.path);
  const std::string_view query = action.strips_query ? std::string_view() : split.query;
  std::string_view path = split.path;
  std::string_view tail = query;
  if (!action.path.empty()) {
    path = action.path;
    // A query of the redirect's own wins over the request's.
    if (path.find('?') != std::string_view::npos) tail = {};
  } else if (action.has_prefix_rewrite) {
    path = ReplaceMatched(match, split.path, action.prefix_rewrite, {}, arena);
  } else if (action.regex_rewrite.has_value()) {
    path = Substitute(*action.regex_rewrite, split.path, arena);
  }
  return Concat({scheme, "://", host, {port_text.data(), port_bytes}, path, tail}, arena);
}

std::string_view HttpsLocation(const http::RequestHead& head, Arena& arena) {
  return Concat({"https://", HostForRedirect(head, "https", false), head.path}, arena);
}

RequestHash HashRequest(const std::vector<HashPolicy>& policies, const http::RequestHead& head,
                        std::string_view source_ip, uint64_t random, Arena& arena) {
  RequestHash result;
  for (const HashPolicy& policy : policies) {
    const std::optional<uint64_t> one = HashOne(policy, head, source_ip, random, arena, result);
    if (!one.has_value()) continue;
    // Rotate, so that two equal values do not cancel out.
    const uint64_t old = result.value.value_or(0);
    result.value = ((old << 1) | (old >> 63)) ^ *one;
    if (policy.is_terminal) break;
  }
  return result;
}

std::string_view SetCookie(const HashPolicy& policy, std::string_view value, Arena& arena) {
  fmt::memory_buffer text;
  fmt::format_to(std::back_inserter(text), "{}=\"{}\"", policy.name, value);
  if (policy.cookie_ttl.value_or(Duration(0)) > Duration(0)) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*policy.cookie_ttl);
    fmt::format_to(std::back_inserter(text), "; Max-Age={}", seconds.count());
  }
  if (!policy.cookie_path.empty()) {
    fmt::format_to(std::back_inserter(text), "; Path={}", policy.cookie_path);
  }
  for (const auto& [name, attribute] : policy.cookie_attributes) {
    fmt::format_to(std::back_inserter(text), "; {}", name);
    if (!attribute.empty()) fmt::format_to(std::back_inserter(text), "={}", attribute);
  }
  fmt::format_to(std::back_inserter(text), "; HttpOnly");
  return arena.Copy({text.data(), text.size()});
}

}  // namespace meltemi::routing
