// SPDX-License-Identifier: Apache-2.0
// VirtualService: hosts, gateways, matches, destinations. Istio's documented rules.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "lib/config/names.h"
#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

bool BindsMesh(const VirtualService& service) {
  const auto& gateways = service.gateways();
  return gateways.empty() || std::find(gateways.begin(), gateways.end(), "mesh") != gateways.end();
}

// Of "*.a.b" the ".a.b" that names must end in.
bool IsCovered(std::string_view host, std::string_view wildcard) {
  const std::string_view suffix = wildcard.substr(1);
  return host.ends_with(suffix) && host != wildcard;
}

class VirtualServiceRules final {
 public:
  VirtualServiceRules(const VirtualService& service, const RuleContext& context)
      : service_(service), check_(context.check), spec_(context.spec), ns_(context.ns) {}

  void Check();

 private:
  void CheckHosts();
  void CheckOverlap(const FieldPath& path);
  void CheckGateways();
  void CheckHttp(const HTTPRoute& route, const FieldPath& path);
  void CheckAction(const HTTPRoute& route, const FieldPath& path);
  void CheckMatch(const HTTPMatchRequest& match, const FieldPath& path);
  void CheckText(const StringMatch& match, const FieldPath& path, bool may_be_empty_prefix);
  template <typename Routes>
  void CheckRoutes(const Routes& routes, const FieldPath& path);
  void CheckDestination(const Destination& destination, const FieldPath& path);
  template <typename Match>
  void CheckL4Match(const Match& match, const FieldPath& path);
  void CheckTls(const TLSRoute& route, const FieldPath& path);

  const VirtualService& service_;
  const Checker& check_;
  const FieldPath& spec_;
  const std::string_view ns_;
};

void VirtualServiceRules::CheckOverlap(const FieldPath& path) {
  std::set<std::string_view> seen;
  std::vector<std::string_view> wildcards;
  for (const std::string& host : service_.hosts()) {
    if (host.starts_with('*')) wildcards.push_back(host);
  }
  for (int i = 0; i < service_.hosts_size(); ++i) {
    const std::string& host = service_.hosts(i);
    const bool is_covered =
        std::any_of(wildcards.begin(), wildcards.end(),
                    [&](std::string_view wildcard) { return IsCovered(host, wildcard); });
    if (!seen.insert(host).second || is_covered) {
      check_.Add(path.Item(i), "covered by another host of this list; expected it once");
    }
  }
}

void VirtualServiceRules::CheckHosts() {
  const FieldPath path = spec_.Field("hosts");
  if (service_.hosts().empty()) {
    // A delegate: another VirtualService refers to it.
    if (!service_.gateways().empty() || service_.tls_size() + service_.tcp_size() > 0) {
      check_.Add(path, "missing; expected hosts, or (for a delegate) only http without gateways");
    }
    return;
  }
  const bool has_sni = service_.tls_size() > 0 && !BindsMesh(service_);
  for (int i = 0; i < service_.hosts_size(); ++i) {
    const std::string& host = service_.hosts(i);
    if (host == "*" && BindsMesh(service_)) {
      check_.Add(path.Item(i), "* would take all traffic of the mesh; expected hosts, or gateways");
    } else if (!IsIpAddress(host) && !(has_sni && host.starts_with("outbound_"))) {
      check_.Host(path.Item(i), host);
    }
  }
  CheckOverlap(path);
}

void VirtualServiceRules::CheckGateways() {
  const FieldPath path = spec_.Field("gateways");
  for (int i = 0; i < service_.gateways_size(); ++i) {
    const std::string& gateway = service_.gateways(i);
    const size_t slash = gateway.find('/');
    const bool fits = slash == std::string::npos
                          ? IsFqdn(gateway)
                          : IsDnsLabel(gateway.substr(0, slash)) &&
                                IsDnsLabel(std::string_view(gateway).substr(slash + 1));
    if (!fits) {
      check_.Add(path.Item(i),
                 Quoted(gateway) + " is no gateway; expected NAME, NAMESPACE/NAME or mesh");
    }
  }
}

