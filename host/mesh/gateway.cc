// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/gateway.h"

namespace meltemi::host {
namespace {

constexpr const char* kNamespace = "istio-system";
constexpr const char* kName = "istio-ingressgateway";
constexpr const char* kServiceAccount = "istio-ingressgateway-service-account";
constexpr uint16_t kStatusPort = 15021;

Json Labels() {
  return {{"app", kName}, {"istio", "ingressgateway"}};
}

Json Port(const char* name, int port, int target) {
  return {{"name", name}, {"port", port}, {"targetPort", target}, {"protocol", "TCP"}};
}

}  // namespace

std::vector<Json> Gateway::Objects() const {
  const Json metadata = {{"name", kName}, {"namespace", kNamespace}, {"labels", Labels()}};
  return {
      {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", kNamespace}}}},
      {{"apiVersion", "v1"},
       {"kind", "ServiceAccount"},
       {"metadata", {{"name", kServiceAccount}, {"namespace", kNamespace}}}},
      {{"apiVersion", "v1"},
       {"kind", "Service"},
       {"metadata", metadata},
       {"spec",
        {{"type", "LoadBalancer"},
         {"selector", Labels()},
         {"ports",
          Json::array({Port("status-port", kStatusPort, kStatusPort), Port("http2", 80, port_),
                       Port("https", 443, tls_port_),
                       // What Istio's gateway has as targets of these two, which many
                       // Gateways name instead.
                       Port("http-8080", 8080, port_), Port("https-8443", 8443, tls_port_)})}}},
       {"status", {{"loadBalancer", {{"ingress", Json::array({Json{{"ip", "127.0.0.1"}}})}}}}}}};
}

PodRequest Gateway::Pod() const {
  PodRequest request;
  request.ns = kNamespace;
  request.pod_template = {
      {"metadata", {{"labels", Labels()}}},
      {"spec",
       {{"serviceAccountName", kServiceAccount},
        {"containers", Json::array({Json{{"name", "istio-proxy"}, {"image", "auto"}}})}}}};
  request.template_hash = TemplateHash(request.pod_template);
  request.owner_kind = "ReplicaSet";
  request.owner_name = std::string(kName) + "-" + request.template_hash;
  request.name = request.owner_name + "-local";
  request.is_gateway = true;
  return request;
}

}  // namespace meltemi::host
