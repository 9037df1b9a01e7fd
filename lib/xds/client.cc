// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/client.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "envoy/service/discovery/v3/discovery.pb.h"
#include "lib/base/log.h"
#include "lib/xds/client_backoff.h"
#include "lib/xds/client_subscription.h"

namespace meltemi::xds {
namespace {

using DeltaRequest = envoy::service::discovery::v3::DeltaDiscoveryRequest;
using DeltaResponse = envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr char kMethod[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
constexpr int kInvalidArgument = 3;
// An error detail gives the first refusals with their reasons and the others by name: a server
// finds in it which resources are not in use.
constexpr size_t kReasonsMax = 20;
constexpr size_t kReasonBytesMax = 1024;
constexpr size_t kErrorBytesMax = 64 * 1024;
constexpr size_t kTypeCount = static_cast<size_t>(Type::kCount);

std::string ErrorText(const std::vector<ClientRefusal>& refusals) {
  std::string text;
  for (size_t i = 0; i < refusals.size() && text.size() < kErrorBytesMax; ++i) {
    if (i > 0) text += "; ";
    text += refusals[i].name;
    if (i < kReasonsMax) text += ": " + refusals[i].reason.substr(0, kReasonBytesMax);
  }
  return text;
}

class DeltaClient final : public Client, private grpc::ClientCallHandler {
 public:
  DeltaClient(runtime::Loop& loop, grpc::Channel& channel, ClientHandler& handler,
              ClientOptions options)
      : loop_(loop),
        channel_(channel),
        handler_(handler),
        options_(std::move(options)),
        backoff_(options_.backoff_min, options_.backoff_max),
        timer_(loop, [this] { Connect(); }),
        self_(std::make_shared<DeltaClient*>(this)) {}
  ~DeltaClient() override { *self_ = nullptr; }

  void Start() override { timer_.Arm(Duration::zero()); }

  void SubscribeAll(Type type) override {
    ClientSubscription& s = state(type);
    if (std::exchange(s.is_wildcard, true)) return;
    Ask(type);
  }

  void Subscribe(Type type, const std::set<std::string>& names) override {
    ClientSubscription& s = state(type);
    const ClientSubscription::Difference difference = s.Replace(names);
    if (difference.is_empty()) return;
    if (!s.is_asked) return Ask(type);
    DeltaRequest request = Request(type);
    for (const std::string& name : difference.added) request.add_resource_names_subscribe(name);
    for (const std::string& name : difference.dropped) request.add_resource_names_unsubscribe(name);
    Send(request);
  }

  bool is_up() const override { return is_up_; }
  const ClientCounters& counters() const override { return counters_; }

 private:
  ClientSubscription& state(Type type) { return states_[static_cast<size_t>(type)]; }

  DeltaRequest Request(Type type) const {
    DeltaRequest request;
    request.set_type_url(std::string(TypeUrl(type)));
    return request;
  }

  void Send(DeltaRequest& request) {
    if (call_ == nullptr) return;
    // The node stands in a stream's first request only.
    if (!std::exchange(is_node_sent_, true)) request.mutable_node()->ParseFromString(options_.node);
    call_->Send(request.SerializeAsString());
  }

  // The first request of a type on the stream: all names, and what is held already.
  void Ask(Type type) {
    ClientSubscription& s = state(type);
    if (call_ == nullptr || s.is_asked || !s.is_wanted()) return;
    s.is_asked = true;
    DeltaRequest request = Request(type);
    if (s.is_wildcard && !s.names.empty()) request.add_resource_names_subscribe("*");
    for (const std::string& name : s.names) request.add_resource_names_subscribe(name);
    for (const auto& [name, version] : s.held)
      (*request.mutable_initial_resource_versions())[name] = version;
    Send(request);
  }

  void Connect() {
    std::multimap<std::string, std::string> metadata;
    if (options_.metadata) {
      auto made = options_.metadata();
      if (!made.ok()) return Fail(std::string(Message(made.status())));
      metadata = *std::move(made);
    }
    ++counters_.streams;
    ++stream_;
    is_node_sent_ = false;
    for (ClientSubscription& s : states_) s.is_asked = false;
    call_ = channel_.Start(kMethod, metadata, *this);
    for (size_t i = 0; i < kTypeCount; ++i) Ask(static_cast<Type>(i));
  }

  void Fail(const std::string& reason) {
    if (!std::exchange(is_up_, false)) ++counters_.failures;
    timer_.Arm(backoff_.Next(options_.random()));
    handler_.OnStreamDown(reason);
  }

  void OnStatus(const grpc::CallStatus& status) override {
    loop_.DeferDelete(std::shared_ptr<grpc::ClientCall>(std::move(call_)));
    Fail(status.ok() ? std::string("the server ended the stream")
                     : fmt::format("{} (code {})", status.message, status.code));
  }

  void OnMessage(std::string_view message) override {
    DeltaResponse response;
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      MELTEMI_LOG(warn, "xDS: a message is no DeltaDiscoveryResponse; ignored");
      return;
    }
    ++counters_.updates;
    backoff_.Reset();
    if (!std::exchange(is_up_, true)) handler_.OnStreamUp();
    const auto type = FindType(response.type_url());
    if (!type.has_value() || !state(*type).is_wanted()) {
      MELTEMI_LOG(warn, "xDS: response of type '{}' was not asked for; ignored",
                  response.type_url().substr(0, 200));
      return;
    }
    Deliver(*type, response);
  }

  void Deliver(Type type, const DeltaResponse& response) {
    ClientUpdate update;
    update.type = type;
    auto mismatched = std::vector<ClientRefusal>();
    for (const auto& resource : response.resources()) {
      if (resource.resource().type_url() != response.type_url()) {
        mismatched.push_back({resource.name(), "its message is of another type than the response"});
        continue;
      }
      update.changed.push_back({resource.name(), resource.version(), resource.resource().value()});
    }
    update.removed.assign(response.removed_resources().begin(), response.removed_resources().end());
    // Versions count once the update is settled: `taken` remembers what they will be.
    auto taken = std::make_shared<std::vector<std::pair<std::string, std::string>>>();
    for (const ClientResource& resource : update.changed)
      taken->emplace_back(resource.name, resource.version);
    for (const std::string& name : update.removed) state(type).held.erase(name);
    handler_.OnUpdate(
        update, [self = std::weak_ptr(self_), type, nonce = response.nonce(), stream = stream_,
                 taken, mismatched](std::vector<ClientRefusal> refusals) {
          const auto alive = self.lock();
          if (alive == nullptr || *alive == nullptr) return;
          refusals.insert(refusals.end(), mismatched.begin(), mismatched.end());
          (*alive)->Settled(type, *taken, refusals);
          (*alive)->Acknowledge(type, nonce, stream, refusals);
        });
  }

  void Settled(Type type, const std::vector<std::pair<std::string, std::string>>& taken,
               const std::vector<ClientRefusal>& refusals) {
    ClientSubscription& s = state(type);
    std::set<std::string_view> refused;
    for (const ClientRefusal& refusal : refusals) refused.insert(refusal.name);
    for (const auto& [name, version] : taken) {
      if (refused.contains(name)) continue;
      if (s.is_wildcard || s.names.contains(name)) s.held[name] = version;
    }
  }

  void Acknowledge(Type type, const std::string& nonce, uint64_t stream,
                   const std::vector<ClientRefusal>& refusals) {
    ++(refusals.empty() ? counters_.acknowledged : counters_.refused);
    if (stream != stream_ || call_ == nullptr) return;
    DeltaRequest request = Request(type);
    request.set_response_nonce(nonce);
    if (!refusals.empty()) {
      request.mutable_error_detail()->set_code(kInvalidArgument);
      request.mutable_error_detail()->set_message(ErrorText(refusals));
    }
    Send(request);
  }

  runtime::Loop& loop_;
  grpc::Channel& channel_;
  ClientHandler& handler_;
  const ClientOptions options_;
  ClientBackoff backoff_;
  runtime::Timer timer_;
  const std::shared_ptr<DeltaClient*> self_;  // null once this object has gone
  std::array<ClientSubscription, kTypeCount> states_;
  std::unique_ptr<grpc::ClientCall> call_;
  ClientCounters counters_;
  uint64_t stream_ = 0;
  bool is_node_sent_ = false;
  bool is_up_ = false;
};

}  // namespace

std::unique_ptr<Client> Client::Create(runtime::Loop& loop, grpc::Channel& channel,
                                       ClientHandler& handler, ClientOptions options) {
  return std::make_unique<DeltaClient>(loop, channel, handler, std::move(options));
}

}  // namespace meltemi::xds
