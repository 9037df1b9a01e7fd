// SPDX-License-Identifier: Apache-2.0
#include "lib/net/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>

namespace meltemi::net {
namespace {

bool IsWouldBlock(ssize_t result) {
  return result == -EAGAIN || result == -EWOULDBLOCK;
}

IoResult ResultOf(ssize_t count) {
  if (count > 0) return {IoState::kOk, static_cast<size_t>(count)};
  if (count == 0) return {IoState::kEnd, 0};
  return {IsWouldBlock(count) ? IoState::kWouldBlock : IoState::kError, 0};
}

// Fills `address` by asking the kernel, unless it is known or there is no socket any more.
const Address& Learn(Address& address, decltype(getpeername) ask, int fd) {
  if (address.family() != AF_UNSPEC || fd < 0) return address;
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  auto* raw = reinterpret_cast<sockaddr*>(&storage);
  if (ask(fd, raw, &length) == 0) address = Address::FromSockaddr(raw, length);
  return address;
}

int SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace

Connection::Connection(runtime::Loop& loop, BlockPool& pool, Fd socket,
                       std::unique_ptr<RecordLayer> records, ConnectionLimits limits,
                       std::string_view prefix)
    : loop_(loop),
      socket_(std::move(socket)),
      records_(std::move(records)),
      limits_(limits),
      input_(pool),
      output_(pool),
      sending_(pool) {
  const int on = 1;
  setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // refused by Unix sockets
  if (records_ != nullptr) {
    state_ = State::kHandshaking;
    if (!prefix.empty()) records_->AddPrefix(prefix);
  } else if (!prefix.empty()) {
    input_.Append(prefix);
    has_new_input_ = true;
    bytes_received_ = prefix.size();
  }
}

std::unique_ptr<Connection> Connection::Connect(runtime::Loop& loop, BlockPool& pool, Fd socket,
                                                const Address& to, Duration timeout,
                                                std::unique_ptr<RecordLayer> records,
                                                ConnectionLimits limits) {
  auto connection =
      std::make_unique<Connection>(loop, pool, std::move(socket), std::move(records), limits);
  connection->connect_timeout_ = timeout;
  connection->ConnectNow(to);
  return connection;
}

void Connection::ConnectNow(const Address& to) {
  state_ = State::kConnecting;
  ends().remote = to;
  if (!socket_.valid() || (connect(socket_.get(), to.data(), to.length()) != 0 &&
                           errno != EINPROGRESS && errno != EINTR)) {
    failure_ = CloseReason::kConnectFailed;
  }
}

Connection::~Connection() {
  if (destroyed_ != nullptr) *destroyed_ = true;
  Close();
}

void Connection::SetCallbacks(ConnectionCallbacks* callbacks) {
  callbacks_ = callbacks;
  if (!is_started_) return Start();
  // A new owner is told of what the former one left.
  if (!input_.empty() || input_ended_) {
    has_new_input_ = true;
    loop_.Defer(this);
  }
}

void Connection::Start() {
  is_started_ = true;
  if (state_ == State::kConnecting) ArmTimer(connect_timeout_);
  if (!failure_ && !WatchSocket().ok()) failure_ = CloseReason::kReset;
  if (failure_ || has_new_input_) loop_.Defer(this);
}

// Bytes of a plain stream go through the loop; a record layer makes its own system calls.
Status Connection::WatchSocket() {
  using runtime::StreamUse;
  if (records_ != nullptr) return loop_.WatchStream(socket_.get(), this, StreamUse::kReadiness);
  const bool is_connecting = state_ == State::kConnecting;
  if (!is_connecting) can_write_ = true;  // until a send says otherwise
  return loop_.WatchStream(socket_.get(), this,
                           is_connecting ? StreamUse::kConnecting : StreamUse::kConnected);
}

Connection::Ends& Connection::ends() const {
  if (ends_ == nullptr) ends_ = std::make_unique<Ends>();
  return *ends_;
}

const Address& Connection::remote_address() const {
  return Learn(ends().remote, getpeername, socket_.get());
}

const Address& Connection::local_address() const {
  return Learn(ends().local, getsockname, socket_.get());
}

// Runs a callback; false when it destroyed or closed the connection.
template <typename Function>
bool Connection::Tell(Function function) {
  bool destroyed = false;
  bool* const outer = std::exchange(destroyed_, &destroyed);
  function();
  if (destroyed) {
    if (outer != nullptr) *outer = true;
    return false;
  }
  destroyed_ = outer;
  return state_ != State::kClosed;
}

void Connection::OnReady(runtime::Ready ready) {
  if (ready.readable) can_read_ = true;
  if (ready.writable) can_write_ = true;
  if (ready.hung_up) is_hung_up_ = true;
  switch (state_) {
    case State::kConnecting:
      return FinishConnect();
    case State::kHandshaking:
      return Handshake();
    case State::kOpen:
      if (failure_) return loop_.Defer(this);
      if (ready.writable && has_output_left() && !FlushOutput()) return;
      if (ready.readable) ReadInput();
      return;
    case State::kClosing:
      if (ready.writable && !FlushOutput()) return;
      return DropInput();
    case State::kClosed:
      return;
  }
}

void Connection::FinishConnect() {
  if (!can_write_) return;
  if (SocketError(socket_.get()) != 0) return Fail(CloseReason::kConnectFailed);
  if (records_ != nullptr) {
    state_ = State::kHandshaking;
    return Handshake();
  }
  Open();
}

void Connection::Handshake() {
  switch (records_->Handshake(socket_.get())) {
    case IoState::kWouldBlock:
      return;
    case IoState::kOk:
      // The last flight may have brought application data with it.
      can_read_ = true;
      return Open();
    case IoState::kEnd:
    case IoState::kError:
      return Fail(CloseReason::kTlsFailed);
  }
}

void Connection::Open() {
  state_ = State::kOpen;
  timer_.reset();
  if (!Tell([this] { callbacks_->OnConnected(); })) return;
  if (state_ == State::kClosing) return DropInput();
  if ((has_output_left() || wants_end_) && !FlushOutput()) return;
  if (can_read_) ReadInput();
}

IoResult Connection::ReadOnce(char* to, size_t bytes) {
  const IoResult result = records_ != nullptr ? records_->Read(socket_.get(), to, bytes)
                                              : ResultOf(loop_.Receive(socket_.get(), to, bytes));
  if (result.state != IoState::kOk || is_hung_up_) return result;
  // A short read means an empty socket; what comes later is a new edge. An end already announced
  // has no edge of its own, so then it is read out.
  const bool is_empty = records_ != nullptr ? records_->has_read_all() : result.bytes < bytes;
  if (is_empty) can_read_ = false;
  return result;
}

void Connection::ReadInput() {
  if (input_ended_ || state_ != State::kOpen) return;
  std::optional<CloseReason> failure;
  for (int reads = 0; can_read_ && !input_ended_ && !failure; ++reads) {
    if (input_.size() >= limits_.input_bytes_max) {
      if (!DeliverInput() || state_ != State::kOpen) return;
      if (input_.size() >= limits_.input_bytes_max) {
        // Paused. A reset must still be noticed, or a stuck owner would hold a dead peer for ever.
        if (is_hung_up_ && SocketError(socket_.get()) != 0) return Fail(CloseReason::kReset);
        return;
      }
    }
    if (reads == kReadsPerTurn) {
      loop_.RearmStream(socket_.get(), this);
      break;
    }
    const size_t room = limits_.input_bytes_max - input_.size();
    char* to = input_.Reserve(std::min(room, BlockPool::kBlockBytes / 2));
    const IoResult result = ReadOnce(to, std::min(input_.writable_bytes(), room));
    switch (result.state) {
      case IoState::kOk:
        input_.Commit(result.bytes);
        bytes_received_ += result.bytes;
        has_new_input_ = true;
        break;
      case IoState::kWouldBlock:
        can_read_ = false;
        break;
      case IoState::kEnd:
        input_ended_ = true;
        has_new_input_ = true;
        break;
      case IoState::kError:
        failure = records_ != nullptr && !records_->failure().empty() ? CloseReason::kTlsFailed
                                                                      : CloseReason::kReset;
        break;
    }
  }
  if (!DeliverInput()) return;
  if (failure) return Fail(*failure);
  // A record layer may have an answer to what it read (a key update).
  if (records_ != nullptr && records_->has_pending_output() && !FlushOutput()) return;
  if (input_ended_ && output_ended_) Fail(CloseReason::kRemoteEnd);
}

bool Connection::DeliverInput() {
  if (!has_new_input_) {
    if (input_.empty()) input_.Clear();
    return true;
  }
  has_new_input_ = false;
  if (!Tell([this] { callbacks_->OnInput(); })) return false;
  if (input_.empty()) input_.Clear();
  return true;
}

void Connection::DropInput() {
  // One turn's worth only: a peer that sends for ever is ended by the linger timer.
  for (int reads = 0; can_read_ && !input_ended_ && reads < kReadsPerTurn; ++reads) {
    input_.Clear();
    char* to = input_.Reserve(BlockPool::kBlockBytes);
    const IoResult result = ReadOnce(to, BlockPool::kBlockBytes);
    if (result.state == IoState::kWouldBlock) can_read_ = false;
    if (result.state == IoState::kEnd) input_ended_ = true;
    if (result.state == IoState::kError) return Fail(CloseReason::kLocal);
  }
  input_.Clear();
  if (can_read_ && !input_ended_) loop_.RearmStream(socket_.get(), this);
  if (input_ended_ && output_ended_) Fail(CloseReason::kLocal);
}

void Connection::ResumeReading() {
  wants_read_ = true;
  if (state_ == State::kOpen && can_read_ && !input_ended_) loop_.Defer(this);
}

bool Connection::has_output_left() const {
  return unsent_bytes() > 0 || (records_ != nullptr && records_->has_pending_output());
}

void Connection::Flush() {
  if (is_output_full()) was_output_full_ = true;
  if (state_ == State::kOpen || state_ == State::kClosing) loop_.Defer(this);
}

void Connection::WriteOutput() {
  records_ != nullptr ? WriteRecords() : WritePlain();
}

void Connection::WriteRecords() {
  while (can_write_ && !output_ended_ && has_output_left() && !failure_) {
    const size_t asked = output_.size();
    const IoResult result = records_->Write(socket_.get(), output_.view());
    if (result.state == IoState::kError || result.state == IoState::kEnd) {
      return DeferFailure(CloseReason::kReset);
    }
    output_.Consume(result.bytes);
    bytes_sent_ += result.bytes;
    // A short write means a full socket; room is a new edge.
    if (result.state == IoState::kWouldBlock || result.bytes < asked) can_write_ = false;
  }
}

void Connection::WritePlain() {
  while (can_write_ && !is_sending_ && !output_ended_ && !failure_) {
    // What is being sent stays where it is, whatever the owner appends meanwhile.
    if (sending_.empty()) sending_.Swap(output_);
    if (sending_.empty()) return;
    const std::optional<ssize_t> result =
        loop_.Send(socket_.get(), sending_.view(), wants_end_ || was_output_full_);
    if (!result) {
      is_sending_ = true;
    } else if (!TookOutput(*result)) {
      return;
    }
  }
  const bool is_awaited = wants_end_ || was_output_full_ || !output_.empty();
  if (is_sending_ && is_awaited) loop_.HurrySends();
}

bool Connection::TookOutput(ssize_t result) {
  if (result < 0 && !IsWouldBlock(result)) {
    DeferFailure(CloseReason::kReset);
    return false;
  }
  const size_t asked = sending_.size();
  const size_t taken = result < 0 ? 0 : static_cast<size_t>(result);
  sending_.Consume(taken);
  bytes_sent_ += taken;
  // A short write means a full socket; room is a new event.
  if (taken < asked) can_write_ = false;
  return true;
}

void Connection::OnSent(ssize_t result) {
  is_sending_ = false;
  if (TookOutput(result) && (state_ == State::kOpen || state_ == State::kClosing)) FlushOutput();
}

bool Connection::FlushOutput() {
  if (is_output_full()) was_output_full_ = true;
  WriteOutput();
  if (failure_) return true;
  if (was_output_full_ && unsent_bytes() <= limits_.output_bytes_low) {
    was_output_full_ = false;
    if (state_ == State::kOpen && !Tell([this] { callbacks_->OnOutputDrained(); })) return false;
  }
  return FinishOutput();
}

// Ends our half once everything has gone; false when that ended the connection.
bool Connection::FinishOutput() {
  if (!wants_end_ || output_ended_ || has_output_left()) return true;
  output_ended_ = true;
  if (records_ != nullptr) records_->ShutdownWrite(socket_.get());
  shutdown(socket_.get(), SHUT_WR);
  if (!input_ended_ || has_new_input_) return true;
  Fail(CloseReason::kRemoteEnd);
  return false;
}

void Connection::EndOutput() {
  wants_end_ = true;
  if (state_ == State::kOpen) loop_.Defer(this);
}

void Connection::CloseAfterFlush(Duration linger) {
  if (state_ == State::kClosed || state_ == State::kClosing) return;
  if (state_ != State::kOpen) return DeferFailure(CloseReason::kLocal);
  state_ = State::kClosing;
  wants_end_ = true;
  has_new_input_ = false;
  ArmTimer(linger);
  loop_.Defer(this);
}

void Connection::RunDeferred() {
  if (state_ == State::kClosed) return;
  if (!failure_ && (state_ == State::kOpen || state_ == State::kClosing)) {
    if (!FlushOutput()) return;
  }
  if (failure_) return EndAfterFailure();
  if (state_ == State::kClosing) return DropInput();
  if (state_ != State::kOpen) return;
  if (!wants_read_) {
    DeliverInput();
    return;
  }
  wants_read_ = false;
  ReadInput();
}

// The peer may have answered before it reset: what came is read to its end, or until the owner
// takes no more, before the owner is told.
void Connection::EndAfterFailure() {
  const bool may_hold_input =
      state_ == State::kOpen && *failure_ == CloseReason::kReset && socket_.valid();
  if (may_hold_input) {
    if (!loop_.SettleStream(socket_.get(), this)) return;  // an event will come
    can_read_ = true;
    while (can_read_ && !input_ended_ && input_.size() < limits_.input_bytes_max) {
      if (!Tell([this] { ReadInput(); })) return;
    }
  }
  Fail(*failure_);
}

void Connection::DeferFailure(CloseReason reason) {
  if (!failure_) failure_ = reason;
  loop_.Defer(this);
}

void Connection::ArmTimer(Duration after) {
  if (timer_ == nullptr) timer_ = std::make_unique<runtime::Timer>(loop_, [this] { OnTimer(); });
  timer_->Arm(after);
}

void Connection::OnTimer() {
  Fail(state_ == State::kClosing ? CloseReason::kLocal : CloseReason::kConnectTimeout);
}

void Connection::Fail(CloseReason reason) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kClosing) reason = CloseReason::kLocal;
  Detach();
  if (callbacks_ != nullptr) callbacks_->OnClosed(reason);
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  if (records_ != nullptr && state_ == State::kOpen && !has_output_left() && !output_ended_ &&
      !failure_) {
    records_->ShutdownWrite(socket_.get());
  }
  Detach();
  input_.Clear();
}

void Connection::Detach() {
  state_ = State::kClosed;
  timer_.reset();
  loop_.UnwatchStream(socket_.get(), this);
  socket_.Reset();
  output_.Clear();
  sending_.Clear();
}

}  // namespace meltemi::net
