// SPDX-License-Identifier: Apache-2.0
// Gateway and PeerAuthentication. Istio's documented rules.
#include <set>
#include <string>

#include "lib/config/names.h"
#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

class GatewayRules final {
 public:
  explicit GatewayRules(const RuleContext& context)
      : check_(context.check), is_of_gateway_api_(context.is_of_gateway_api) {}

  void CheckServer(const Server& server, const FieldPath& path);

 private:
  void CheckHosts(const Server& server, const FieldPath& path);
  void CheckPort(const Server& server, const FieldPath& path);
  void CheckTls(const Server& server, const FieldPath& path);
  void CheckSources(const ServerTLSSettings& tls, const FieldPath& path);
  void CheckFiles(const ServerTLSSettings& tls, const FieldPath& path);

  const Checker& check_;
  const bool is_of_gateway_api_;
};

void GatewayRules::CheckHosts(const Server& server, const FieldPath& path) {
  if (server.hosts().empty()) check_.Add(path, "missing; expected the hosts to serve, or \"*\"");
  for (int i = 0; i < server.hosts_size(); ++i) {
    std::string_view host = server.hosts(i);
    const FieldPath at = path.Item(i);
    if (const size_t slash = host.find('/'); slash != std::string_view::npos) {
      const std::string_view ns = host.substr(0, slash);
      const bool is_hidden = ns == "~" && is_of_gateway_api_;
      if (ns != "*" && ns != "." && !is_hidden && !IsDnsLabel(ns)) {
        check_.Add(at, Quoted(ns) + " is no namespace; expected NAMESPACE/HOST, ./HOST or */HOST");
      }
      host.remove_prefix(slash + 1);
    }
    const bool is_partial = host.size() > 1 && host[0] == '*' && host[1] != '.';
    const bool is_short = host != "*" && host.find('.') == std::string_view::npos;
    if ((!IsWildcardDomain(host) || is_partial || is_short) && !IsIpAddress(host)) {
      check_.Add(at, Quoted(host) +
                         " is no domain; expected one such as www.example.com, "
                         "*.example.com or *");
    }
  }
}

void GatewayRules::CheckPort(const Server& server, const FieldPath& path) {
  const FieldPath port = path.Field("port");
  if (!server.has_port()) {
    return check_.Add(port, "missing; expected number, name and protocol");
  }
  const bool is_unix = server.bind().starts_with("unix://");
  if (is_unix && server.port().number() != 0) {
    check_.Add(port.Field("number"), "a Unix socket has no port; expected 0");
  } else if (!is_unix) {
    check_.Port(port.Field("number"), server.port().number());
  }
  if (!server.bind().empty() && !is_unix && !IsIpAddress(server.bind())) {
    check_.Add(path.Field("bind"), "no address; expected an IP address or unix:///PATH");
  }
  if (!IsKnownProtocol(server.port().protocol())) {
    check_.Add(port.Field("protocol"),
               Quoted(server.port().protocol()) +
                   " is no protocol; expected one of HTTP, HTTPS, HTTP2, GRPC, TCP, TLS and MONGO");
  }
  if (server.port().name().empty()) {
    check_.Add(port.Field("name"), "missing; expected a name that no other server's port has");
  }
  if (server.port().target_port() != 0) {
    check_.Add(port.Field("targetPort"), "not used by a Gateway; expected it left out");
  }
}

// Where the server's certificate comes from: one source.
void GatewayRules::CheckSources(const ServerTLSSettings& tls, const FieldPath& path) {
  const int sources = !tls.credential_name().empty() + !tls.credential_names().empty() +
                      !tls.tls_certificates().empty() +
                      (!tls.server_certificate().empty() && !tls.private_key().empty());
  if (sources > 1) {
    check_.Add(path,
               "several certificates; expected one of credentialName, credentialNames, "
               "tlsCertificates, and serverCertificate with privateKey");
  }
}

