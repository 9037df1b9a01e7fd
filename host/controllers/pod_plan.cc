// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/pod_plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace meltemi::host {
namespace {

// Without vowels and look-alikes, as Kubernetes' generated names.
constexpr std::string_view kSafeLetters = "bcdfghjklmnpqrstvwxz2456789";
constexpr size_t kHashLetters = 10;

Status Refuse(const std::string& what, const std::string& remedy) {
  return absl::InvalidArgumentError(fmt::format("{}\n{}", what, remedy));
}

std::vector<std::string> Strings(const Json& list) {
  std::vector<std::string> strings;
  for (const Json& item : list)
    if (item.is_string()) strings.push_back(item.get<std::string>());
  return strings;
}

// fieldRef of the downward API; "" when the field is not served here.
StatusOr<std::string> DownwardField(const std::string& path, const PodIdentity& pod,
                                    const PodPlan& plan) {
  if (path == "metadata.name") return pod.name;
  if (path == "metadata.namespace") return pod.ns;
  if (path == "status.podIP" || path == "status.hostIP") return pod.ip;
  if (path == "spec.serviceAccountName") return plan.service_account;
  if (path == "spec.nodeName") return std::string("localhost");
  for (const auto& [prefix, map] : {std::pair{"metadata.labels['", &plan.labels},
                                    std::pair{"metadata.annotations['", &plan.annotations}}) {
    if (!path.starts_with(prefix) || !path.ends_with("']")) continue;
    const size_t start = std::string_view(prefix).size();
    const auto found = map->find(path.substr(start, path.size() - start - 2));
    return found == map->end() ? std::string() : found->second;
  }
  return Refuse(fmt::format("env from field {} is not available on a plain host", path),
                "set the variable to a value in the Deployment");
}

StatusOr<std::map<std::string, std::string>> Environment(const Json& container,
                                                         const PodIdentity& pod,
                                                         const PodPlan& plan) {
  std::map<std::string, std::string> env;
  for (const Json& variable : ArrayAt(container, "env")) {
    const std::string name = StringAt(variable, "name");
    const Json& from = At(variable, "valueFrom");
    if (name.empty() || name.find('=') != std::string::npos)
      return Refuse(fmt::format("env has a variable named \"{}\"", name), "name it");
    if (!from.is_object()) {
      env[name] = StringAt(variable, "value");
      continue;
    }
    const std::string field = StringAt(from, "fieldRef/fieldPath");
    if (field.empty())
      return Refuse(
          fmt::format("env {} comes from a Secret, a ConfigMap or a resource, which a plain "
                      "host does not serve",
                      name),
          "set the variable to a value in the Deployment or in the image map");
    MELTEMI_ASSIGN_OR_RETURN(env[name], DownwardField(field, pod, plan));
  }
  return env;
}

// $(NAME) in command and args, as the kubelet expands it: unknown names stay, $$ is a dollar.
std::string Expand(const std::string& text, const std::map<std::string, std::string>& env) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out.push_back(text[i]);
    } else if (text[i + 1] == '$') {
      out.push_back(text[++i]);
    } else if (const size_t end = text.find(')', i);
               text[i + 1] == '(' && end != std::string::npos) {
      const auto found = env.find(text.substr(i + 2, end - i - 2));
      out += found == env.end() ? text.substr(i, end - i + 1) : found->second;
      i = end;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// A probe's port: a number, or the name of one of the container's ports.
StatusOr<uint16_t> ProbePort(const Json& port, const Json& container) {
  if (port.is_number_integer() && port.get<int64_t>() > 0 && port.get<int64_t>() < 65536)
    return static_cast<uint16_t>(port.get<int64_t>());
  if (port.is_string())
    for (const Json& known : ArrayAt(container, "ports"))
      if (StringAt(known, "name") == port.get<std::string>())
        return static_cast<uint16_t>(NumberAt(known, "containerPort"));
  return Refuse("a probe has no valid port", "name a number, or a port of the container");
}

// Of an app without a readiness probe: its first TCP port must open. Kubernetes would call it
// ready at once, and its first callers would meet a closed port.
Probe AwaitFirstPort(const Json& container) {
  constexpr Duration kWaitMax = std::chrono::seconds(10);
  Probe probe;
  for (const Json& port : ArrayAt(container, "ports")) {
    const int64_t number = NumberAt(port, "containerPort");
    if (StringAt(port, "protocol", "TCP") != "TCP" || number < 1 || number > 65535) continue;
    probe.kind = ProbeKind::kTcp;
    probe.port = static_cast<uint16_t>(number);
    probe.failure_threshold = static_cast<int>(kWaitMax / kEagerPeriod);
    probe.is_once = true;
    break;
  }
  return probe;
}

StatusOr<Probe> ReadProbe(const Json& spec, const Json& container) {
  Probe probe;
  if (!spec.is_object()) return probe;
  const auto seconds = [&spec](const char* field, int64_t otherwise, int64_t least) {
    return std::chrono::seconds(
        std::clamp<int64_t>(NumberAt(spec, field, otherwise), least, 86400));
  };
  probe.initial_delay = seconds("initialDelaySeconds", 0, 0);
  probe.period = seconds("periodSeconds", 10, 1);
  probe.timeout = seconds("timeoutSeconds", 1, 1);
  probe.success_threshold =
      static_cast<int>(std::clamp<int64_t>(NumberAt(spec, "successThreshold", 1), 1, 1000));
  probe.failure_threshold =
      static_cast<int>(std::clamp<int64_t>(NumberAt(spec, "failureThreshold", 3), 1, 1000));
  if (const Json& exec = At(spec, "exec"); exec.is_object()) {
    probe.kind = ProbeKind::kExec;
    probe.command = Strings(ArrayAt(exec, "command"));
    if (probe.command.empty()) return Refuse("an exec probe has no command", "add it");
    return probe;
  }
  const Json& http = At(spec, "httpGet");
  const Json& tcp = At(spec, "tcpSocket");
  if (!http.is_object() && !tcp.is_object())
    return Refuse("a probe is neither exec, httpGet nor tcpSocket", "use one of these");
  // A check of HTTPS would need the app's certificates; that its port takes connections is what can
  // be said.
  const bool is_http = http.is_object() && StringAt(http, "scheme", "HTTP") == "HTTP";
  probe.kind = is_http ? ProbeKind::kHttp : ProbeKind::kTcp;
  MELTEMI_ASSIGN_OR_RETURN(probe.port,
                           ProbePort(At(http.is_object() ? http : tcp, "port"), container));
  probe.path = StringAt(http, "path", "/");
  if (!probe.path.starts_with("/")) probe.path = "/" + probe.path;
  for (const Json& header : ArrayAt(http, "httpHeaders")) {
    const std::string name = StringAt(header, "name"), value = StringAt(header, "value");
    if ((name + value + probe.path).find_first_of("\r\n") != std::string::npos)
      return Refuse("a probe's header has a line break", "remove it");
    if (name == "Host")
      probe.host = value;
    else
      probe.headers += name + ": " + value + "\r\n";
  }
  if (probe.path.find_first_of(" \r\n") != std::string::npos)
    return Refuse("a probe's path has a space or a line break", "encode it");
  return probe;
}

StatusOr<const Json*> OnlyContainer(const Json& pod_template) {
  const Json* app = nullptr;
  for (const Json& container : ArrayAt(pod_template, "spec/containers")) {
    if (StringAt(container, "name") == "istio-proxy")
      continue;  // settings of the proxy that we run ourselves
    if (app != nullptr)
      return Refuse("it has several containers, and a plain host runs one per workload",
                    "make a Deployment of each");
    app = &container;
  }
  if (app == nullptr) return Refuse("it has no container", "add one to its template");
  return app;
}

}  // namespace

