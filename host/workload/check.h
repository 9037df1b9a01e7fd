// SPDX-License-Identifier: Apache-2.0
// One health check over the network: connect, and for HTTP ask and read the status line. Loop
// thread only; destroying it cancels.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/fd.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::host {

class Check final : private runtime::FdHandler {
 public:
  using Done = std::function<void(bool is_healthy, const std::string& why)>;

  // `socket` is unconnected and non-blocking: whose network it was made in decides who is asked. An
  // empty `request` is a TCP check. Passes on a status of 200 to 399, as the kubelet does. `done`
  // is called once, from the loop, and may destroy the check.
  static std::unique_ptr<Check> Start(runtime::Loop& loop, Fd socket, const net::Address& to,
                                      std::string request, Duration wait_max, Done done);
  ~Check();
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

 private:
  Check(runtime::Loop& loop, Fd socket, std::string request, Done done);
  void OnReady(runtime::Ready ready) override;
  void ReadStatus();
  void End(bool is_healthy, const std::string& why);

  runtime::Loop& loop_;
  Fd socket_;
  std::string request_;
  std::string answer_;
  Done done_;
  runtime::Timer timer_;
  bool is_connected_ = false;
  std::string early_failure_;
};

// "GET path HTTP/1.1 …" that asks for the connection to be closed; `headers` are whole lines with
// CRLF.
std::string GetRequest(const std::string& host, const std::string& path,
                       const std::string& headers = "");

}  // namespace meltemi::host
