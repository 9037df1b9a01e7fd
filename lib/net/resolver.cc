// SPDX-License-Identifier: Apache-2.0
#include "lib/net/resolver.h"

#include <ares.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/time.h>

#include <algorithm>
#include <unordered_map>

namespace meltemi::net {
namespace {

// Shared by the caller's handle, the c-ares request and the delivery.
struct Question {
  std::string name;
  LookupFamily family;
  Resolver::Callback callback;  // null = cancelled or told
};

class QuestionHandle final : public Resolver::Query {
 public:
  explicit QuestionHandle(std::shared_ptr<Question> question) : question_(std::move(question)) {}
  ~QuestionHandle() override { question_->callback = nullptr; }

 private:
  const std::shared_ptr<Question> question_;
};

Status ToStatus(int code, const std::string& name) {
  if (code == ARES_SUCCESS) return absl::OkStatus();
  const std::string text = fmt::format("resolving {}: {}", name, ares_strerror(code));
  switch (code) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
      return absl::NotFoundError(text);
    case ARES_ETIMEOUT:
      return absl::DeadlineExceededError(text);
    case ARES_EBADNAME:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

void KeepFamily(LookupFamily family, std::vector<Address>& addresses) {
  const auto has = [&](int wanted) {
    return std::any_of(addresses.begin(), addresses.end(),
                       [&](const Address& address) { return address.family() == wanted; });
  };
  int drop = AF_UNSPEC;
  if (family == LookupFamily::kAuto && has(AF_INET6)) drop = AF_INET;
  if (family == LookupFamily::kV4Preferred && has(AF_INET)) drop = AF_INET6;
  std::erase_if(addresses, [&](const Address& address) { return address.family() == drop; });
}

class AresResolver final : public Resolver {
 public:
  AresResolver(runtime::Loop& loop, size_t pending_max)
      : loop_(loop), pending_max_(pending_max), timer_(loop, [this] { OnTimer(); }) {}
  ~AresResolver() override {
    is_ending_ = true;
    if (channel_ != nullptr) ares_destroy(channel_);
    for (auto& [fd, socket] : sockets_) loop_.Unwatch(fd, socket.get());
  }

  Status Open(const ResolverOptions& options);
  std::unique_ptr<Query> Resolve(std::string_view name, LookupFamily family,
                                 Callback callback) override;

 private:
  class Socket final : public runtime::FdHandler {
   public:
    Socket(AresResolver& owner, int fd) : owner_(owner), fd_(fd) {}
    void OnReady(runtime::Ready ready) override { owner_.OnSocket(fd_, ready); }

   private:
    AresResolver& owner_;
    const int fd_;
  };
  struct Request {
    AresResolver* resolver;
    std::shared_ptr<Question> question;
  };

  static void OnSocketState(void* self, ares_socket_t fd, int readable, int writable);
  static void OnAnswer(void* request, int code, int timeouts, ares_addrinfo* answer);
  void Deliver(std::shared_ptr<Question> question, Resolution resolution);
  void OnSocket(int fd, runtime::Ready ready);
  void OnTimer();
  void ArmTimer();

  runtime::Loop& loop_;
  const size_t pending_max_;
  ares_channel channel_ = nullptr;
  runtime::Timer timer_;
  std::unordered_map<int, std::shared_ptr<Socket>> sockets_;
  size_t pending_ = 0;
  bool is_ending_ = false;
};

Status AresResolver::Open(const ResolverOptions& options) {
  static const int initialized = ares_library_init(ARES_LIB_INIT_ALL);
  if (initialized != ARES_SUCCESS) return absl::InternalError(ares_strerror(initialized));
  ares_options settings{};
  settings.timeout = static_cast<int>(options.timeout / std::chrono::milliseconds(1));
  settings.tries = options.tries;
  settings.sock_state_cb = OnSocketState;
  settings.sock_state_cb_data = this;
  const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (const int code = ares_init_options(&channel_, &settings, mask); code != ARES_SUCCESS) {
    channel_ = nullptr;
    return absl::UnavailableError(fmt::format("starting the resolver: {}", ares_strerror(code)));
  }
  if (options.servers.empty()) return absl::OkStatus();
  const std::string servers = fmt::format("{}", fmt::join(options.servers, ","));
  if (const int code = ares_set_servers_ports_csv(channel_, servers.c_str());
      code != ARES_SUCCESS) {
    return absl::InvalidArgumentError(
        fmt::format("DNS servers \"{}\": {}; write 10.0.0.10:53", servers, ares_strerror(code)));
  }
  return absl::OkStatus();
}

std::unique_ptr<Resolver::Query> AresResolver::Resolve(std::string_view name, LookupFamily family,
                                                       Callback callback) {
  auto question = std::make_shared<Question>(std::string(name), family, std::move(callback));
  auto handle = std::make_unique<QuestionHandle>(question);
  if (pending_ >= pending_max_) {
    Deliver(question, {.status = absl::ResourceExhaustedError(fmt::format(
                           "resolving {}: {} questions are under way already", name, pending_))});
    return handle;
  }
  ++pending_;
  ares_addrinfo_hints hints{};
  hints.ai_flags = ARES_AI_NOSORT;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = family == LookupFamily::kV4Only   ? AF_INET
                    : family == LookupFamily::kV6Only ? AF_INET6
                                                      : AF_UNSPEC;
  auto* request = new Request{this, question};
  ares_getaddrinfo(channel_, question->name.c_str(), nullptr, &hints, OnAnswer, request);
  ArmTimer();
  return handle;
}

void AresResolver::OnAnswer(void* raw, int code, int, ares_addrinfo* answer) {
  const std::unique_ptr<Request> request(static_cast<Request*>(raw));
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(answer,
                                                                           ares_freeaddrinfo);
  AresResolver& self = *request->resolver;
  if (self.is_ending_) return;
  --self.pending_;
  Resolution resolution{.status = ToStatus(code, request->question->name)};
  int ttl = -1;
  for (const ares_addrinfo_node* node = answer == nullptr ? nullptr : answer->nodes;
       node != nullptr; node = node->ai_next) {
    resolution.addresses.push_back(Address::FromSockaddr(node->ai_addr, node->ai_addrlen));
    if (node->ai_ttl > 0) ttl = ttl < 0 ? node->ai_ttl : std::min(ttl, node->ai_ttl);
  }
  resolution.ttl = ttl < 0 ? kHostsTtl : Duration(std::chrono::seconds(ttl));
  KeepFamily(request->question->family, resolution.addresses);
  self.Deliver(request->question, std::move(resolution));
}

void AresResolver::Deliver(std::shared_ptr<Question> question, Resolution resolution) {
  loop_.Post([question = std::move(question), resolution = std::move(resolution)]() mutable {
    if (auto callback = std::exchange(question->callback, nullptr)) callback(std::move(resolution));
  });
}

void AresResolver::OnSocketState(void* raw, ares_socket_t fd, int readable, int writable) {
  auto& self = *static_cast<AresResolver*>(raw);
  const auto at = self.sockets_.find(fd);
  const bool is_used = readable != 0 || writable != 0;
  if (is_used && at == self.sockets_.end()) {
    auto socket = std::make_shared<Socket>(self, fd);
    // A refused watch shows as a timeout of the question.
    if (self.loop_.Watch(fd, socket.get()).ok()) self.sockets_.emplace(fd, std::move(socket));
  } else if (!is_used && at != self.sockets_.end()) {
    self.loop_.Unwatch(fd, at->second.get());
    // The handler may be the one that runs now.
    self.loop_.DeferDelete(std::move(at->second));
    self.sockets_.erase(at);
  }
}

void AresResolver::OnSocket(int fd, runtime::Ready ready) {
  ares_process_fd(channel_, ready.readable ? fd : ARES_SOCKET_BAD,
                  ready.writable ? fd : ARES_SOCKET_BAD);
  // c-ares reads once from a TCP socket; an edge would not come again for the rest.
  const auto at = sockets_.find(fd);
  if (ready.readable && at != sockets_.end()) loop_.Rearm(fd, at->second.get());
  ArmTimer();
}

void AresResolver::OnTimer() {
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  ArmTimer();
}

void AresResolver::ArmTimer() {
  timeval wait;
  if (ares_timeout(channel_, nullptr, &wait) == nullptr) return timer_.Disarm();
  timer_.Arm(std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec));
}

}  // namespace

StatusOr<std::unique_ptr<Resolver>> Resolver::Create(runtime::Loop& loop,
                                                     const ResolverOptions& options) {
  auto resolver = std::make_unique<AresResolver>(loop, options.pending_max);
  MELTEMI_RETURN_IF_ERROR(resolver->Open(options));
  return resolver;
}

}  // namespace meltemi::net
