// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/kube_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "lib/base/log.h"
#include "lib/config/kind.h"

namespace meltemi::host {
namespace {

constexpr Duration kRetryMin = std::chrono::milliseconds(100);
constexpr Duration kRetryMax = std::chrono::seconds(5);
// What an istiod takes tokens for.
constexpr const char* kControlPlaneNamespace = "istio-system";
constexpr const char* kAudience = "istio-ca";
constexpr Duration kTokenLifetime = std::chrono::hours(24);

std::string KeyOfWrite(const Json& object) {
  return StringAt(object, "kind") + " " + KeyOf(object);
}

const config::Kind* KindOf(const Json& object) {
  return config::FindKind(StringAt(object, "apiVersion"), StringAt(object, "kind"));
}

kube::ClientOptions OptionsFor(const net::Address& api, Duration timeout) {
  kube::ClientOptions options;
  options.address = api;
  options.timeout = timeout;
  return options;
}

// Runs a call on a loop of its own until it has answered.
StatusOr<Json> Await(runtime::Loop& loop,
                     const std::function<kube::Client::Call(kube::Client::Answer)>& start) {
  std::optional<StatusOr<Json>> answer;
  const auto call = start([&](StatusOr<Json> got) {
    answer = std::move(got);
    loop.Stop();
  });
  while (!answer) loop.RunOnce(std::chrono::seconds(1));
  return *std::move(answer);
}

}  // namespace

StatusOr<std::unique_ptr<Objects>> KubeObjects::Open(runtime::Loop& loop,
                                                     const std::string& api_address) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address api, net::Address::Parse(api_address));
  return std::make_unique<KubeObjects>(loop, api);
}

KubeObjects::KubeObjects(runtime::Loop& loop, const net::Address& api)
    : loop_(loop),
      client_(loop, OptionsFor(api, std::chrono::seconds(30))),
      timer_(loop, [this] { Flush(); }) {}

void KubeObjects::Watch(const std::string& kind, OnChanges on_changes) {
  kube::WatcherOptions options;
  options.kind = config::FindKindByWord(kind);
  if (options.kind == nullptr) return MELTEMI_LOG(error, "no kind {} to watch", kind);
  watchers_.push_back(std::make_unique<kube::Watcher>(
      client_, options, [on_changes = std::move(on_changes)](const auto& changes) {
        std::vector<ObjectChange> told;
        told.reserve(changes.size());
        for (const kube::Change& change : changes)
          told.push_back({change.type == kube::ChangeType::kDeleted, change.object});
        on_changes(told);
      }));
}

void KubeObjects::Put(const Json& object) {
  if (KindOf(object) == nullptr)
    return MELTEMI_LOG(error, "an object of unknown kind is not written: {}", KeyOfWrite(object));
  Write write;
  write.object = object;
  Enqueue(KeyOfWrite(object), std::move(write));
}

void KubeObjects::Delete(const std::string& kind, const std::string& ns, const std::string& name) {
  const config::Kind* found = config::FindKindByWord(kind);
  if (found == nullptr) return MELTEMI_LOG(error, "an object of unknown kind {} stays", kind);
  Write write;
  write.is_delete = true;
  write.object = {{"apiVersion", found->api_version()},
                  {"kind", std::string(found->kind)},
                  {"metadata", {{"name", name}}}};
  if (found->is_namespaced) write.object["metadata"]["namespace"] = ns;
  Enqueue(KeyOfWrite(write.object), std::move(write));
}

void KubeObjects::Enqueue(const std::string& key, Write write) {
  write.order = next_order_++;
  pending_[key] = std::move(write);
  if (in_flight_.empty()) timer_.Arm(Duration::zero());
}

void KubeObjects::Flush() {
  if (!in_flight_.empty()) return;
  const MonotonicTime now = loop_.Now();
  MonotonicTime next = MonotonicTime::max();
  for (auto it = pending_.begin(); it != pending_.end();) {
    const auto here = it++;
    const bool is_due = here->second.not_before <= now;
    if (!is_due) next = std::min(next, here->second.not_before);
    const bool is_alone = here->second.is_alone;
    if (!is_due || (is_alone && !in_flight_.empty())) {
      if (is_due) next = now;
      continue;
    }
    in_flight_.insert(pending_.extract(here));
    if (is_alone) break;
  }
  if (in_flight_.empty()) {
    if (!pending_.empty()) timer_.Arm(next - now);
    return;
  }
  SendDeletes();
}

std::vector<Json> KubeObjects::Sorted(bool is_delete) const {
  std::vector<const Write*> writes;
  for (const auto& [key, write] : in_flight_)
    if (write.is_delete == is_delete) writes.push_back(&write);
  // As they were put: a namespace comes before what lives in it.
  std::sort(writes.begin(), writes.end(),
            [](const Write* a, const Write* b) { return a->order < b->order; });
  std::vector<Json> objects;
  objects.reserve(writes.size());
  for (const Write* write : writes) objects.push_back(write->object);
  return objects;
}

void KubeObjects::SendDeletes() {
  const std::vector<Json> objects = Sorted(/*is_delete=*/true);
  if (objects.empty()) return SendPuts();
  call_ = client_.DeleteAll(objects, [this](const StatusOr<Json>& answer) {
    if (!answer.ok()) return EndBatch(answer.status());
    std::erase_if(in_flight_, [](const auto& entry) { return entry.second.is_delete; });
    SendPuts();
  });
}

