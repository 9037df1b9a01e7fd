// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/uring_loop.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/check.h"

namespace meltemi::runtime {
namespace {

constexpr uint32_t kGenerationMask = 0xffffff;

int DescriptorOf(uint64_t user_data) {
  return static_cast<int>(user_data & 0xffffffff);
}

uint32_t GenerationOf(uint64_t user_data) {
  return static_cast<uint32_t>(user_data >> 32) & kGenerationMask;
}

}  // namespace

UringLoop::UringLoop(Fd epoll, Fd wake, std::unique_ptr<Uring> ring, SendQueueing queueing)
    : EpollLoop(std::move(epoll), std::move(wake)), ring_(std::move(ring)), queueing_(queueing) {}

uint64_t UringLoop::DataFor(Kind kind, int fd) const {
  const uint64_t generation = streams_[fd].generation & kGenerationMask;
  return uint64_t{static_cast<uint8_t>(kind)} << 56 | generation << 32 | static_cast<uint32_t>(fd);
}

UringLoop::Stream* UringLoop::Find(uint64_t user_data) {
  Stream& stream = streams_[DescriptorOf(user_data)];
  const bool is_same = (stream.generation & kGenerationMask) == GenerationOf(user_data);
  return is_same && stream.handler != nullptr ? &stream : nullptr;
}

// -- streams

Status UringLoop::WatchStream(int fd, StreamHandler* handler, StreamUse use) {
  if (fd < 0) return absl::InvalidArgumentError("cannot watch a closed descriptor");
  if (static_cast<size_t>(fd) >= streams_.size()) streams_.resize(fd + 1 + fd / 2);
  Stream& stream = streams_[fd];
  MELTEMI_CHECK(stream.handler == nullptr);
  stream.handler = handler;
  switch (use) {
    case StreamUse::kConnected:
      ArmReceive(fd, stream, false);
      break;
    case StreamUse::kConnecting:
      AwaitConnect(fd, stream);
      break;
    case StreamUse::kReadiness:
      PollReadiness(fd, stream);
      break;
  }
  return absl::OkStatus();
}

void UringLoop::UnwatchStream(int fd, StreamHandler* handler) {
  if (fd < 0 || static_cast<size_t>(fd) >= streams_.size()) return;
  Stream& stream = streams_[fd];
  if (stream.handler != handler || handler == nullptr) return;
  if (stream.is_sending && ring_->has_unsubmitted()) ring_->Submit();
  ring_->Forget(fd);
  // The kernel's requests hold the socket open until they end, with the pass.
  if (stream.is_armed) Cancel(DataFor(Kind::kReceive, fd));
  if (stream.has_hangup_poll) Cancel(DataFor(Kind::kHangUp, fd));
  if (stream.has_room_poll) Cancel(DataFor(Kind::kRoom, fd));
  if (stream.has_readiness_poll) Cancel(DataFor(Kind::kReadiness, fd));
  const uint32_t generation = stream.generation + 1;
  stream = Stream{};
  stream.generation = generation;
}

void UringLoop::RearmStream(int fd, StreamHandler* handler) {
  if (fd < 0 || static_cast<size_t>(fd) >= streams_.size()) return;
  const Stream& stream = streams_[fd];
  if (stream.handler == handler) again_.push_back({fd, stream.generation});
}

// Edge-triggered, and until it is cancelled. The kernel adds POLLERR, POLLHUP and POLLRDHUP to the
// mask: a poll for one event would end at once, and again and again, on a socket whose peer has
// ended its half.
void UringLoop::Poll(int fd, Kind kind, unsigned mask) {
  io_uring_sqe* entry = ring_->Entry();
  io_uring_prep_poll_multishot(entry, fd, mask);
  entry->user_data = DataFor(kind, fd);
}

void UringLoop::PollReadiness(int fd, Stream& stream) {
  if (stream.has_readiness_poll) return;
  stream.has_readiness_poll = true;
  Poll(fd, Kind::kReadiness, POLLIN | POLLOUT | POLLRDHUP);
}

void UringLoop::ArmReceive(int fd, Stream& stream, bool is_empty) {
  if (stream.is_armed || stream.is_bulk || stream.is_settled || stream.is_ended ||
      stream.error != 0) {
    return;
  }
  stream.is_armed = true;
  ring_->Receive(fd, DataFor(Kind::kReceive, fd), is_empty);
}

// An owner that does not read must still learn of a reset, else it would hold a dead peer for ever.
void UringLoop::WatchForHangUp(int fd, Stream& stream) {
  if (stream.has_hangup_poll) return;
  stream.has_hangup_poll = true;
  Poll(fd, Kind::kHangUp, POLLERR | POLLHUP);
}

void UringLoop::AwaitRoom(int fd, Stream& stream) {
  if (stream.has_room_poll) return;
  stream.has_room_poll = true;
  Poll(fd, Kind::kRoom, POLLOUT);
}

// For one event: most connections never fill their socket, and need no lasting poll.
void UringLoop::AwaitConnect(int fd, Stream& stream) {
  stream.has_room_poll = true;
  io_uring_sqe* entry = ring_->Entry();
  io_uring_prep_poll_add(entry, fd, POLLOUT);
  entry->user_data = DataFor(Kind::kRoom, fd);
}

void UringLoop::Cancel(uint64_t user_data) {
  io_uring_sqe* entry = ring_->Entry();
  io_uring_prep_cancel64(entry, user_data, 0);
  entry->user_data = uint64_t{static_cast<uint8_t>(Kind::kCancel)} << 56;
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

ssize_t UringLoop::Receive(int fd, char* to, size_t bytes) {
  Stream& stream = streams_[fd];
  size_t taken = TakeHeld(stream, to, bytes);
  if ((stream.is_bulk || stream.is_settled) && taken < bytes) {
    const ssize_t more = ReceiveNow(fd, stream, to + taken, bytes - taken);
    if (more > 0) taken += static_cast<size_t>(more);
    // The end or a failure is told apart from the bytes before it.
    if (taken > 0 && (stream.is_ended || stream.error != 0)) RearmStream(fd, stream.handler);
  } else if (stream.held_bytes == 0 && !stream.is_bulk) {
    ArmReceive(fd, stream);
  }
  if (taken > 0) return static_cast<ssize_t>(taken);
  if (stream.error != 0) return -stream.error;
  return stream.is_ended ? 0 : -EAGAIN;
}

size_t UringLoop::TakeHeld(Stream& stream, char* to, size_t bytes) {
  const size_t taken = std::min<size_t>(stream.held_bytes, bytes);
  if (taken == 0) return 0;
  std::memcpy(to, stream.held, taken);
  stream.held += taken;
  stream.held_bytes -= static_cast<uint32_t>(taken);
  if (stream.held_bytes == 0) stream.kept.reset();
  return taken;
}

ssize_t UringLoop::ReceiveNow(int fd, Stream& stream, char* to, size_t bytes) {
  ssize_t count;
  do {
    count = recv(fd, to, bytes, MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(bytes)) return count;
  stream.is_bulk = false;
  if (count == 0) stream.is_ended = true;
  if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) stream.error = errno;
  ArmReceive(fd, stream);
  return count;
}

bool UringLoop::IsBrisk() const {
  if (queueing_ == SendQueueing::kByPace) return gap_ < kBriskGap;
  return queueing_ == SendQueueing::kAlways;
}

std::optional<ssize_t> UringLoop::Send(int fd, std::string_view bytes, bool is_awaited) {
  Stream& stream = streams_[fd];
  MELTEMI_CHECK(!stream.is_sending);
  if (is_awaited || bytes.size() > kQueuedBytesMax || !IsBrisk() || !ring_->has_room()) {
    return SendNow(fd, stream, bytes);
  }
  stream.is_sending = true;
  stream.is_sent_known = false;
  stream.send_bytes = static_cast<uint32_t>(bytes.size());
  io_uring_sqe* entry = ring_->Entry();
  // MSG_WAITALL: less than everything is a failure in the ring's eyes, which posts a completion.
  io_uring_prep_send(entry, fd, bytes.data(), stream.send_bytes,
                     MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
  entry->user_data = DataFor(Kind::kSend, fd);
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sends_.push_back({fd, stream.generation});
  return std::nullopt;
}

ssize_t UringLoop::SendNow(int fd, Stream& stream, std::string_view bytes) {
  ssize_t count;
  do {
    count = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  if (count < 0) count = -errno;
  if (count == -EAGAIN || (count >= 0 && static_cast<size_t>(count) < bytes.size())) {
    AwaitRoom(fd, stream);
  }
  return count;
}

bool UringLoop::SettleStream(int fd, StreamHandler* handler) {
  if (fd < 0 || static_cast<size_t>(fd) >= streams_.size()) return true;
  Stream& stream = streams_[fd];
  if (stream.handler != handler) return true;
  if (stream.is_armed && !stream.is_settled) Cancel(DataFor(Kind::kReceive, fd));
  stream.is_settled = true;
  return !stream.is_armed;
}

// -- passes

void UringLoop::PollEpoll() {
  is_epoll_polled_ = true;
  io_uring_sqe* entry = ring_->Entry();
  io_uring_prep_poll_multishot(entry, epoll_fd(), POLLIN);
  entry->user_data = uint64_t{static_cast<uint8_t>(Kind::kEpoll)} << 56;
}

void UringLoop::Run() {
  while (!TakeStop()) Pass(Duration::max());
  ring_->Submit();
}

void UringLoop::RunOnce(Duration wait_max) {
  Pass(wait_max);
  ring_->Submit();
}

// Submits at its beginning, so that one system call does that and waits.
void UringLoop::Pass(Duration wait_max) {
  if (!is_epoll_polled_) PollEpoll();
  const bool may_wait = again_.empty() && !is_epoll_ready_ && !std::exchange(is_hurried_, false);
  Duration wait = may_wait ? WaitFor(wait_max) : Duration::zero();
  if (!sends_.empty()) wait = std::min(wait, kResultDelayMax);
  const MonotonicTime before = Now();
  ring_->SubmitAndWait(wait);
  ReadClock();
  gap_ += (std::min<Duration>(Now() - before, kGapMax) - gap_) / 8;
  CompleteAll();
  TellAgain();
  if (std::exchange(is_epoll_ready_, false) && !DispatchReady(0)) is_epoll_ready_ = true;
  EndPass();
}

void UringLoop::CompleteAll() {
  ring_->TakeAll(completions_);
  for (const Uring::Completion& completion : completions_) NoteSend(completion);
  if (!ring_->has_unsubmitted()) TellSent();
  for (const Uring::Completion& completion : completions_) Complete(completion);
}

void UringLoop::NoteSend(const Uring::Completion& completion) {
  if (static_cast<Kind>(completion.user_data >> 56) != Kind::kSend) return;
  Stream* stream = Find(completion.user_data);
  if (stream == nullptr || !stream->is_sending) return;
  stream->is_sent_known = true;
  stream->sent = completion.result;
}

void UringLoop::TellSent() {
  telling_.swap(sends_);
  for (const Again& entry : telling_) {
    Stream& stream = streams_[entry.fd];
    if (stream.generation != entry.generation || stream.handler == nullptr) continue;
    stream.is_sending = false;
    const ssize_t result = stream.is_sent_known ? stream.sent : ssize_t{stream.send_bytes};
    const bool is_full = result == -EAGAIN || (result >= 0 && result < stream.send_bytes);
    if (is_full) AwaitRoom(entry.fd, stream);
    stream.handler->OnSent(result);
  }
  telling_.clear();
}

void UringLoop::TellAgain() {
  telling_.swap(again_);
  for (const Again& entry : telling_) {
    const Stream& stream = streams_[entry.fd];
    if (stream.generation != entry.generation || stream.handler == nullptr) continue;
    stream.handler->OnReady({.readable = true, .writable = false, .hung_up = false});
  }
  telling_.clear();
}

void UringLoop::Complete(const Uring::Completion& completion) {
  const auto kind = static_cast<Kind>(completion.user_data >> 56);
  switch (kind) {
    case Kind::kEpoll:
      is_epoll_ready_ = true;
      if ((completion.flags & IORING_CQE_F_MORE) == 0) is_epoll_polled_ = false;
      return;
    case Kind::kReceive:
      return Received(completion);
    case Kind::kRoom:
    case Kind::kHangUp:
    case Kind::kReadiness:
      return Polled(kind, completion);
    case Kind::kSend:
    case Kind::kCancel:
      return;
  }
}

void UringLoop::Polled(Kind kind, const Uring::Completion& completion) {
  Stream* stream = Find(completion.user_data);
  if (stream == nullptr) return;
  const int fd = DescriptorOf(completion.user_data);
  const uint32_t events =
      completion.result < 0 ? POLLERR : static_cast<uint32_t>(completion.result);
  const bool has_ended = (completion.flags & IORING_CQE_F_MORE) == 0;
  const bool is_hung_up = (events & (POLLERR | POLLHUP)) != 0;
  switch (kind) {
    case Kind::kRoom:
      if (has_ended) stream->has_room_poll = false;
      if (is_hung_up || (events & POLLOUT) != 0) return HasRoom(fd, *stream, is_hung_up);
      return AwaitRoom(fd, *stream);
    case Kind::kHangUp:
      if (has_ended) stream->has_hangup_poll = false;
      if (!is_hung_up) return WatchForHangUp(fd, *stream);
      return stream->handler->OnReady({.readable = true, .writable = true, .hung_up = true});
    default:
      if (has_ended) stream->has_readiness_poll = false;
      if (completion.result >= 0) PollReadiness(fd, *stream);
      return stream->handler->OnReady(ReadyOf(events));
  }
}

void UringLoop::HasRoom(int fd, Stream& stream, bool is_hung_up) {
  // Armed late for a stream that was connecting.
  if (stream.held_bytes == 0) ArmReceive(fd, stream);
  stream.handler->OnReady({.readable = false, .writable = true, .hung_up = is_hung_up});
}

void UringLoop::Received(const Uring::Completion& completion) {
  const int fd = DescriptorOf(completion.user_data);
  const bool has_buffer = (completion.flags & IORING_CQE_F_BUFFER) != 0;
  const auto buffer = static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
  if (Stream* stream = Find(completion.user_data); stream != nullptr) {
    stream->is_armed = false;
    const int result = completion.result;
    if (result > 0) {
      const bool has_more = (completion.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
      Deliver(fd, *stream, ring_->buffer(buffer), static_cast<uint32_t>(result), has_more);
    } else if (!stream->is_settled &&
               (result == -ENOBUFS || result == -EINTR || result == -EAGAIN)) {
      ArmReceive(fd, *stream, false);  // other streams have given buffers back by then
    } else {
      // An empty socket has nothing to say to a stream that is settled: Receive asks it.
      if (result == 0) stream->is_ended = true;
      if (result < 0 && !stream->is_settled) stream->error = -result;
      stream->handler->OnReady({.readable = true, .writable = false, .hung_up = false});
    }
  }
  if (has_buffer) ring_->GiveBack(buffer);
}

void UringLoop::Deliver(int fd, Stream& stream, const char* bytes, uint32_t size, bool has_more) {
  stream.held = bytes;
  stream.held_bytes = size;
  stream.is_bulk = has_more || size == Uring::kBufferBytes;
  const uint32_t generation = stream.generation;
  stream.handler->OnReady({.readable = true, .writable = false, .hung_up = false});
  // The handler may have opened streams: the table may have moved.
  Stream& now = streams_[fd];
  if (now.generation != generation || now.handler == nullptr) return;
  if (now.held_bytes > 0) {
    now.kept = std::make_unique_for_overwrite<char[]>(now.held_bytes);
    std::memcpy(now.kept.get(), now.held, now.held_bytes);
    now.held = now.kept.get();
    now.is_bulk = true;
  }
  now.is_bulk ? WatchForHangUp(fd, now) : ArmReceive(fd, now);
}

}  // namespace meltemi::runtime
