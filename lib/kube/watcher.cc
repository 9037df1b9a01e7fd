// SPDX-License-Identifier: Apache-2.0
#include "lib/kube/watcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "lib/kube/status.h"

namespace meltemi::kube {
namespace {

// An object is 3 MiB at most (config::kObjectBytesMax); escapes may double it.
constexpr size_t kLineBytesMax = 8 * 1024 * 1024;
// How much longer than asked for a watch may last before it counts as dead.
constexpr Duration kWatchGrace = std::chrono::seconds(30);

std::string KeyOf(const Json& object) {
  return MetadataOf(object, "namespace") + "/" + MetadataOf(object, "name");
}

Json Identity(const Json& object) {
  Json identity = Json::object();
  for (const char* field : {"apiVersion", "kind", "metadata"})
    if (const auto found = object.find(field); found != object.end()) identity[field] = *found;
  return identity;
}

}  // namespace

Watcher::Watcher(Client& client, WatcherOptions options, OnChanges on_changes)
    : client_(client),
      options_(std::move(options)),
      on_changes_(std::move(on_changes)),
      timer_(client.loop(), [this] {
        if (version_.empty())
          List();
        else
          StartWatch();
      }) {
  List();
}

void Watcher::Take(ChangeType type, Json object, std::vector<Change>* changes) {
  const std::string key = KeyOf(object);
  if (key == "/") return;
  const auto found = known_.find(key);
  if (type == ChangeType::kDeleted) {
    if (found == known_.end()) return;
    known_.erase(found);
  } else {
    std::string version = MetadataOf(object, "resourceVersion");
    if (found != known_.end() && found->second.version == version) return;
    type = found == known_.end() ? ChangeType::kAdded : ChangeType::kModified;
    known_[key] = {std::move(version), Identity(object)};
  }
  changes->push_back({type, std::move(object)});
}

void Watcher::List() {
  version_.clear();
  call_ = client_.List(*options_.kind, options_.ns,
                       [this](StatusOr<Json> list) { OnList(std::move(list)); });
}

void Watcher::OnList(StatusOr<Json> list) {
  if (!list.ok()) return Retry(list.status());
  std::string version = MetadataOf(*list, "resourceVersion");
  if (!list->is_object() || !list->contains("items") || version.empty())
    return Retry(absl::InternalError("the API's answer is no list"));
  std::vector<Change> changes;
  std::set<std::string> present;
  Json& items = (*list)["items"];
  if (items.is_array()) {
    for (Json& item : items) {
      if (!item.is_object()) continue;
      // Items of a Kubernetes list come without these two.
      if (!item.contains("apiVersion")) item["apiVersion"] = options_.kind->api_version();
      if (!item.contains("kind")) item["kind"] = std::string(options_.kind->kind);
      present.insert(KeyOf(item));
    }
  }
  // Gone ones first: a name that was given up may count for a limit that a new one runs into.
  std::vector<std::string> gone;
  for (const auto& [key, known] : known_)
    if (!present.contains(key)) gone.push_back(key);
  for (const std::string& key : gone)
    Take(ChangeType::kDeleted, Json(known_[key].identity), &changes);
  if (items.is_array())
    for (Json& item : items)
      if (item.is_object()) Take(ChangeType::kAdded, std::move(item), &changes);
  version_ = std::move(version);
  has_synced_ = true;
  status_ = absl::OkStatus();
  failures_ = 0;
  StartWatch();
  if (!changes.empty()) on_changes_(changes);
}

void Watcher::StartWatch() {
  line_.clear();
  watch_http_status_ = 0;
  watch_error_ = absl::OkStatus();
  const std::string path = fmt::format(
      "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
      PathOf(*options_.kind, options_.ns), options_.watch_for.count(), PercentEncoded(version_));
  http::StreamHandlers handlers;
  handlers.on_head = [this](int status) { watch_http_status_ = status; };
  handlers.on_chunk = [this](std::string_view bytes) { OnBytes(bytes); };
  handlers.on_end = [this](const Status& status) { OnWatchEnd(status); };
  call_ = client_.Stream(path, std::move(handlers), options_.watch_for + kWatchGrace);
}

void Watcher::OnBytes(std::string_view bytes) {
  line_.append(bytes);
  if (line_.size() > kLineBytesMax) {
    watch_error_ = absl::ResourceExhaustedError("an event of the watch is too long");
    return OnWatchEnd(watch_error_);
  }
  if (watch_http_status_ != 200) return;  // the text of an error; read at its end
  std::vector<Change> changes;
  size_t at = 0;
  for (size_t end; (end = line_.find('\n', at)) != std::string::npos; at = end + 1)
    OnLine(std::string_view(line_).substr(at, end - at), &changes);
  line_.erase(0, at);
  if (!watch_error_.ok()) OnWatchEnd(watch_error_);
  if (!changes.empty()) on_changes_(changes);
}

void Watcher::OnLine(std::string_view line, std::vector<Change>* changes) {
  if (line.empty() || !watch_error_.ok()) return;
  Json event = Json::parse(line, nullptr, false);
  const bool is_event = event.is_object() && event.contains("object") && event.contains("type") &&
                        event["type"].is_string();
  if (!is_event) {
    watch_error_ = absl::InternalError("an event of the watch is not JSON");
    return;
  }
  const std::string type = event["type"].get<std::string>();
  Json& object = event["object"];
  if (type == "ERROR") {
    watch_error_ = StatusOfObject(object);
    return;
  }
  failures_ = 0;
  status_ = absl::OkStatus();
  if (std::string version = MetadataOf(object, "resourceVersion"); !version.empty())
    version_ = std::move(version);
  if (type == "BOOKMARK") return;
  Take(type == "DELETED" ? ChangeType::kDeleted : ChangeType::kAdded, std::move(object), changes);
}

void Watcher::OnWatchEnd(const Status& status) {
  call_.reset();
  Status why = watch_error_;
  if (why.ok() && watch_http_status_ >= 300) why = StatusOfAnswer(watch_http_status_, line_);
  if (why.ok()) why = status;
  // What the API refuses now it will refuse again, and a version it has never heard of (a store
  // made anew) may be refused in any words: list again.
  if (!absl::IsUnavailable(why) && !absl::IsDeadlineExceeded(why) && !why.ok()) version_.clear();
  if (absl::IsOutOfRange(why)) why = absl::OkStatus();
  if (!why.ok()) return Retry(why);
  // Ended as asked, or too old a version: go on at once, but not in a tight circle.
  timer_.Arm(failures_++ == 0 ? Duration::zero() : options_.wait_min);
}

void Watcher::Retry(const Status& why) {
  call_.reset();
  status_ = why;
  Duration wait = options_.wait_min;
  for (int i = 0; i < failures_ && wait < options_.wait_max; ++i) wait *= 2;
  ++failures_;
  wait = std::min(wait, options_.wait_max);
  timer_.Arm(wait + wait / 4 * (random_() % 256) / 256);
}

}  // namespace meltemi::kube
