// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/route_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace meltemi::routing {
namespace {

bool IsGrpc(const http::RequestHead& head) {
  const std::string_view type = head.headers.Get(http::HeaderId::kContentType);
  constexpr std::string_view kGrpc = "application/grpc";
  return type.starts_with(kGrpc) && (type.size() == kGrpc.size() || type[kGrpc.size()] == '+');
}

bool Matches(const Route& route, const http::RequestHead& head, std::string_view path,
             bool is_connect, uint64_t random) {
  if (route.is_never_matched || !route.path.Matches(path, is_connect)) return false;
  for (const HeaderPredicate& predicate : route.headers) {
    if (!predicate.Matches(head)) return false;
  }
  for (const QueryPredicate& predicate : route.query) {
    if (!predicate.Matches(head.path)) return false;
  }
  if (route.is_grpc_only && !IsGrpc(head)) return false;
  return !route.fraction.has_value() || route.fraction->Selects(random);
}

// "/a;x=1/b" → "/a/b": parameters belong to their segment.
std::string_view WithoutParameters(std::string_view path, Arena& arena) {
  if (path.find(';') == std::string_view::npos) return path;
  char* const text = arena.Allocate(path.size());
  char* to = text;
  bool is_parameter = false;
  for (const char c : path) {
    is_parameter = c == ';' || (is_parameter && c != '/');
    if (!is_parameter) *to++ = c;
  }
  return {text, static_cast<size_t>(to - text)};
}

const FilterOverride* FindIn(const FilterOverrides& overrides, std::string_view filter) {
  for (const FilterOverride& entry : overrides) {
    if (entry.filter == filter) return &entry;
  }
  return nullptr;
}

}  // namespace

StatusOr<std::shared_ptr<const RouteTable>> RouteTable::Build(RouteOptions options,
                                                              std::vector<VirtualHost> hosts) {
  std::shared_ptr<RouteTable> table(new RouteTable());
  table->options_ = std::move(options);
  table->hosts_ = std::move(hosts);
  table->table_.set_ignores_port(table->options_.ignores_port);
  table->indexes_.reserve(table->hosts_.size());
  for (uint32_t i = 0; i < table->hosts_.size(); ++i) {
    const VirtualHost& host = table->hosts_[i];
    for (const std::string& domain : host.domains) {
      const Status added = table->table_.Add(domain, i);
      if (!added.ok()) return WithContext(added, fmt::format("virtual host \"{}\"", host.name));
    }
    std::vector<const PathMatch*> paths;
    for (const Route& route : host.routes) paths.push_back(&route.path);
    table->indexes_.emplace_back(paths);
  }
  return table;
}

Found RouteTable::Find(const http::RequestHead& head, uint64_t random) const {
  const std::optional<uint32_t> at = table_.Find(head.authority);
  if (!at.has_value()) return {};
  const VirtualHost& host = hosts_[*at];
  std::string_view path = head.path.substr(0, head.path.find_first_of("?#"));
  if (options_.ignores_path_parameters) path = WithoutParameters(path, head.headers.arena());
  const bool is_connect = head.method == "CONNECT" && head.upgrade.empty();
  const int64_t route = indexes_[*at].FirstOf(path, [&](uint32_t candidate) {
    return Matches(host.routes[candidate], head, path, is_connect, random);
  });
  return {&host, route < 0 ? nullptr : &host.routes[static_cast<size_t>(route)]};
}

const FilterOverride* FindOverride(std::string_view filter, const RouteTable& table,
                                   const Found& found, const WeightedCluster* weighted) {
  const FilterOverride* entry = nullptr;
  if (weighted != nullptr) entry = FindIn(weighted->overrides, filter);
  if (entry == nullptr && found.route != nullptr) entry = FindIn(found.route->overrides, filter);
  if (entry == nullptr && found.host != nullptr) entry = FindIn(found.host->overrides, filter);
  if (entry == nullptr) entry = FindIn(table.options().overrides, filter);
  return entry;
}

}  // namespace meltemi::routing
