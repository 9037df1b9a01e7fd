// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/captured_sockets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/log.h"
#include "lib/capture/client.h"
#include "lib/capture/stock.h"

namespace meltemi::proxy {
namespace {

class CapturedConnectSockets final : public ConnectSockets {
 public:
  CapturedConnectSockets(std::unique_ptr<capture::SocketStock> stock,
                         std::unique_ptr<ConnectSockets> outside)
      : stock_(std::move(stock)), outside_(std::move(outside)) {}

  Fd Take(const ConnectRequest& request) override {
    // Only inbound clusters bind a source address (127.0.0.6): they lead to the app.
    const bool leads_inside = request.is_original_destination && request.bind != nullptr;
    if (!leads_inside) return outside_->Take(request);
    Fd socket = stock_ ? stock_->Take() : Fd();
    if (!socket.valid()) return socket;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const net::Address& from = *request.bind;
    if (::bind(socket.get(), from.data(), from.length()) != 0) return Fd();
    return socket;
  }

 private:
  const std::unique_ptr<capture::SocketStock> stock_;
  const std::unique_ptr<ConnectSockets> outside_;
};

// Ports below 1024 are closed to an ordinary user: one such port must not cost the workload all
// the others.
bool IsPermitted(const net::Address& address) {
  const Fd probe(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return true;
  const int on = 1;
  ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return ::bind(probe.get(), address.data(), address.length()) == 0 || errno != EACCES;
}

class CapturedSockets final : public SocketSource {
 public:
  CapturedSockets(std::string path, net::Address workload)
      : path_(std::move(path)), workload_(workload), outside_(NewHostSockets()) {}

  std::vector<net::Address> Addresses(const ListenRequest& request) override {
    if (request.direction != Direction::kInbound || !request.address.is_any())
      return {request.address};
    // No redirect leads to the inbound port outside a namespace: each served port is bound instead.
    // A chain for the listener's own port only guards against loops.
    std::vector<net::Address> addresses;
    for (uint16_t port : request.destination_ports) {
      if (port == request.address.port()) continue;
      const net::Address own = workload_.WithPort(port);
      if (IsPermitted(own)) {
        addresses.push_back(own);
      } else {
        MELTEMI_LOG(warn, "port {} takes privileges: nobody reaches the workload on {}", port,
                    own.text());
      }
    }
    return addresses;
  }

  StatusOr<std::vector<ListeningSocket>> Listen(const ListenRequest& request,
                                                const net::Address& address,
                                                size_t workers) override {
    if (request.is_original_destination) return ListenInside(address, workers);
    // What a stock proxy binds on every address is, on a shared host, the workload's alone.
    const net::Address own = address.is_any() ? workload_.WithPort(address.port()) : address;
    return outside_->Listen(request, own, workers);
  }

  std::unique_ptr<ConnectSockets> NewConnectSockets(runtime::Loop& loop) override {
    auto stock = capture::SocketStock::Open(loop, path_);
    if (!stock.ok()) MELTEMI_LOG(error, "no way into the sandbox: {}", Message(stock.status()));
    return std::make_unique<CapturedConnectSockets>(stock.ok() ? *std::move(stock) : nullptr,
                                                    outside_->NewConnectSockets(loop));
  }

 private:
  // The sandbox has one listening socket per port: workers accept from it side by side.
  StatusOr<std::vector<ListeningSocket>> ListenInside(const net::Address& address, size_t workers) {
    MELTEMI_ASSIGN_OR_RETURN(capture::Client client, capture::Client::Connect(path_));
    MELTEMI_ASSIGN_OR_RETURN(Fd first, client.TcpListener(address.port()));
    std::vector<ListeningSocket> sockets;
    for (size_t i = 1; i < workers; ++i) {
      Fd copy(::fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
      if (!copy.valid()) {
        return absl::UnavailableError(
            fmt::format("cannot duplicate the captured listener: {}", std::strerror(errno)));
      }
      sockets.push_back({std::move(copy), address});
    }
    sockets.push_back({std::move(first), address});
    return sockets;
  }

  const std::string path_;
  const net::Address workload_;
  const std::unique_ptr<SocketSource> outside_;
};

}  // namespace

std::unique_ptr<SocketSource> NewCapturedSockets(std::string capture_path, net::Address workload) {
  return std::make_unique<CapturedSockets>(std::move(capture_path), workload);
}

}  // namespace meltemi::proxy
