// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 origin for tests, a thread per connection. It answers with the request it got; the
// path asks for more: /status/503 for that status, /flaky for 503 once per origin, /drop to close
// without an answer, /large/N for N bytes, /chunked for a chunked body with a trailer.
#pragma once

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "proxy/testing/proxy_fixture.h"

namespace meltemi::proxy::testing {

class HttpOrigin {
 public:
  explicit HttpOrigin(std::string name = "origin")
      : name_(std::move(name)), listener_(ListenAnywhere(port_)), thread_([this] { Run(); }) {}
  ~HttpOrigin() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& connection : connections_) connection.join();
  }
  uint16_t port() const { return port_; }
  int connections() const { return accepted_; }
  int requests() const { return requests_; }

 private:
  void Run() {
    for (;;) {
      Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket.valid()) return;
      ++accepted_;
      {
        std::lock_guard lock(mutex_);
        open_.push_back(socket.get());
      }
      connections_.emplace_back([this, socket = std::move(socket)] {
        Serve(socket.get());
        std::lock_guard lock(mutex_);
        open_.remove(socket.get());
      });
    }
  }

  static bool Fill(int fd, std::string& input) {
    char buffer[16384];
    const ssize_t count = ::recv(fd, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    input.append(buffer, static_cast<size_t>(count));
    return true;
  }

  static std::string Lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), ::tolower);
    return text;
  }

  // One request off `input`; false at the end of the connection.
  static bool ReadRequest(int fd, std::string& input, std::string& head, std::string& body) {
    size_t end;
    while ((end = input.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(fd, input)) return false;
    }
    head = input.substr(0, end + 2);
    input.erase(0, end + 4);
    body.clear();
    const std::string lower = Lower(head);
    if (const size_t at = lower.find("content-length: "); at != std::string::npos) {
      const size_t length = std::stoul(lower.substr(at + 16));
      while (input.size() < length) {
        if (!Fill(fd, input)) return false;
      }
      body = input.substr(0, length);
      input.erase(0, length);
    } else if (lower.find("transfer-encoding: chunked") != std::string::npos) {
      for (;;) {
        size_t line;
        while ((line = input.find("\r\n")) == std::string::npos) {
          if (!Fill(fd, input)) return false;
        }
        const size_t length = std::stoul(input.substr(0, line), nullptr, 16);
        while (input.size() < line + 2 + length + 2) {
          if (!Fill(fd, input)) return false;
        }
        body += input.substr(line + 2, length);
        input.erase(0, line + 2 + length + 2);
        if (length == 0) break;
      }
    }
    return true;
  }

  std::string Answer(const std::string& head, const std::string& body) {
    const size_t path_at = head.find(' ') + 1;
    const std::string path = head.substr(path_at, head.find(' ', path_at) - path_at);
    std::string status = "200";
    std::string content = name_ + "\n" + head + "\n" + body;
    if (path.starts_with("/status/")) status = path.substr(8, 3);
    if (path == "/flaky" && !was_flaky_.exchange(true)) status = "503";
    if (path == "/chunked") {
      return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n "
             "world\r\n0\r\n\r\n";
    }
    if (path.starts_with("/large/")) content = std::string(std::stoul(path.substr(7)), 'x');
    if (head.starts_with("HEAD ")) content.clear();
    return "HTTP/1.1 " + status +
           " Some Reason\r\ncontent-length: " + std::to_string(content.size()) +
           "\r\nx-origin: " + name_ + "\r\n\r\n" + content;
  }

  void Serve(int fd) {
    std::string input, head, body;
    while (ReadRequest(fd, input, head, body)) {
      ++requests_;
      if (head.find(" /drop ") != std::string::npos) return;
      const std::string answer = Answer(head, body);
      size_t sent = 0;
      while (sent < answer.size()) {
        const ssize_t count = ::send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) return;
        sent += static_cast<size_t>(count);
      }
    }
  }

  const std::string name_;
  uint16_t port_ = 0;
  Fd listener_;
  std::atomic<int> accepted_ = 0;
  std::atomic<int> requests_ = 0;
  std::atomic<bool> was_flaky_ = false;
  std::mutex mutex_;
  std::list<int> open_;
  std::list<std::thread> connections_;
  std::thread thread_;
};

}  // namespace meltemi::proxy::testing
