// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/forwarder.h"

#include <sys/socket.h>

#include <sstream>
#include <string>
#include <utility>

#include "lib/base/fd.h"

namespace meltemi::proxy::dns {
namespace {

constexpr size_t kServersMax = 3;  // MAXNS of resolv.conf(5)
// An answer that matches nothing is dropped, and the query goes on; this many, and it is given up.
constexpr int kForgedMax = 16;

}  // namespace

std::vector<net::Address> ParseResolvers(std::string_view resolv_conf) {
  std::vector<net::Address> servers;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line) && servers.size() < kServersMax;) {
    std::istringstream words(line);
    std::string keyword, ip;
    if (!(words >> keyword >> ip) || keyword != "nameserver") continue;
    if (auto address = net::Address::ParseIp(ip, 53); address.ok()) servers.push_back(*address);
  }
  return servers;
}

// One query on its way: a connected UDP socket and a timer; tries each server once.
class Forwarder::Query final : private runtime::FdHandler {
 public:
  Query(Forwarder& owner, uint64_t key, std::span<const uint8_t> packet, Question question,
        Done done)
      : owner_(owner),
        key_(key),
        packet_(packet.begin(), packet.end()),
        question_(std::move(question)),
        done_(std::move(done)),
        timer_(owner.loop_, [this] { TryNext(); }) {}
  ~Query() { Close(); }

  // The query may be gone when this returns.
  void TryNext() {
    Close();
    while (next_server_ < owner_.servers_.size()) {
      if (!Send(owner_.servers_[next_server_++])) continue;
      timer_.Arm(owner_.limits_.wait_per_server);
      return;
    }
    owner_.Finish(key_, {});
  }

  uint16_t asker_id() const { return question_.id; }
  Done TakeDone() { return std::move(done_); }

 private:
  bool Send(const net::Address& server) {
    socket_.Reset(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_.valid() || ::connect(socket_.get(), server.data(), server.length()) != 0 ||
        !owner_.loop_.Watch(socket_.get(), this).ok()) {
      socket_.Reset();
      return false;
    }
    id_ = static_cast<uint16_t>(owner_.random_());
    Write16(packet_, 0, id_);
    if (::send(socket_.get(), packet_.data(), packet_.size(), MSG_NOSIGNAL) >= 0) return true;
    Close();
    return false;
  }

  void OnReady(runtime::Ready) override {
    uint8_t answer[kUdpBytesMax];
    for (;;) {
      const ssize_t size = ::recv(socket_.get(), answer, sizeof(answer), 0);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (size < 0) return TryNext();  // nobody listens there
      const std::span<uint8_t> got(answer, static_cast<size_t>(size));
      if (IsAnswerTo(got, id_, question_)) {
        Write16(got, 0, question_.id);
        return owner_.Finish(key_, got);
      }
      if (++forged_ == kForgedMax) return TryNext();
    }
  }

  void Close() {
    timer_.Disarm();
    if (!socket_.valid()) return;
    owner_.loop_.Unwatch(socket_.get(), this);
    socket_.Reset();
  }

  Forwarder& owner_;
  const uint64_t key_;
  std::vector<uint8_t> packet_;
  Question question_;
  Done done_;
  runtime::Timer timer_;
  Fd socket_;
  size_t next_server_ = 0;
  uint16_t id_ = 0;
  int forged_ = 0;
};

Forwarder::Forwarder(runtime::Loop& loop, std::vector<net::Address> servers, ForwarderLimits limits)
    : loop_(loop), servers_(std::move(servers)), limits_(limits) {}

Forwarder::~Forwarder() = default;

void Forwarder::Ask(std::span<const uint8_t> query, const Question& question, Done done) {
  if (queries_.size() >= limits_.in_flight_max || query.size() > kUdpBytesMax) return done({});
  const uint64_t key = next_key_++;
  const auto added = std::make_shared<Query>(*this, key, query, question, std::move(done));
  queries_.emplace(key, added);
  added->TryNext();
}

void Forwarder::Finish(uint64_t key, std::span<const uint8_t> answer) {
  const auto found = queries_.find(key);
  if (found == queries_.end()) return;
  // It is inside its own callback: it goes at the end of the pass.
  const std::shared_ptr<Query> query = std::move(found->second);
  queries_.erase(found);
  loop_.DeferDelete(query);
  query->TakeDone()(answer);
}

}  // namespace meltemi::proxy::dns
