// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/gateway_sockets.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>

namespace meltemi::proxy {
namespace {

constexpr uint32_t kLoopback = 0x7f000001;
constexpr size_t kAddressesMax = 64;  // sockets per port

class GatewaySockets final : public SocketSource {
 public:
  explicit GatewaySockets(net::Address own) : own_(own) {}

  std::vector<net::Address> Addresses(const ListenRequest& request) override {
    const bool is_any = request.address.family() == AF_INET && request.address.is_any();
    // Port zero is a port of the kernel's choice: there is only one of it.
    if (!is_any || request.address.port() == 0) return {request.address};
    std::vector<net::Address> addresses = MachineAddresses();
    if (std::find(addresses.begin(), addresses.end(), own_.WithPort(0)) == addresses.end())
      addresses.push_back(own_);
    for (net::Address& address : addresses) address = address.WithPort(request.address.port());
    return addresses;
  }
  StatusOr<std::vector<ListeningSocket>> Listen(const ListenRequest& request,
                                                const net::Address& address,
                                                size_t workers) override {
    return host_->Listen(request, address, workers);
  }
  std::unique_ptr<ConnectSockets> NewConnectSockets(runtime::Loop& loop) override {
    return host_->NewConnectSockets(loop);
  }

 private:
  const net::Address own_;
  const std::unique_ptr<SocketSource> host_ = NewHostSockets();
};

}  // namespace

std::vector<net::Address> MachineAddresses() {
  std::vector<net::Address> addresses{net::Address::Ipv4(kLoopback, 0)};
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* at = list; at != nullptr && addresses.size() < kAddressesMax;
       at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    if ((at->ifa_flags & IFF_UP) == 0 || (at->ifa_flags & IFF_LOOPBACK) != 0) continue;
    addresses.push_back(net::Address::FromSockaddr(at->ifa_addr, sizeof(sockaddr_in)).WithPort(0));
  }
  ::freeifaddrs(list);
  return addresses;
}

std::unique_ptr<SocketSource> NewGatewaySockets(net::Address own) {
  return std::make_unique<GatewaySockets>(own);
}

}  // namespace meltemi::proxy
