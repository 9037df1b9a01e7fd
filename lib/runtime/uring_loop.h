// SPDX-License-Identifier: Apache-2.0
// Loop whose stream sockets are served by io_uring; everything else is served by epoll, whose
// descriptor the ring polls.
//
// Receiving: one receive is armed on each stream; what comes is handed over at once, and what the
// owner leaves is kept aside (a buffer's worth at most) so that the ring's buffers stay for others.
// The stream is armed again when its owner has taken everything. While more comes than a buffer
// holds, the owner's Receive asks the socket itself, as with epoll: long bodies are not copied
// twice.
// Sending: while passes follow each other closely a send is queued, and leaves in the system call
// that waits for the next event. It has MSG_DONTWAIT, so the kernel has taken or refused the bytes
// when the submission returns; one that was taken whole posts no completion, and is told in the
// next pass. A send that is large or awaited, or made in a quiet loop, is a system call of its own.
//
// Invariants:
//  1. No entry that names a descriptor is left unsubmitted when the descriptor is unwatched: the
//  number may be another socket's a moment later.
//  2. Completions carry the stream's generation; those of a stream that has gone give back their
//  buffer and do nothing else.
//  3. A send without a completion is told as taken whole only once everything submitted with it has
//  been looked at, what overflowed the ring included.
#pragma once

#include <memory>
#include <vector>

#include "lib/runtime/epoll_loop.h"
#include "lib/runtime/uring.h"

namespace meltemi::runtime {

class UringLoop final : public EpollLoop {
 public:
  UringLoop(Fd epoll, Fd wake, std::unique_ptr<Uring> ring, SendQueueing queueing);

  StreamEngine stream_engine() const override { return StreamEngine::kUring; }
  Status WatchStream(int fd, StreamHandler* handler, StreamUse use) override;
  void UnwatchStream(int fd, StreamHandler* handler) override;
  void RearmStream(int fd, StreamHandler* handler) override;
  ssize_t Receive(int fd, char* to, size_t bytes) override;
  std::optional<ssize_t> Send(int fd, std::string_view bytes, bool is_awaited) override;
  void HurrySends() override { is_hurried_ = true; }
  bool SettleStream(int fd, StreamHandler* handler) override;
  void Run() override;
  void RunOnce(Duration wait_max) override;

 private:
  static constexpr size_t kQueuedBytesMax = 16 * 1024;
  // The time between two passes, on average, below which sends are queued.
  static constexpr Duration kBriskGap = std::chrono::microseconds(200);
  static constexpr Duration kGapMax = std::chrono::milliseconds(10);
  // A loop that falls silent tells of its last sends so much later.
  static constexpr Duration kResultDelayMax = std::chrono::milliseconds(20);

  enum class Kind : uint8_t { kEpoll, kReceive, kSend, kRoom, kHangUp, kReadiness, kCancel };

  struct Stream {
    StreamHandler* handler = nullptr;
    // Received and not yet asked for: in a ring's buffer while the handler is told, then in `kept`.
    const char* held = nullptr;
    std::unique_ptr<char[]> kept;
    uint32_t held_bytes = 0;
    uint32_t send_bytes = 0;
    int32_t sent = 0;         // result of the queued send, once known
    int32_t error = 0;        // of a receive, told by the next Receive
    uint32_t generation = 0;  // 24 bits of it travel
    bool is_armed : 1 = false;
    bool is_ended : 1 = false;
    bool is_bulk : 1 = false;     // the socket may hold more, and no receive is armed
    bool is_settled : 1 = false;  // no receive is to be armed any more
    bool is_sending : 1 = false;
    bool is_sent_known : 1 = false;
    bool has_room_poll : 1 = false;
    bool has_hangup_poll : 1 = false;
    bool has_readiness_poll : 1 = false;
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
  void PollReadiness(int fd, Stream& stream);
  void ArmReceive(int fd, Stream& stream, bool is_empty = true);
  void WatchForHangUp(int fd, Stream& stream);
  void AwaitRoom(int fd, Stream& stream);
  void AwaitConnect(int fd, Stream& stream);
  void Cancel(uint64_t user_data);

  bool IsBrisk() const;
  ssize_t SendNow(int fd, Stream& stream, std::string_view bytes);
  void CompleteAll();
  void NoteSend(const Uring::Completion& completion);
  void TellSent();
  void TellAgain();
  void Complete(const Uring::Completion& completion);
  void Received(const Uring::Completion& completion);
  size_t TakeHeld(Stream& stream, char* to, size_t bytes);
  // As recv(2); arms the stream when that empties the socket.
  ssize_t ReceiveNow(int fd, Stream& stream, char* to, size_t bytes);
  void Deliver(int fd, Stream& stream, const char* bytes, uint32_t size, bool has_more);
  void Polled(Kind kind, const Uring::Completion& completion);
  void HasRoom(int fd, Stream& stream, bool is_hung_up);

  const std::unique_ptr<Uring> ring_;
  const SendQueueing queueing_;
  std::vector<Stream> streams_;  // by descriptor
  std::vector<Again> sends_;     // queued in this pass
  std::vector<Again> again_;     // to be told once more
  std::vector<Again> telling_;
  std::vector<Uring::Completion> completions_;
  Duration gap_ = kGapMax;  // between two passes, moving average
  bool is_epoll_polled_ = false;
  bool is_epoll_ready_ = false;
  bool is_hurried_ = false;
};

}  // namespace meltemi::runtime