std::string TemplateHash(const Json& pod_template) {
  // FNV-1a of the canonical text: equal templates, equal names, in every run.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : pod_template.dump(-1, ' ', false, Json::error_handler_t::replace))
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  std::string text;
  for (size_t i = 0; i < kHashLetters; ++i, hash /= kSafeLetters.size())
    text.push_back(kSafeLetters[hash % kSafeLetters.size()]);
  return text;
}

StatusOr<PodPlan> PlanPod(const Json& pod_template, const PodIdentity& pod, const ImageMap& images,
                          const std::vector<std::string>& base_env) {
  PodPlan plan;
  plan.labels = MapAt(pod_template, "metadata/labels");
  plan.annotations = MapAt(pod_template, "metadata/annotations");
  for (const auto* map : {&plan.labels, &plan.annotations})
    if (const auto found = map->find("sidecar.istio.io/inject");
        found != map->end() && found->second == "false")
      return Refuse(
          "it asks for no sidecar (sidecar.istio.io/inject), but a plain host runs workloads in "
          "the mesh only",
          "remove the setting, or start the program outside of the mesh by hand");
  plan.service_account = StringAt(pod_template, "spec/serviceAccountName", "default");
  MELTEMI_ASSIGN_OR_RETURN(const Json* container, OnlyContainer(pod_template));
  plan.image = StringAt(*container, "image");
  const ImageCommand* mapped = images.Find(plan.image);
  if (mapped == nullptr)
    return absl::NotFoundError(fmt::format(
        "image {} has no mapping to a local command\nadd to {}:\n- image: \"{}\"\n  command: "
        "[PROGRAM, ARGUMENT]",
        plan.image, images.path().empty() ? "an image map (--images FILE)" : images.path(),
        plan.image));
  MELTEMI_ASSIGN_OR_RETURN(auto env, Environment(*container, pod, plan));
  env.insert({"HOSTNAME", pod.name});
  for (const auto& [name, value] : mapped->env)
    env.insert({name, value});  // the Deployment's own wins
  std::vector<std::string> argv = Strings(ArrayAt(*container, "command"));
  if (argv.empty()) argv = mapped->command;
  for (const std::string& arg : Strings(ArrayAt(*container, "args"))) argv.push_back(arg);
  for (std::string& word : argv) plan.app.argv.push_back(Expand(word, env));
  for (const std::string& variable : base_env)
    if (!env.contains(variable.substr(0, variable.find('=')))) plan.app.env.push_back(variable);
  for (const auto& [name, value] : env) plan.app.env.push_back(name + "=" + value);
  plan.app.working_directory = mapped->working_directory;
  for (const auto& [field, probe] :
       {std::pair{"startupProbe", &plan.startup}, std::pair{"readinessProbe", &plan.readiness},
        std::pair{"livenessProbe", &plan.liveness}}) {
    MELTEMI_ASSIGN_OR_RETURN(*probe, ReadProbe(At(*container, field), *container));
  }
  if (plan.readiness.kind == ProbeKind::kNone) plan.readiness = AwaitFirstPort(*container);
  plan.stop_max = std::chrono::seconds(std::clamp<int64_t>(
      NumberAt(pod_template, "spec/terminationGracePeriodSeconds", 30), 0, 3600));
  return plan;
}