void KubeObjects::SendPuts() {
  const std::vector<Json> objects = Sorted(/*is_delete=*/false);
  if (objects.empty()) return EndBatch(absl::OkStatus());
  call_ = client_.ApplyAll(objects, [this](const StatusOr<Json>& answer) {
    if (!answer.ok()) return EndBatch(answer.status());
    SendStatuses();
  });
}

void KubeObjects::SendStatuses() {
  std::vector<std::string> keys;
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    if (it->second.object.contains("status"))
      keys.push_back((it++)->first);
    else
      it = in_flight_.erase(it);
  }
  if (keys.empty()) return EndBatch(absl::OkStatus());
  for (const std::string& key : keys) {
    const Json& object = in_flight_[key].object;
    status_calls_[key] = client_.UpdateStatus(
        *KindOf(object), object,
        [this, key](const StatusOr<Json>& answer) { OnStatus(key, answer.status()); });
  }
}

void KubeObjects::OnStatus(std::string key, const Status& status) {
  status_calls_.erase(key);
  auto write = in_flight_.extract(key);
  if (!status.ok() && !write.empty()) Fail(key, std::move(write.mapped()), status);
  if (in_flight_.empty()) EndBatch(absl::OkStatus());
}

void KubeObjects::EndBatch(const Status& status) {
  call_.reset();
  Writes failed = std::exchange(in_flight_, {});
  // An API that does not answer refuses nobody in particular.
  const bool is_refused = !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
  const bool had_company = failed.size() > 1;
  for (auto& [key, write] : failed) {
    write.is_alone = is_refused;
    if (is_refused && had_company && !pending_.contains(key)) {
      pending_[key] = std::move(write);  // at once, by itself
    } else {
      Fail(key, std::move(write), status);
    }
  }
  if (!pending_.empty()) timer_.Arm(Duration::zero());
}

void KubeObjects::Fail(const std::string& key, Write write, const Status& status) {
  if (pending_.contains(key)) return;  // replaced meanwhile
  Duration wait = kRetryMin;
  for (int i = 0; i < write.failures && wait < kRetryMax; ++i) wait *= 2;
  write.not_before = loop_.Now() + std::min(wait, kRetryMax);
  if (write.failures++ == 0)
    MELTEMI_LOG(warn, "writing {}: {}; it is tried again", key, Message(status));
  pending_[key] = std::move(write);
}

StatusOr<std::string> RequestToken(const std::string& api_address, const std::string& ns,
                                   const std::string& service_account, Duration wait_max) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address api, net::Address::Parse(api_address));
  MELTEMI_ASSIGN_OR_RETURN(std::unique_ptr<runtime::Loop> loop, runtime::Loop::Create());
  kube::Client client(*loop, OptionsFor(api, wait_max));
  const auto ask = [&] {
    return Await(*loop, [&](kube::Client::Answer done) {
      return client.RequestToken(ns, service_account, kAudience, kTokenLifetime, std::move(done));
    });
  };
  StatusOr<Json> answer = ask();
  if (absl::IsNotFound(answer.status())) {
    const std::vector<Json> missing = {
        {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}},
        {{"apiVersion", "v1"},
         {"kind", "ServiceAccount"},
         {"metadata", {{"name", service_account}, {"namespace", ns}}}}};
    const auto made = Await(*loop, [&](kube::Client::Answer done) {
      return client.ApplyAll(missing, std::move(done));
    });
    if (!made.ok()) return made.status();
    answer = ask();
  }
  if (!answer.ok())
    return WithContext(answer.status(),
                       fmt::format("a token for service account {}/{}", ns, service_account));
  std::string token = StringAt(*answer, "status/token");
  if (token.empty()) return absl::InternalError("the API's answer holds no token");
  return token;
}

Status DeleteEarlierObjects(const std::string& api_address, Duration wait_max) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address api, net::Address::Parse(api_address));
  MELTEMI_ASSIGN_OR_RETURN(std::unique_ptr<runtime::Loop> loop, runtime::Loop::Create());
  kube::Client client(*loop, OptionsFor(api, wait_max));
  std::vector<Json> doomed;
  for (const config::Kind* kind : config::AllKinds()) {
    if (kind == &config::kinds::kNamespace || kind == &config::kinds::kNode ||
        kind == &config::kinds::kServiceAccount)
      continue;
    const bool may_be_control_planes =
        kind == &config::kinds::kSecret || kind == &config::kinds::kConfigMap;
    const auto list = Await(
        *loop, [&](kube::Client::Answer done) { return client.List(*kind, "", std::move(done)); });
    if (absl::IsNotFound(list.status())) continue;  // a kind this control plane does not serve
    if (!list.ok()) return WithContext(list.status(), "listing what an earlier run left");
    for (const Json& item : ArrayAt(*list, "items"))
      if (!may_be_control_planes || NamespaceOf(item) != kControlPlaneNamespace)
        doomed.push_back(
            {{"apiVersion", kind->api_version()},
             {"kind", std::string(kind->kind)},
             {"metadata",
              {{"name", NameOf(item)}, {"namespace", StringAt(item, "metadata/namespace")}}}});
  }
  if (doomed.empty()) return absl::OkStatus();
  const auto deleted = Await(
      *loop, [&](kube::Client::Answer done) { return client.DeleteAll(doomed, std::move(done)); });
  return WithContext(deleted.status(), "deleting what an earlier run left");
}

}  // namespace meltemi::host
