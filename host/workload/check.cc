// SPDX-License-Identifier: Apache-2.0
#include "host/workload/check.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace meltemi::host {
namespace {

constexpr size_t kStatusLineBytesMax = 256;

}  // namespace

std::string GetRequest(const std::string& host, const std::string& path,
                       const std::string& headers) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: meltemi-probe\r\nAccept: */*\r\n{}"
      "Connection: close\r\n\r\n",
      path, host, headers);
}

Check::Check(runtime::Loop& loop, Fd socket, std::string request, Done done)
    : loop_(loop),
      socket_(std::move(socket)),
      request_(std::move(request)),
      done_(std::move(done)),
      timer_(loop, [this] {
        End(false, early_failure_.empty() ? "no answer in time" : early_failure_);
      }) {}

std::unique_ptr<Check> Check::Start(runtime::Loop& loop, Fd socket, const net::Address& to,
                                    std::string request, Duration wait_max, Done done) {
  std::unique_ptr<Check> check(
      new Check(loop, std::move(socket), std::move(request), std::move(done)));
  const bool is_refused =
      ::connect(check->socket_.get(), to.data(), to.length()) != 0 && errno != EINPROGRESS;
  if (is_refused) check->early_failure_ = std::strerror(errno);
  if (!is_refused && !loop.Watch(check->socket_.get(), check.get()).ok())
    check->early_failure_ = "cannot watch the socket";
  // `done` is never called inside Start(): the owner does not hold the check yet.
  check->timer_.Arm(check->early_failure_.empty() ? wait_max : Duration::zero());
  return check;
}

Check::~Check() {
  if (socket_.valid()) loop_.Unwatch(socket_.get(), this);
}

void Check::OnReady(runtime::Ready ready) {
  if (!is_connected_) {
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return End(false, std::strerror(error));
    if (!ready.writable) return;
    is_connected_ = true;
    if (request_.empty()) return End(true, "connected");
    // A request this short fits any fresh socket's buffer.
    if (::send(socket_.get(), request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size()))
      return End(false, "cannot send the request");
  }
  ReadStatus();
}

void Check::ReadStatus() {
  while (answer_.size() < kStatusLineBytesMax && answer_.find('\n') == std::string::npos) {
    char bytes[kStatusLineBytesMax];
    const ssize_t size = ::recv(socket_.get(), bytes, sizeof(bytes), 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return End(false, "closed without an answer");
    answer_.append(bytes, static_cast<size_t>(size));
  }
  // "HTTP/1.1 200 OK"
  if (!answer_.starts_with("HTTP/1.") || answer_.size() < 12) return End(false, "no HTTP answer");
  const std::string code = answer_.substr(9, 3);
  const bool is_healthy = code >= "200" && code <= "399" && code[1] >= '0' && code[2] >= '0';
  End(is_healthy, fmt::format("status {}", code));
}

void Check::End(bool is_healthy, const std::string& why) {
  timer_.Disarm();
  loop_.Unwatch(socket_.get(), this);
  socket_.Reset();
  const Done done = std::move(done_);
  done(is_healthy, why);
}

}  // namespace meltemi::host
