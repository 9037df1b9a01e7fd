// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/file_client.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/base/log.h"
#include "proxy/config/yaml_json.h"

namespace meltemi::proxy {
namespace {

using Response = envoy::service::discovery::v3::DiscoveryResponse;

StatusOr<std::string> ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return absl::NotFoundError("cannot be read");
  const auto size = static_cast<size_t>(file.tellg());
  if (size > kDiscoveryFileBytesMax)
    return absl::InvalidArgumentError(
        fmt::format("is larger than {} bytes", kDiscoveryFileBytesMax));
  std::string text(size, '\0');
  file.seekg(0);
  file.read(text.data(), static_cast<std::streamsize>(size));
  return text;
}

StatusOr<Response> Parse(const std::string& path, const std::string& text) {
  Response response;
  if (path.ends_with(".pb")) {
    if (response.ParseFromString(text)) return response;
    return absl::InvalidArgumentError("is no serialized DiscoveryResponse");
  }
  std::string json = text;
  if (!path.ends_with(".json")) {
    MELTEMI_ASSIGN_OR_RETURN(json, YamlToJson(text));
  }
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // as Envoy takes dynamic configuration
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &response, options);
  if (parsed.ok()) return response;
  return absl::InvalidArgumentError(fmt::format("is no DiscoveryResponse: {}", parsed.ToString()));
}

}  // namespace

FileClient::FileClient(runtime::Loop& loop, FileSource source, xds::Type type,
                       xds::ClientHandler& handler)
    : source_(std::move(source)), type_(type), handler_(handler), loop_(loop), timer_(loop, [this] {
        Read();
      }) {}

void FileClient::Start() {
  const Status status = Watch();
  if (!status.ok())
    MELTEMI_LOG(error, "{}: changes will not be seen: {}", source_.path, Message(status));
  timer_.Arm(Duration::zero());
}

Status FileClient::Watch() {
  MELTEMI_ASSIGN_OR_RETURN(
      watch_, runtime::PathWatch::Create(loop_, [this] { timer_.Arm(Duration::zero()); }));
  const std::filesystem::path path(source_.path);
  const std::string own = path.has_parent_path() ? path.parent_path().string() : ".";
  watch_->Begin();
  if (!source_.watched_directory.empty()) return watch_->Add(source_.watched_directory);
  return watch_->AddEntry(own, path.filename().string());
}

void FileClient::SubscribeAll(xds::Type type) {
  if (type == type_) is_whole_ = true;
}

void FileClient::Subscribe(xds::Type type, const std::set<std::string>& names) {
  if (type != type_ || names == names_) return;
  names_ = names;
  timer_.Arm(Duration::zero());
}

void FileClient::Read() {
  if (!is_whole_ && names_.empty()) return;
  const Status status = TryRead();
  if (status.ok()) {
    last_error_.clear();
    if (!std::exchange(is_up_, true)) handler_.OnStreamUp();
    return;
  }
  ++counters_.failures;
  is_up_ = false;
  const std::string error = fmt::format("{}: {}", source_.path, Message(status));
  if (std::exchange(last_error_, error) != error) handler_.OnStreamDown(error);
}

Status FileClient::TryRead() {
  MELTEMI_ASSIGN_OR_RETURN(const std::string text, ReadWhole(source_.path));
  MELTEMI_ASSIGN_OR_RETURN(Response response, Parse(source_.path, text));
  if (response.type_url().empty()) response.set_type_url(std::string(xds::TypeUrl(type_)));
  if (response.type_url() != xds::TypeUrl(type_))
    return absl::InvalidArgumentError(
        fmt::format("has resources of type {}, not {}", response.type_url(), xds::TypeUrl(type_)));
  MELTEMI_ASSIGN_OR_RETURN(auto read, wire_->Read(response.SerializeAsString()));
  Deliver(std::move(read));
  return absl::OkStatus();
}

void FileClient::Deliver(xds::WireResponse response) {
  xds::ClientUpdate& update = response.update;
  update.type = type_;
  if (is_whole_) {
    std::set<std::string> present;
    for (const auto& resource : update.changed) present.insert(resource.name);
    for (const std::string& name : given_)
      if (!present.contains(name)) update.removed.push_back(name);
    given_ = std::move(present);
  } else {
    std::erase_if(update.changed,
                  [this](const auto& resource) { return !names_.contains(resource.name); });
  }
  for (const xds::ClientRefusal& refusal : response.mismatched)
    MELTEMI_LOG(warn, "{}: {}: {}", source_.path, refusal.name, refusal.reason);
  ++counters_.of(type_).updates;
  // The receiver says what it refuses. This object may be gone by then.
  handler_.OnUpdate(
      update, [self = std::weak_ptr(self_), has_foreign = !response.mismatched.empty()](
                  const std::vector<xds::ClientRefusal>& refusals) {
        const auto alive = self.lock();
        if (alive == nullptr || *alive == nullptr) return;
        xds::TypeCounters& counters = (*alive)->counters_.of((*alive)->type_);
        ++(refusals.empty() && !has_foreign ? counters.acknowledged : counters.refused);
      });
}

}  // namespace meltemi::proxy