void GatewayRules::CheckFiles(const ServerTLSSettings& tls, const FieldPath& path) {
  const auto check_pair = [&](const auto& pair, const FieldPath& at) {
    if (pair.server_certificate().empty()) {
      check_.Add(at.Field("serverCertificate"), "missing; expected the certificate's file");
    }
    if (pair.private_key().empty()) {
      check_.Add(at.Field("privateKey"), "missing; expected the private key's file");
    }
  };
  const FieldPath pairs = path.Field("tlsCertificates");
  for (int i = 0; i < tls.tls_certificates_size(); ++i) {
    check_pair(tls.tls_certificates(i), pairs.Item(i));
  }
  const bool has_credential = !tls.credential_name().empty() || !tls.credential_names().empty();
  if (tls.tls_certificates().empty() && !has_credential) check_pair(tls, path);
  const bool is_mutual =
      tls.mode() == ServerTLSSettings::MUTUAL || tls.mode() == ServerTLSSettings::OPTIONAL_MUTUAL;
  if (is_mutual && tls.ca_certificates().empty() && !has_credential &&
      tls.ca_cert_credential_name().empty()) {
    check_.Add(path.Field("caCertificates"), "missing; expected the file of the clients' CA");
  }
  if (!tls.ca_crl().empty() && (has_credential || tls.mode() == ServerTLSSettings::SIMPLE)) {
    check_.Add(path.Field("caCrl"), "not used here; expected it with MUTUAL and files");
  }
}

void GatewayRules::CheckTls(const Server& server, const FieldPath& path) {
  const std::string protocol = UpperCase(server.port().protocol());
  const bool needs_tls = protocol == "HTTPS" || protocol == "TLS";
  if (!server.has_tls()) {
    if (needs_tls) check_.Add(path, "missing; expected tls with a mode for " + protocol);
    return;
  }
  const ServerTLSSettings& tls = server.tls();
  if (!needs_tls) {
    ServerTLSSettings rest = tls;
    rest.clear_https_redirect();
    if (rest.ByteSizeLong() != 0) {
      check_.Add(path, "beside a port without TLS; expected protocol HTTPS or TLS");
    }
    return;
  }
  CheckSources(tls, path);
  if (tls.mode() == ServerTLSSettings::ISTIO_MUTUAL) {
    if (!tls.credential_name().empty() || !tls.server_certificate().empty() ||
        !tls.private_key().empty() || !tls.ca_certificates().empty() || !tls.ca_crl().empty() ||
        !tls.credential_names().empty() || !tls.tls_certificates().empty()) {
      check_.Add(path, "ISTIO_MUTUAL uses the mesh's certificates; expected no others");
    }
  } else if (tls.mode() == ServerTLSSettings::SIMPLE || tls.mode() == ServerTLSSettings::MUTUAL ||
             tls.mode() == ServerTLSSettings::OPTIONAL_MUTUAL) {
    CheckFiles(tls, path);
  }
}

void GatewayRules::CheckServer(const Server& server, const FieldPath& path) {
  CheckHosts(server, path.Field("hosts"));
  CheckPort(server, path);
  CheckTls(server, path.Field("tls"));
}

}  // namespace

void ValidateGateway(const Gateway& gateway, const RuleContext& context) {
  const FieldPath servers = context.spec.Field("servers");
  if (gateway.servers().empty()) {
    context.check.Add(servers, "missing; expected a server with hosts and port");
  }
  GatewayRules rules(context);
  std::set<std::string_view> names;
  for (int i = 0; i < gateway.servers_size(); ++i) {
    const FieldPath server = servers.Item(i);
    rules.CheckServer(gateway.servers(i), server);
    const std::string& name = gateway.servers(i).port().name();
    if (!name.empty() && !names.insert(name).second) {
      const FieldPath port = server.Field("port");
      context.check.Add(port.Field("name"), Quoted(name) +
                                                " is the name of another server's port; "
                                                "expected port names that differ");
    }
  }
}

void ValidatePeerAuthentication(const istio::security::v1::PeerAuthentication& policy,
                                const RuleContext& context) {
  const FieldPath selector = context.spec.Field("selector"),
                  ports = context.spec.Field("portLevelMtls");
  context.check.LabelSelector(selector.Field("matchLabels"), policy.selector().match_labels());
  if (!policy.port_level_mtls().empty() && policy.selector().match_labels().empty()) {
    context.check.Add(ports,
                      "without a selector; expected selector.matchLabels of the workloads "
                      "that have these ports");
  }
  for (const auto& [port, settings] : policy.port_level_mtls()) {
    const std::string key = std::to_string(port);
    context.check.Port(ports.Key(key), port);
  }
}

}  // namespace meltemi::config
