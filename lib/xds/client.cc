// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/client.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "lib/base/log.h"
#include "lib/xds/client_backoff.h"
#include "lib/xds/client_subscription.h"
#include "lib/xds/client_wire.h"

namespace meltemi::xds {
namespace {

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

class StreamClient final : public Client, private grpc::ClientCallHandler {
 public:
  StreamClient(runtime::Loop& loop, grpc::Channel& channel, ClientHandler& handler,
               ClientOptions options)
      : loop_(loop),
        channel_(channel),
        handler_(handler),
        options_(std::move(options)),
        wire_(options_.is_incremental ? NewDeltaWire() : NewSotwWire()),
        method_(MethodOf(options_.is_incremental, options_.only)),
        backoff_(options_.backoff_min, options_.backoff_max),
        timer_(loop, [this] { Connect(); }),
        self_(std::make_shared<StreamClient*>(this)) {}
  ~StreamClient() override { *self_ = nullptr; }

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
    // A request with the last nonce would pass for the acknowledgement that is still to come; that
    // one will carry the names.
    if (wire_->is_whole() && s.unsettled > 0) return;
    Send(wire_->Change(type, s, difference));
  }

  bool is_up() const override { return is_up_; }
  const ClientCounters& counters() const override { return counters_; }

 private:
  ClientSubscription& state(Type type) { return states_[static_cast<size_t>(type)]; }

  void Send(const std::string& request) {
    if (call_ != nullptr) call_->Send(request);
  }

  // The first request of a type on the stream: all names, and what is held already. The node stands
  // in a stream's first request only.
  void Ask(Type type) {
    ClientSubscription& s = state(type);
    if (call_ == nullptr || s.is_asked || !s.is_wanted()) return;
    s.is_asked = true;
    const bool is_first = !std::exchange(is_node_sent_, true);
    Send(wire_->Ask(type, s, is_first ? std::string_view(options_.node) : std::string_view()));
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
    for (ClientSubscription& s : states_) {
      s.is_asked = false;
      s.nonce.clear();
      s.unsettled = 0;
    }
    call_ = channel_.Start(method_, metadata, *this);
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
    auto response = wire_->Read(message);
    if (!response.ok()) {
      MELTEMI_LOG(warn, "xDS: {}; ignored", Message(response.status()));
      return;
    }
    backoff_.Reset();
    if (!std::exchange(is_up_, true)) handler_.OnStreamUp();
    const auto type = FindType(response->type_url);
    if (!type.has_value() || !state(*type).is_wanted()) {
      MELTEMI_LOG(warn, "xDS: response of type '{}' was not asked for; ignored",
                  response->type_url.substr(0, 200));
      return;
    }
    ++counters_.of(*type).updates;
    Deliver(*type, *response);
  }

  void Deliver(Type type, WireResponse& response) {
    ClientSubscription& s = state(type);
    ClientUpdate& update = response.update;
    update.type = type;
    if (wire_->is_whole() && s.is_wildcard) AddAbsent(s, response);
    s.nonce = response.nonce;
    ++s.unsettled;
    // Versions count once the update is settled: `taken` remembers what they will be.
    auto taken = std::make_shared<Taken>();
    taken->nonce = response.nonce;
    taken->version = response.version;
    taken->stream = stream_;
    taken->mismatched = response.mismatched;
    for (const ClientResource& resource : update.changed)
      taken->resources.emplace_back(resource.name, resource.version);
    for (const std::string& name : update.removed) s.held.erase(name);
    handler_.OnUpdate(
        update, [self = std::weak_ptr(self_), type, taken](std::vector<ClientRefusal> refusals) {
          const auto alive = self.lock();
          if (alive == nullptr || *alive == nullptr) return;
          refusals.insert(refusals.end(), taken->mismatched.begin(), taken->mismatched.end());
          (*alive)->Settled(type, *taken, refusals);
          (*alive)->Acknowledge(type, *taken, refusals);
        });
  }

  // What a whole response lacks is gone.
  static void AddAbsent(const ClientSubscription& s, WireResponse& response) {
    std::set<std::string_view> present;
    for (const ClientResource& resource : response.update.changed) present.insert(resource.name);
    for (const ClientRefusal& refusal : response.mismatched) present.insert(refusal.name);
    for (const auto& [name, version] : s.held)
      if (!present.contains(name)) response.update.removed.push_back(name);
  }

  // Of a response, until it is settled.
  struct Taken {
    std::string nonce, version;
    uint64_t stream = 0;
    std::vector<std::pair<std::string, std::string>> resources;  // name, version
    std::vector<ClientRefusal> mismatched;
  };

  void Settled(Type type, const Taken& taken, const std::vector<ClientRefusal>& refusals) {
    ClientSubscription& s = state(type);
    std::set<std::string_view> refused;
    for (const ClientRefusal& refusal : refusals) refused.insert(refusal.name);
    for (const auto& [name, version] : taken.resources) {
      if (refused.contains(name)) continue;
      if (s.is_wildcard || s.names.contains(name)) s.held[name] = version;
    }
    if (refusals.empty()) s.version = taken.version;
  }

  void Acknowledge(Type type, const Taken& taken, const std::vector<ClientRefusal>& refusals) {
    TypeCounters& counters = counters_.of(type);
    ++(refusals.empty() ? counters.acknowledged : counters.refused);
    if (taken.stream != stream_ || call_ == nullptr) return;
    ClientSubscription& s = state(type);
    --s.unsettled;
    Send(wire_->Acknowledge(type, s, taken.nonce, ErrorText(refusals)));
  }

  runtime::Loop& loop_;
  grpc::Channel& channel_;
  ClientHandler& handler_;
  const ClientOptions options_;
  const std::unique_ptr<ClientWire> wire_;
  const std::string method_;
  ClientBackoff backoff_;
  runtime::Timer timer_;
  const std::shared_ptr<StreamClient*> self_;  // null once this object has gone
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
  return std::make_unique<StreamClient>(loop, channel, handler, std::move(options));
}

}  // namespace meltemi::xds