void VirtualServiceRules::CheckDestination(const Destination& destination, const FieldPath& path) {
  const FieldPath host = path.Field("host");
  if (destination.host() == "*") {
    check_.Add(host, "* is no destination; expected a service's host");
  } else {
    check_.Host(host, destination.host());
  }
  if (!destination.subset().empty() && !IsDnsLabel(destination.subset())) {
    check_.Add(path.Field("subset"), "no subset's name; expected at most 63 of a-z, 0-9 and -");
  }
  if (destination.has_port()) {
    const FieldPath port = path.Field("port");
    check_.Port(port.Field("number"), destination.port().number());
  }
}

template <typename Routes>
void VirtualServiceRules::CheckRoutes(const Routes& routes, const FieldPath& path) {
  int64_t sum = 0;
  for (int i = 0; i < routes.size(); ++i) {
    const FieldPath route = path.Item(i);
    sum += routes[i].weight();
    check_.AtLeastZero(route.Field("weight"), routes[i].weight());
    if (routes[i].has_destination()) {
      CheckDestination(routes[i].destination(), route.Field("destination"));
    } else {
      check_.Add(route.Field("destination"), "missing; expected a destination with its host");
    }
  }
  if (routes.size() > 1 && sum == 0) {
    check_.Add(path, "several destinations, all of weight 0; expected a weight above 0");
  }
}

void VirtualServiceRules::CheckText(const StringMatch& match, const FieldPath& path,
                                    bool may_be_empty_prefix) {
  if (match.has_prefix() && match.prefix().empty() && !may_be_empty_prefix) {
    check_.Add(path.Field("prefix"), "empty; expected the text that values begin with");
  }
  if (!match.has_regex()) return;
  if (match.regex().empty()) {
    check_.Add(path.Field("regex"), "empty; expected a regular expression");
  } else {
    check_.Regex(path.Field("regex"), match.regex());
  }
}

void VirtualServiceRules::CheckMatch(const HTTPMatchRequest& match, const FieldPath& path) {
  CheckText(match.uri(), path.Field("uri"), true);
  CheckText(match.scheme(), path.Field("scheme"), false);
  CheckText(match.method(), path.Field("method"), false);
  CheckText(match.authority(), path.Field("authority"), false);
  const auto check_headers = [&](const auto& headers, const FieldPath& at, bool may_match_any) {
    for (const auto& [name, text] : headers) {
      const FieldPath header = at.Key(name);
      const bool is_claim = name.starts_with("@request.auth.claims");
      if (is_claim && BindsMesh(service_)) {
        check_.Add(header,
                   "claims of tokens are matched at gateways only; expected gateways "
                   "without mesh");
      } else if (!is_claim && !IsHttpToken(name.starts_with(':') ? name.substr(1) : name)) {
        check_.Add(header, "no header's name; expected letters, digits and -");
      }
      if (!may_match_any || text.regex() != "*") CheckText(text, header, false);
    }
  };
  check_headers(match.headers(), path.Field("headers"), false);
  check_headers(match.without_headers(), path.Field("withoutHeaders"), true);
  const FieldPath query = path.Field("queryParams");
  for (const auto& [name, text] : match.query_params()) CheckText(text, query.Key(name), false);
  if (match.port() != 0) check_.Port(path.Field("port"), match.port());
  check_.Labels(path.Field("sourceLabels"), match.source_labels());
  if (!match.source_namespace().empty() && !IsDnsLabel(match.source_namespace())) {
    check_.Add(path.Field("sourceNamespace"), "no namespace; expected a namespace's name");
  }
}

void VirtualServiceRules::CheckAction(const HTTPRoute& route, const FieldPath& path) {
  const int actions = !route.route().empty() + route.has_redirect() + route.has_direct_response();
  if (route.has_delegate()) {
    if (service_.hosts().empty()) {
      check_.Add(path.Field("delegate"), "a delegate refers to another; expected a route instead");
    } else if (!route.route().empty() || route.has_redirect()) {
      check_.Add(path.Field("delegate"), "beside a route or redirect; expected one of them");
    }
  } else if (actions == 0) {
    check_.Add(path, "no action; expected one of route, redirect, directResponse and delegate");
  } else if (actions > 1) {
    check_.Add(path, "several actions; expected one of route, redirect and directResponse");
  }
  if (!route.has_redirect() && !route.has_direct_response()) return;
  for (const auto& [name, is_set] :
       {std::pair("fault", route.has_fault()), std::pair("rewrite", route.has_rewrite())}) {
    if (is_set) {
      check_.Add(path.Field(name), "beside a redirect or directResponse; expected it with a route");
    }
  }
}

