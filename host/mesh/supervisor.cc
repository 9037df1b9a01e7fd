// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/supervisor.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>

#include "host/mesh/gateway.h"
#include "lib/base/log.h"

namespace meltemi::host {
namespace {

// Tokens are asked for a day (request_token) and written anew twice in it, as the kubelet does at
// 80 %.
constexpr auto kTokenRefresh = std::chrono::hours(10);
// Timers stand still while a laptop sleeps and tokens do not: the wall clock is looked at this
// often.
constexpr auto kTokenLook = std::chrono::minutes(1);

Status WriteSecret(const std::string& path, const std::string& text) {
  // Written beside and renamed: a proxy that reads it now sees the old or the new one whole.
  const std::string fresh = path + ".new";
  const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::rename(fresh.c_str(), path.c_str()) != 0)
    return absl::InternalError(fmt::format("writing {}: {}", path, std::strerror(errno)));
  return absl::OkStatus();
}

std::string Rfc3339(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

// The Deployment of a Pod, or the Pod itself when it has none.
std::string OwnerOf(const PodRequest& request) {
  if (request.owner_name.empty()) return request.name;
  return request.owner_name.substr(0, request.owner_name.rfind('-' + request.template_hash));
}

Json WorkloadJson(const std::string& key, const PodRequest& request, const Workload& workload) {
  const WorkloadState& state = workload.state();
  const size_t slash = key.find('/');
  return {{"namespace", key.substr(0, slash)},
          {"name", key.substr(slash + 1)},
          {"workload", OwnerOf(request)},
          {"address", workload.spec().ip},
          {"labels", MapAt(request.pod_template, "metadata/labels")},
          {"gateway", request.is_gateway},
          {"phase", PhaseName(state.phase)},
          {"ready", state.is_ready},
          {"proxyReady", state.is_proxy_ready},
          {"appRunning", state.is_app_running},
          {"proxyRestarts", state.proxy_restarts},
          {"message", state.message},
          {"started", Rfc3339(state.started)},
          {"restarts", state.app_restarts},
          {"appPid", std::max(workload.app_pid(), 0)},
          {"proxyPid", std::max(workload.proxy_pid(), 0)},
          {"sandboxPid", std::max(workload.sandbox_pid(), 0)},
          {"proxyLog", workload.proxy_log()},
          {"appLog", request.is_gateway ? "" : workload.app_log()}};
}

}  // namespace

Supervisor::Supervisor(runtime::Loop& loop, StateDirectory state, MeshOptions options,
                       ImageMap images, Programs programs, std::function<void(const Status&)> on_up)
    : loop_(loop),
      state_(std::move(state)),
      options_(std::move(options)),
      images_(std::move(images)),
      programs_(std::move(programs)),
      on_up_(std::move(on_up)),
      token_timer_(loop, [this] { RefreshTokens(); }) {}

Supervisor::~Supervisor() = default;

Status Supervisor::Start() {
  started_ = RealClock().Wall();
  MELTEMI_ASSIGN_OR_RETURN(
      signals_, runtime::SignalWatcher::Create(loop_, {SIGTERM, SIGINT}, [this](int) { Stop(); }));
  MELTEMI_ASSIGN_OR_RETURN(control_,
                           ControlServer::Listen(loop_, state_.control_socket(),
                                                 [this](const Connection& from, const Json& request,
                                                        std::vector<Fd> descriptors) {
                                                   Handle(from, request, std::move(descriptors));
                                                 }));
  control_plane_ = std::make_unique<ControlPlane>(
      loop_, programs_.ControlPlane(), programs_.ports.monitoring, state_.path() + "/meltemid.log",
      [this] { OnControlPlaneChange(); });
  return control_plane_->Start();
}

void Supervisor::Tell(const Status& status) {
  if (const auto on_up = std::exchange(on_up_, nullptr)) on_up(status);
}

void Supervisor::OnControlPlaneChange() {
  if (is_stopping_) {
    if (control_plane_->has_ended()) loop_.Stop();
    return;
  }
  if (!control_plane_->is_ready()) {
    MELTEMI_LOG(warn, "{}", control_plane_->message());
    // One that was never ready and ends by itself has said what it cannot start with: trying again
    // would change nothing.
    if (objects_ == nullptr && control_plane_->restarts() > 0)
      Tell(absl::FailedPreconditionError(control_plane_->LastWords()));
    return;
  }
  if (objects_ != nullptr) return;
  const Status opened = OpenApi();
  if (!opened.ok()) return Tell(opened);
  const Status gateway = options_.has_gateway ? AddGateway() : absl::OkStatus();
  if (!gateway.ok() || !options_.has_gateway) return Tell(gateway);
}

Status Supervisor::OpenApi() {
  const std::string api = programs_.api_address();
  if (options_.prepare_api != nullptr) MELTEMI_RETURN_IF_ERROR(options_.prepare_api(api));
  MELTEMI_ASSIGN_OR_RETURN(objects_, options_.open_objects(loop_, api));
  PodsOptions pods;
  pods.directory = state_.pods();
  pods.domain = options_.domain;
  pods.base_env = programs_.env;
  pods.drain_max = options_.drain_max;
  pods.proxy_command = [this](const ProxyRequest& request) { return ProxyCommand(request); };
  pods_ = std::make_unique<Pods>(loop_, *objects_, images_, std::move(pods));
  deployments_ = std::make_unique<Deployments>(*objects_, *pods_);
  pods_->OnPodChange([this](const std::string& key) { OnPodChange(key); });
  pods_->Start();
  deployments_->Start();
  tokens_due_ = RealClock().Wall() + kTokenRefresh;
  token_timer_.Arm(kTokenLook);
  return absl::OkStatus();
}

Status Supervisor::AddGateway() {
  const Gateway gateway(options_.gateway_port, options_.gateway_tls_port);
  for (const Json& object : gateway.Objects()) objects_->Put(object);
  PodRequest request = gateway.Pod();
  gateway_key_ = request.ns + "/" + request.name;
  return pods_->Add(std::move(request));
}

StatusOr<Command> Supervisor::ProxyCommand(const ProxyRequest& request) {
  const std::string api = programs_.api_address();
  MELTEMI_ASSIGN_OR_RETURN(const std::string token,
                           options_.request_token(api, request.pod.ns, request.service_account));
  const std::string path = request.directory + "/token";
  MELTEMI_RETURN_IF_ERROR(WriteSecret(path, token));
  return programs_.Proxy(request, path);
}

void Supervisor::RefreshTokens() {
  token_timer_.Arm(kTokenLook);
  const WallTime now = RealClock().Wall();
  if (now < tokens_due_) return;
  tokens_due_ = now + kTokenRefresh;
  const std::string api = programs_.api_address();
  for (const std::string& key : pods_->keys()) {
    const Workload* workload = pods_->Find(key);
    const PodRequest* request = pods_->Request(key);
    const std::string account =
        StringAt(request->pod_template, "spec/serviceAccountName", "default");
    const auto token = options_.request_token(api, request->ns, account);
    Status written = token.status();
    if (token.ok()) written = WriteSecret(workload->spec().directory + "/token", *token);
    if (written.ok()) continue;
    tokens_due_ = now;  // at the next look
    MELTEMI_LOG(warn, "a new token for {}: {}", key, Message(written));
  }
}

void Supervisor::OnPodChange(const std::string& key) {
  const Workload* workload = pods_->Find(key);
  if (workload != nullptr && key == gateway_key_ && workload->state().is_ready)
    Tell(absl::OkStatus());
  if (const auto run = runs_.find(key); run != runs_.end()) {
    const bool has_ended = workload == nullptr || workload->state().phase == Phase::kEnded;
    if (workload != nullptr && has_ended) {
      const Ending ending = workload->state().app_ending;
      run->second->Send({{"exit", ending.code}, {"signal", ending.signal}});
      loop_.Post([this, key] { pods_->Stop(key); });
    }
    if (has_ended) runs_.erase(run);
  }
  deployments_->OnPodChange(key);
  if (is_stopping_ && pods_->empty()) control_plane_->Stop();
}

void Supervisor::Stop() {
  if (std::exchange(is_stopping_, true)) return;
  Tell(absl::CancelledError("the mesh was stopped while it started\ntry `meltemi up` again"));
  token_timer_.Disarm();
  if (deployments_ != nullptr) deployments_->Close();
  if (pods_ == nullptr || pods_->empty()) return control_plane_->Stop();
  pods_->StopAll();
}

Json Supervisor::StatusJson() {
  const auto address = [](uint16_t port) { return fmt::format("127.0.0.1:{}", port); };
  Json status = {{"mesh", state_.mesh()},
                 {"domain", options_.domain},
                 {"started", Rfc3339(started_)},
                 {"stopping", is_stopping_},
                 {"supervisorPid", ::getpid()},
                 {"state", state_.path()},
                 {"controlPlane",
                  {{"ready", control_plane_->is_ready()},
                   {"pid", control_plane_->pid()},
                   {"restarts", control_plane_->restarts()},
                   {"message", control_plane_->message()},
                   {"api", programs_.api_address()},
                   {"discovery", address(programs_.ports.discovery)},
                   {"monitoring", address(programs_.ports.monitoring)},
                   {"log", control_plane_->log_path()}}},
                 {"workloads", Json::array()},
                 {"deployments", Json::array()},
                 {"problems", Json::array()}};
  if (options_.has_gateway)
    status["gateway"] = {{"port", options_.gateway_port}, {"tlsPort", options_.gateway_tls_port}};
  if (pods_ == nullptr) return status;
  for (const std::string& key : pods_->keys())
    status["workloads"].push_back(WorkloadJson(key, *pods_->Request(key), *pods_->Find(key)));
  for (const auto& count : deployments_->counts())
    status["deployments"].push_back(
        {{"name", count.key}, {"wanted", count.wanted}, {"ready", count.ready}});
  for (const Problem& problem : deployments_->problems())
    status["problems"].push_back(
        {{"object", problem.object}, {"what", problem.what}, {"remedy", problem.remedy}});
  return status;
}

void Supervisor::Handle(const Connection& from, const Json& request, std::vector<Fd> descriptors) {
  const std::string what = StringAt(request, "do");
  if (what == "status") return from->Send(StatusJson());
  if (what == "stop") return HandleStop(from);
  if (pods_ == nullptr || is_stopping_)
    return from->Send(ErrorJson(absl::FailedPreconditionError(
        fmt::format("the mesh {} is {}\ntry again in a moment", state_.mesh(),
                    is_stopping_ ? "stopping" : "starting"))));
  if (what == "exec") return HandleExec(from, request, std::move(descriptors));
  if (what == "run") return HandleRun(from, request);
  from->Send(ErrorJson(absl::InvalidArgumentError(
      fmt::format("the mesh does not know \"{}\"\nuse the meltemi of the same version", what))));
}

std::string Supervisor::FindPod(const std::string& ns, const std::string& text) {
  if (pods_->Find(text) != nullptr) return text;
  std::string found;
  for (const std::string& key : pods_->keys()) {
    const PodRequest& request = *pods_->Request(key);
    if (request.ns != ns || request.is_gateway) continue;
    if (request.name == text) return key;
    if (OwnerOf(request) != text && StringAt(request.pod_template, "metadata/labels/app") != text)
      continue;
    if (found.empty() || pods_->Find(key)->state().is_ready) found = key;
  }
  return found;
}

void Supervisor::HandleExec(const Connection& from, const Json& request,
                            std::vector<Fd> descriptors) {
  const std::string name = StringAt(request, "workload");
  const std::string ns = StringAt(request, "namespace", "default");
  const std::string key = FindPod(ns, name);
  if (key.empty())
    return from->Send(ErrorJson(absl::NotFoundError(fmt::format(
        "no workload {} runs in namespace {}\n`meltemi status` lists them", name, ns))));
  Workload* workload = pods_->Find(key);
  Command command;
  for (const Json& word : ArrayAt(request, "argv"))
    if (word.is_string()) command.argv.push_back(word.get<std::string>());
  command.working_directory = workload->spec().app.working_directory;
  if (command.argv.empty() || descriptors.size() != 3)
    return from->Send(ErrorJson(
        absl::InvalidArgumentError("no command to run\nwrite `meltemi exec WORKLOAD -- COMMAND`")));
  uint32_t id = 0;
  const Status started = workload->Exec(
      std::move(command), descriptors[0].get(), descriptors[1].get(), descriptors[2].get(),
      [weak = std::weak_ptr(from)](Ending ending) {
        const auto connection = weak.lock();
        if (connection == nullptr) return;
        connection->OnClose(nullptr);
        Json ended = {{"exit", ending.code}, {"signal", ending.signal}};
        if (ending.error != 0) ended["refused"] = std::strerror(ending.error);
        connection->Send(ended);
      },
      &id);
  if (!started.ok()) return from->Send(ErrorJson(started));
  // A command whose user has gone is told as by a closed terminal.
  from->OnClose([this, key, id] {
    if (Workload* present = pods_->Find(key)) present->SignalExec(id, SIGHUP);
  });
  from->OnMessage([this, key, id](const Json& message) {
    const int64_t number = NumberAt(message, "number");
    Workload* present = pods_->Find(key);
    if (StringAt(message, "do") == "signal" && number > 0 && number < 65 && present != nullptr)
      present->SignalExec(id, static_cast<int>(number));
  });
  from->Send({{"started", key}});
}

void Supervisor::HandleRun(const Connection& from, const Json& request) {
  PodRequest pod;
  pod.name = StringAt(request, "name");
  pod.ns = StringAt(request, "namespace", "default");
  pod.restart = RestartPolicy::kNever;
  for (const Json& word : ArrayAt(request, "argv"))
    if (word.is_string()) pod.command.argv.push_back(word.get<std::string>());
  pod.command.working_directory = StringAt(request, "workingDirectory", "/");
  auto env = MapAt(request, "env");
  env.insert({"HOSTNAME", pod.name});
  for (const std::string& variable : programs_.env)
    if (!env.contains(variable.substr(0, variable.find('=')))) pod.command.env.push_back(variable);
  for (const auto& [name, value] : env) pod.command.env.push_back(name + "=" + value);
  if (pod.name.empty() || pod.command.argv.empty())
    return from->Send(ErrorJson(absl::InvalidArgumentError(
        "a name and a command are needed\nwrite `meltemi run --name NAME -- COMMAND`")));
  Json container = {{"name", pod.name}, {"image", "local"}, {"ports", Json::array()}};
  for (const Json& port : ArrayAt(request, "ports"))
    if (port.is_object()) container["ports"].push_back(port);
  pod.pod_template = {{"metadata", {{"labels", MapAt(request, "labels")}}},
                      {"spec",
                       {{"serviceAccountName", StringAt(request, "serviceAccount", "default")},
                        {"containers", Json::array({container})}}}};
  pod.template_hash = TemplateHash(pod.pod_template);
  const std::string key = pod.ns + "/" + pod.name;
  runs_[key] = from;
  const Status added = pods_->Add(std::move(pod));
  if (!added.ok()) {
    runs_.erase(key);
    return from->Send(ErrorJson(added));
  }
  from->OnClose([this, key] {
    runs_.erase(key);
    pods_->Stop(key);
  });
  from->Send({{"started", key},
              {"address", pods_->Find(key)->spec().ip},
              {"appLog", pods_->Find(key)->app_log()}});
}

void Supervisor::HandleStop(const Connection& from) {
  stop_waiters_.push_back(from);  // closed, and so answered, when everything has ended
  Stop();
}

void RunSupervisor(const StateDirectory& state, const MeshOptions& options, const ImageMap& images,
                   const Programs& programs, std::function<void(const StatusOr<Json>&)> on_up) {
  StatusOr<std::unique_ptr<runtime::Loop>> loop = runtime::Loop::Create();
  if (!loop.ok()) return on_up(loop.status());
  Supervisor* self = nullptr;
  bool has_failed = false;
  Supervisor supervisor(**loop, state, options, images, programs, [&](const Status& status) {
    has_failed = !status.ok();
    on_up(status.ok() ? StatusOr<Json>(self->StatusJson()) : StatusOr<Json>(status));
    if (has_failed) (*loop)->Post([&] { self->Stop(); });
  });
  self = &supervisor;
  const Status started = supervisor.Start();
  if (!started.ok()) return on_up(started);
  (*loop)->Run();
}

}  // namespace meltemi::host