Json PodObject(const Json& pod_template, const PodIdentity& pod, const std::string& owner_kind,
               const std::string& owner_name, const std::string& owner_uid,
               const std::string& template_hash, const PodStatus& status) {
  Json object = {{"apiVersion", "v1"},
                 {"kind", "Pod"},
                 {"metadata", {{"name", pod.name}, {"namespace", pod.ns}}}};
  Json& metadata = object["metadata"];
  metadata["labels"] = MapAt(pod_template, "metadata/labels");
  metadata["labels"]["pod-template-hash"] = template_hash;
  if (const auto annotations = MapAt(pod_template, "metadata/annotations"); !annotations.empty())
    metadata["annotations"] = annotations;
  // Istio finds the workload's name by cutting the hash from the ReplicaSet that owns a Pod.
  if (!owner_name.empty())
    metadata["ownerReferences"] = Json::array({Json{{"apiVersion", "apps/v1"},
                                                    {"kind", owner_kind},
                                                    {"name", owner_name},
                                                    {"uid", owner_uid},
                                                    {"controller", true}}});
  object["spec"] = At(pod_template, "spec").is_object() ? At(pod_template, "spec") : Json::object();
  Json& spec = object["spec"];
  if (StringAt(spec, "serviceAccountName").empty()) spec["serviceAccountName"] = "default";
  spec["nodeName"] = kNodeName;
  const char* ready = status.is_ready ? "True" : "False";
  Json condition = Json::object({{"type", "Ready"}, {"status", ready}});
  if (!status.message.empty() && !status.is_ready) condition["message"] = status.message;
  const Json containers_ready = Json::object({{"type", "ContainersReady"}, {"status", ready}});
  object["status"] = {{"phase", status.phase},
                      {"podIP", pod.ip},
                      {"podIPs", Json::array({Json{{"ip", pod.ip}}})},
                      {"hostIP", "127.0.0.1"},
                      {"conditions", Json::array({condition, containers_ready})}};
  if (!status.started.empty()) object["status"]["startTime"] = status.started;
  // Clients cannot set this at a Kubernetes API; who writes the object leaves it out, who reads it
  // here may know.
  if (status.is_terminating) metadata["deletionTimestamp"] = status.started;
  Json containers = Json::array();
  for (const Json& container : ArrayAt(spec, "containers"))
    containers.push_back({{"name", StringAt(container, "name")},
                          {"image", StringAt(container, "image")},
                          {"imageID", ""},
                          {"ready", status.is_ready},
                          {"restartCount", status.restarts}});
  object["status"]["containerStatuses"] = containers;
  return object;
}

}  // namespace meltemi::host
