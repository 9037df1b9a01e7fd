// SPDX-License-Identifier: Apache-2.0
// The catalogue. A kind whose prototype is missing is stored and served as the document it is;
// nothing of ours reads it yet.
#include <algorithm>
#include <array>
#include <cctype>

#include "api/core/v1/core.pb.h"
#include "api/networking/v1/destination_rule.pb.h"
#include "api/networking/v1/gateway.pb.h"
#include "api/networking/v1/service_entry.pb.h"
#include "api/networking/v1/sidecar.pb.h"
#include "api/networking/v1/virtual_service.pb.h"
#include "api/security/v1/authorization_policy.pb.h"
#include "api/security/v1/peer_authentication.pb.h"
#include "api/security/v1/request_authentication.pb.h"
#include "lib/config/kind.h"

namespace meltemi::config {
namespace {

namespace core = meltemi::api::core::v1;
namespace networking = istio::networking::v1;
namespace security = istio::security::v1;

using Prototype = const google::protobuf::Message* (*)();

template <typename T>
const google::protobuf::Message* Of() {
  return &T::default_instance();
}

constexpr bool kNamespaced = true, kCluster = false;
constexpr std::string_view kNetworking = "networking.istio.io", kSecurity = "security.istio.io",
                           kExtensions = "extensions.istio.io",
                           kGatewayApi = "gateway.networking.k8s.io",
                           kRbac = "rbac.authorization.k8s.io";

// A kind of Kubernetes: what we know of it we decode, the rest is kept.
constexpr Kind Core(std::string_view group, std::string_view version, std::string_view kind,
                    std::string_view plural, std::string_view singular, std::string_view shorts,
                    bool is_namespaced = kNamespaced, Prototype prototype = nullptr,
                    std::string_view others = "") {
  return {group,       version,   kind,          plural,
          singular,    shorts,    is_namespaced, Strictness::kLenient,
          Body::kRoot, prototype, others};
}

// A kind of Istio's or of the Gateway API.
constexpr Kind Mesh(std::string_view group, std::string_view version, std::string_view kind,
                    std::string_view plural, std::string_view singular, std::string_view shorts,
                    std::string_view others, Prototype prototype = nullptr,
                    bool is_namespaced = kNamespaced) {
  return {group,       version,   kind,          plural,
          singular,    shorts,    is_namespaced, Strictness::kStrict,
          Body::kSpec, prototype, others};
}

constexpr std::string_view kBetaAlpha3 = "v1beta1,v1alpha3";

constexpr Kind kBackendTlsPolicy = Mesh(kGatewayApi, "v1", "BackendTLSPolicy", "backendtlspolicies",
                                        "backendtlspolicy", "btlspolicy", "v1alpha3");
constexpr Kind kClusterRole =
    Core(kRbac, "v1", "ClusterRole", "clusterroles", "clusterrole", "", kCluster);
constexpr Kind kClusterRoleBinding = Core(kRbac, "v1", "ClusterRoleBinding", "clusterrolebindings",
                                          "clusterrolebinding", "", kCluster);
constexpr Kind kCronJob = Core("batch", "v1", "CronJob", "cronjobs", "cronjob", "cj");
constexpr Kind kCustomResourceDefinition =
    Core("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions",
         "customresourcedefinition", "crd,crds", kCluster);
constexpr Kind kDaemonSet = Core("apps", "v1", "DaemonSet", "daemonsets", "daemonset", "ds");
constexpr Kind kEndpoints = Core("", "v1", "Endpoints", "endpoints", "endpoints", "ep");
constexpr Kind kEnvoyFilter =
    Mesh(kNetworking, "v1alpha3", "EnvoyFilter", "envoyfilters", "envoyfilter", "", "");
constexpr Kind kEvent = Core("", "v1", "Event", "events", "event", "ev");
constexpr Kind kGatewayClass = Mesh(kGatewayApi, "v1", "GatewayClass", "gatewayclasses",
                                    "gatewayclass", "gc", "v1beta1", nullptr, kCluster);
constexpr Kind kGatewayOfApi =
    Mesh(kGatewayApi, "v1", "Gateway", "gateways", "gateway", "gtw", "v1beta1");
constexpr Kind kGrpcRoute =
    Mesh(kGatewayApi, "v1", "GRPCRoute", "grpcroutes", "grpcroute", "", "v1alpha2");
constexpr Kind kHorizontalPodAutoscaler =
    Core("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers",
         "horizontalpodautoscaler", "hpa");
constexpr Kind kHttpRoute =
    Mesh(kGatewayApi, "v1", "HTTPRoute", "httproutes", "httproute", "", "v1beta1");
constexpr Kind kIngress = Core("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress", "ing");
constexpr Kind kIngressClass =
    Core("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "ingressclass", "", kCluster);
constexpr Kind kIstioOperator =
    Core("install.istio.io", "v1alpha1", "IstioOperator", "istiooperators", "istiooperator", "iop");
constexpr Kind kJob = Core("batch", "v1", "Job", "jobs", "job", "");
constexpr Kind kLease = Core("coordination.k8s.io", "v1", "Lease", "leases", "lease", "");
constexpr Kind kListenerSet =
    Mesh(kGatewayApi, "v1", "ListenerSet", "listenersets", "listenerset", "lset", "");
constexpr Kind kMutatingWebhookConfiguration =
    Core("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration",
         "mutatingwebhookconfigurations", "mutatingwebhookconfiguration", "", kCluster);
constexpr Kind kNetworkPolicy =
    Core("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy", "netpol");
constexpr Kind kPersistentVolumeClaim = Core(
    "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", "pvc");
constexpr Kind kPodDisruptionBudget = Core("policy", "v1", "PodDisruptionBudget",
                                           "poddisruptionbudgets", "poddisruptionbudget", "pdb");
constexpr Kind kPodSecurityPolicy =
    Core("policy", "v1beta1", "PodSecurityPolicy", "podsecuritypolicies", "podsecuritypolicy",
         "psp", kCluster);
constexpr Kind kProxyConfig =
    Mesh(kNetworking, "v1beta1", "ProxyConfig", "proxyconfigs", "proxyconfig", "", "");
constexpr Kind kReferenceGrant = Mesh(kGatewayApi, "v1", "ReferenceGrant", "referencegrants",
                                      "referencegrant", "refgrant", "v1beta1,v1alpha2");
constexpr Kind kReplicaSet = Core("apps", "v1", "ReplicaSet", "replicasets", "replicaset", "rs");
constexpr Kind kRole = Core(kRbac, "v1", "Role", "roles", "role", "");
constexpr Kind kRoleBinding = Core(kRbac, "v1", "RoleBinding", "rolebindings", "rolebinding", "");
constexpr Kind kStatefulSet =
    Core("apps", "v1", "StatefulSet", "statefulsets", "statefulset", "sts");
constexpr Kind kTcpRoute =
    Mesh(kGatewayApi, "v1", "TCPRoute", "tcproutes", "tcproute", "", "v1alpha2");
constexpr Kind kTlsRoute =
    Mesh(kGatewayApi, "v1", "TLSRoute", "tlsroutes", "tlsroute", "", "v1alpha2,v1alpha3");
constexpr Kind kTrafficExtension = Mesh(kExtensions, "v1alpha1", "TrafficExtension",
                                        "trafficextensions", "trafficextension", "", "");
constexpr Kind kUdpRoute =
    Mesh(kGatewayApi, "v1", "UDPRoute", "udproutes", "udproute", "", "v1alpha2");
constexpr Kind kValidatingAdmissionPolicy =
    Core("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy",
         "validatingadmissionpolicies", "validatingadmissionpolicy", "", kCluster);
constexpr Kind kValidatingAdmissionPolicyBinding =
    Core("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding",
         "validatingadmissionpolicybindings", "validatingadmissionpolicybinding", "", kCluster);
constexpr Kind kValidatingWebhookConfiguration =
    Core("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration",
         "validatingwebhookconfigurations", "validatingwebhookconfiguration", "", kCluster);
constexpr Kind kWasmPlugin =
    Mesh(kExtensions, "v1alpha1", "WasmPlugin", "wasmplugins", "wasmplugin", "", "");
constexpr Kind kWorkloadGroup =
    Mesh(kNetworking, "v1", "WorkloadGroup", "workloadgroups", "workloadgroup", "wg", kBetaAlpha3);

}  // namespace

namespace kinds {
constinit const Kind kAuthorizationPolicy =
    Mesh(kSecurity, "v1", "AuthorizationPolicy", "authorizationpolicies", "authorizationpolicy",
         "ap", "v1beta1", Of<security::AuthorizationPolicy>);
constinit const Kind kConfigMap =
    Core("", "v1", "ConfigMap", "configmaps", "configmap", "cm", kNamespaced, Of<core::ConfigMap>);
constinit const Kind kDeployment = Core("apps", "v1", "Deployment", "deployments", "deployment",
                                        "deploy", kNamespaced, Of<core::Deployment>);
constinit const Kind kDestinationRule =
    Mesh(kNetworking, "v1", "DestinationRule", "destinationrules", "destinationrule", "dr",
         kBetaAlpha3, Of<networking::DestinationRule>);
constinit const Kind kEndpointSlice =
    Core("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice", "",
         kNamespaced, Of<core::EndpointSlice>, "v1beta1");
constinit const Kind kGateway = Mesh(kNetworking, "v1", "Gateway", "gateways", "gateway", "gw",
                                     kBetaAlpha3, Of<networking::Gateway>);
constinit const Kind kNamespace =
    Core("", "v1", "Namespace", "namespaces", "namespace", "ns", kCluster, Of<core::Namespace>);
constinit const Kind kNode =
    Core("", "v1", "Node", "nodes", "node", "no", kCluster, Of<core::Node>);
constinit const Kind kPeerAuthentication =
    Mesh(kSecurity, "v1", "PeerAuthentication", "peerauthentications", "peerauthentication", "pa",
         "v1beta1", Of<security::PeerAuthentication>);
constinit const Kind kPod = Core("", "v1", "Pod", "pods", "pod", "po", kNamespaced, Of<core::Pod>);
constinit const Kind kRequestAuthentication =
    Mesh(kSecurity, "v1", "RequestAuthentication", "requestauthentications",
         "requestauthentication", "ra", "v1beta1", Of<security::RequestAuthentication>);
constinit const Kind kSecret =
    Core("", "v1", "Secret", "secrets", "secret", "", kNamespaced, Of<core::Secret>);
constinit const Kind kService =
    Core("", "v1", "Service", "services", "service", "svc", kNamespaced, Of<core::Service>);
constinit const Kind kServiceAccount =
    Core("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount", "sa", kNamespaced,
         Of<core::ServiceAccount>);
constinit const Kind kServiceEntry =
    Mesh(kNetworking, "v1", "ServiceEntry", "serviceentries", "serviceentry", "se", kBetaAlpha3,
         Of<networking::ServiceEntry>);
constinit const Kind kSidecar = Mesh(kNetworking, "v1", "Sidecar", "sidecars", "sidecar", "",
                                     kBetaAlpha3, Of<networking::Sidecar>);
constinit const Kind kTelemetry =
    Mesh("telemetry.istio.io", "v1", "Telemetry", "telemetries", "telemetry", "", "v1alpha1");
constinit const Kind kVirtualService =
    Mesh(kNetworking, "v1", "VirtualService", "virtualservices", "virtualservice", "vs",
         kBetaAlpha3, Of<networking::VirtualService>);
constinit const Kind kWorkloadEntry =
    Mesh(kNetworking, "v1", "WorkloadEntry", "workloadentries", "workloadentry", "we", kBetaAlpha3,
         Of<networking::WorkloadEntry>);
}  // namespace kinds

namespace {

constexpr std::array kAll = {
    &kinds::kAuthorizationPolicy,
    &kBackendTlsPolicy,
    &kClusterRole,
    &kClusterRoleBinding,
    &kinds::kConfigMap,
    &kCronJob,
    &kCustomResourceDefinition,
    &kDaemonSet,
    &kinds::kDeployment,
    &kinds::kDestinationRule,
    &kinds::kEndpointSlice,
    &kEndpoints,
    &kEnvoyFilter,
    &kEvent,
    &kGrpcRoute,
    &kinds::kGateway,  // before the Gateway API's: the word "gateway" means Istio's
    &kGatewayOfApi,
    &kGatewayClass,
    &kHttpRoute,
    &kHorizontalPodAutoscaler,
    &kIngress,
    &kIngressClass,
    &kIstioOperator,
    &kJob,
    &kLease,
    &kListenerSet,
    &kMutatingWebhookConfiguration,
    &kinds::kNamespace,
    &kNetworkPolicy,
    &kinds::kNode,
    &kinds::kPeerAuthentication,
    &kPersistentVolumeClaim,
    &kinds::kPod,
    &kPodDisruptionBudget,
    &kPodSecurityPolicy,
    &kProxyConfig,
    &kReferenceGrant,
    &kReplicaSet,
    &kinds::kRequestAuthentication,
    &kRole,
    &kRoleBinding,
    &kinds::kSecret,
    &kinds::kService,
    &kinds::kServiceAccount,
    &kinds::kServiceEntry,
    &kinds::kSidecar,
    &kStatefulSet,
    &kTcpRoute,
    &kTlsRoute,
    &kinds::kTelemetry,
    &kTrafficExtension,
    &kUdpRoute,
    &kValidatingAdmissionPolicy,
    &kValidatingAdmissionPolicyBinding,
    &kValidatingWebhookConfiguration,
    &kinds::kVirtualService,
    &kWasmPlugin,
    &kinds::kWorkloadEntry,
    &kWorkloadGroup,
};

bool IsAmong(std::string_view word, std::string_view comma_separated) {
  while (!comma_separated.empty()) {
    const size_t end = std::min(comma_separated.find(','), comma_separated.size());
    if (comma_separated.substr(0, end) == word) return true;
    comma_separated.remove_prefix(std::min(end + 1, comma_separated.size()));
  }
  return false;
}

bool IsVersion(std::string_view word) {
  return word.size() > 1 && word[0] == 'v' && word[1] >= '0' && word[1] <= '9';
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

}  // namespace

std::string Kind::api_version() const {
  return group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
}

bool Kind::accepts(std::string_view version_word) const {
  return version_word == version || IsAmong(version_word, other_versions);
}

std::span<const Kind* const> AllKinds() {
  return kAll;
}

std::string_view GroupOf(std::string_view api_version) {
  const size_t slash = api_version.find('/');
  if (slash != std::string_view::npos) return api_version.substr(0, slash);
  return IsVersion(api_version) ? std::string_view() : api_version;
}

bool IsKnownGroup(std::string_view group) {
  return std::any_of(kAll.begin(), kAll.end(), [&](const Kind* k) { return k->group == group; });
}

const Kind* FindKind(std::string_view api_version, std::string_view kind) {
  const std::string_view group = GroupOf(api_version);
  const size_t slash = api_version.find('/');
  const std::string_view version = slash != std::string_view::npos ? api_version.substr(slash + 1)
                                   : IsVersion(api_version)        ? api_version
                                                                   : std::string_view();
  for (const Kind* candidate : kAll) {
    if (candidate->kind != kind || candidate->group != group) continue;
    if (version.empty() ? slash == std::string_view::npos : candidate->accepts(version)) {
      return candidate;
    }
  }
  return nullptr;
}

const Kind* FindKindByWord(std::string_view word) {
  const std::string lower = Lower(word);
  for (const Kind* kind : kAll) {
    for (const std::string& name :
         {std::string(kind->plural), std::string(kind->singular), Lower(kind->kind)}) {
      if (lower == name || (!kind->group.empty() && lower == name + "." + std::string(kind->group)))
        return kind;
    }
    if (IsAmong(lower, kind->short_names)) return kind;
  }
  return nullptr;
}

const Kind* FindKindByPlural(std::string_view group, std::string_view plural) {
  for (const Kind* kind : kAll)
    if (kind->group == group && kind->plural == plural) return kind;
  return nullptr;
}

}  // namespace meltemi::config