void VirtualServiceRules::CheckHttp(const HTTPRoute& route, const FieldPath& path) {
  CheckAction(route, path);
  const FieldPath match = path.Field("match");
  for (int i = 0; i < route.match_size(); ++i) {
    CheckMatch(route.match(i), match.Item(i));
    if (!route.redirect().prefix_rewrite().empty() && !route.match(i).uri().has_prefix()) {
      const FieldPath redirect = path.Field("redirect");
      check_.Add(redirect.Field("prefixRewrite"),
                 "not every match is on a prefix; expected uri.prefix in each");
    }
  }
  CheckRoutes(route.route(), path.Field("route"));
  if (route.has_mirror()) {
    CheckDestination(route.mirror(), path.Field("mirror"));
    if (!route.mirrors().empty()) {
      check_.Add(path.Field("mirrors"), "beside mirror; expected one of them");
    }
  }
  const FieldPath mirrors = path.Field("mirrors");
  for (int i = 0; i < route.mirrors_size(); ++i) {
    const FieldPath mirror = mirrors.Item(i);
    if (route.mirrors(i).has_destination()) {
      CheckDestination(route.mirrors(i).destination(), mirror.Field("destination"));
    } else {
      check_.Add(mirror.Field("destination"), "missing; expected a destination with its host");
    }
  }
  ValidateHttpActions(route, path, check_);
}

template <typename Match>
void VirtualServiceRules::CheckL4Match(const Match& match, const FieldPath& path) {
  const FieldPath subnets = path.Field("destinationSubnets");
  for (int i = 0; i < match.destination_subnets_size(); ++i) {
    if (!IsCidr(match.destination_subnets(i))) {
      check_.Add(subnets.Item(i), "no range of addresses; expected one such as 10.0.0.0/8");
    }
  }
  if (match.port() != 0) check_.Port(path.Field("port"), match.port());
  check_.Labels(path.Field("sourceLabels"), match.source_labels());
}

void VirtualServiceRules::CheckTls(const TLSRoute& route, const FieldPath& path) {
  const FieldPath matches = path.Field("match");
  if (route.match().empty()) check_.Add(matches, "missing; expected a match with sniHosts");
  for (int i = 0; i < route.match_size(); ++i) {
    const FieldPath match = matches.Item(i);
    if (route.match(i).sni_hosts().empty()) {
      check_.Add(match.Field("sniHosts"), "missing; expected the hosts of this rule");
    }
    CheckL4Match(route.match(i), match);
  }
}

void VirtualServiceRules::Check() {
  if (service_.http_size() + service_.tls_size() + service_.tcp_size() == 0) {
    check_.Add(spec_, "no routes; expected one of http, tls and tcp");
  }
  CheckHosts();
  CheckGateways();
  const FieldPath http = spec_.Field("http"), tls = spec_.Field("tls"), tcp = spec_.Field("tcp");
  for (int i = 0; i < service_.http_size(); ++i) CheckHttp(service_.http(i), http.Item(i));
  const auto check_l4_routes = [&](const auto& route, const FieldPath& path) {
    const FieldPath routes = path.Field("route");
    if (route.route().empty()) check_.Add(routes, "missing; expected a destination");
    CheckRoutes(route.route(), routes);
  };
  for (int i = 0; i < service_.tls_size(); ++i) {
    const FieldPath path = tls.Item(i);
    CheckTls(service_.tls(i), path);
    check_l4_routes(service_.tls(i), path);
  }
  for (int i = 0; i < service_.tcp_size(); ++i) {
    const FieldPath path = tcp.Item(i);
    const FieldPath matches = path.Field("match");
    for (int j = 0; j < service_.tcp(i).match_size(); ++j) {
      CheckL4Match(service_.tcp(i).match(j), matches.Item(j));
    }
    check_l4_routes(service_.tcp(i), path);
  }
  check_.ExportTo(spec_.Field("exportTo"), service_.export_to(), ns_, false);
}

}  // namespace

void ValidateVirtualService(const VirtualService& service, const RuleContext& context) {
  VirtualServiceRules(service, context).Check();
}

}  // namespace meltemi::config
