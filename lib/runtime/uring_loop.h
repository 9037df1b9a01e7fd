// SPDX-License-Identifier: Apache-2.0
// Loop whose stream sockets are served by io_uring; everything else is served by epoll, whose
// descriptor the ring polls. One system call per pass submits all sends and waits.
//
// Receiving: one receive is armed on each stream; what comes is handed over at once, and what the
// owner leaves is kept aside (a buffer's worth at most) so that the ring's buffers stay for others.
// The stream is armed again when its owner has taken everything. While more comes than a buffer
// holds, the owner's Receive asks the socket itself, as with epoll: long bodies are not copied
// twice. Sending: queued with MSG_DONTWAIT, so the kernel has taken or refused the bytes when the
// submission returns. A send that was taken whole posts no completion.
//
// Invariants:
//  1. No entry that names a descriptor is left unsubmitted when the descriptor is unwatched: the
//  number may be another socket's a moment later.
//  2. Completions carry the stream's generation; those of a stream that has gone give back their
//  buffer and do nothing else.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "lib/runtime/epoll_loop.h"
#include "lib/runtime/uring.h"

namespace meltemi::runtime {

class UringLoop final : public EpollLoop {
 public:
  UringLoop(Fd epoll, Fd wake, std::unique_ptr<Uring> ring);

  StreamEngine stream_engine() const override { return StreamEngine::kUring; }
  Status WatchStream(int fd, StreamHandler* handler, bool is_connecting) override;
  void UnwatchStream(int fd, StreamHandler* handler) override;
  void RearmStream(int fd, StreamHandler* handler) override;
  ssize_t Receive(int fd, char* to, size_t bytes) override;
  std::optional<ssize_t> Send(int fd, std::string_view bytes) override;
  void Run() override;
  void RunOnce(Duration wait_max) override;

 private:
  static constexpr unsigned kCompletionsPerPass = 512;
  // From so many events in a pass on, submitting and waiting are one call; results of sends are
  // then told a little late, which a busy loop does not notice.
  static constexpr unsigned kBusyEvents = 4;
  static constexpr Duration kResultDelayMax = std::chrono::milliseconds(1);

  enum class Kind : uint8_t { kEpoll, kReceive, kSend, kRoom, kHangUp, kCancel };

  struct Stream {
    StreamHandler* handler = nullptr;
    // Received and not yet asked for: in a ring's buffer while the handler is told, then in `kept`.
    const char* held = nullptr;
    uint32_t held_bytes = 0;
    uint32_t send_bytes = 0;
    int32_t sent = 0;         // result of the queued send, once known
    int32_t error = 0;        // of a receive, told by the next Receive
    uint32_t generation = 0;  // 24 bits of it travel
    bool is_armed = false;
    bool is_ended = false;
    bool is_bulk = false;  // the socket may hold more, and no receive is armed
    bool is_sending = false;
    bool is_sent_known = false;
    bool has_room_poll = false;
    bool has_hangup_poll = false;
    std::unique_ptr<char[]> kept;
  };
  struct Again {
    int fd;
    uint32_t generation;
  };

  void Pass(Duration wait_max);
  uint64_t DataFor(Kind kind, int fd) const;
  Stream* Find(uint64_t user_data);
  void Poll(int fd, Kind kind, unsigned mask);
  void PollEpoll();
  void ArmReceive(int fd, Stream& stream);
  void WatchForHangUp(int fd, Stream& stream);
  void AwaitRoom(int fd, Stream& stream);
  void Cancel(uint64_t user_data);

  unsigned CompleteAll();
  void NoteSend(const Uring::Completion& completion);
  void TellSent();
  void TellAgain();
  void Complete(const Uring::Completion& completion);
  void Received(const Uring::Completion& completion);
  size_t TakeHeld(Stream& stream, char* to, size_t bytes);
  // As recv(2); arms the stream when that empties the socket.
  ssize_t ReceiveNow(int fd, Stream& stream, char* to, size_t bytes);
  void Deliver(int fd, Stream& stream, const char* bytes, uint32_t size);
  void HasRoom(int fd, Stream& stream, int events);

  const std::unique_ptr<Uring> ring_;
  std::vector<Stream> streams_;  // by descriptor
  std::vector<Again> sends_;     // queued in this pass
  std::vector<Again> again_;     // to be told once more
  std::vector<Again> telling_;
  std::array<Uring::Completion, kCompletionsPerPass> completions_;
  unsigned events_ = kBusyEvents;  // of the last pass
  bool is_epoll_polled_ = false;
  bool is_epoll_ready_ = false;
};

}  // namespace meltemi::runtime
