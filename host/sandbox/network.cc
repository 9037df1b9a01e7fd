// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "lib/base/fd.h"
#include "lib/capture/protocol.h"

namespace meltemi::host {
namespace {

// Without capabilities in the new user namespace the kernel took the clone but not its meaning:
// Ubuntu's AppArmor restriction does that.
constexpr const char* kAllowNamespaces =
    "allow unprivileged user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, "
    "kernel.unprivileged_userns_clone=1, user.max_user_namespaces=10000";

Status Failed(const char* what, int error) {
  const std::string text = fmt::format("{}: {}", what, std::strerror(error));
  if (error == EPERM || error == EACCES)
    return absl::PermissionDeniedError(fmt::format("{}\n{}", text, kAllowNamespaces));
  return absl::InternalError(text);
}

Status BringLoopbackUp() {
  Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof(request.ifr_name) - 1);
  if (!socket.valid() || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0)
    return Failed("reading the loopback interface", errno);
  request.ifr_flags |= IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return Failed("bringing the loopback interface up", errno);
  return absl::OkStatus();
}

struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  rtattr destination_header;
  uint32_t destination;
  rtattr out_header;
  uint32_t out_interface;
  rtattr source_header;
  uint32_t source;
};

// What `ip route add local DESTINATION/BITS dev lo src OWN` does: such destinations are delivered
// here.
Status AddLocalRoute(const char* destination, uint8_t bits, uint32_t source) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket.valid()) return Failed("opening rtnetlink", errno);
  RouteRequest request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = bits;
  request.route.rtm_table = RT_TABLE_LOCAL;
  request.route.rtm_protocol = RTPROT_BOOT;
  request.route.rtm_scope = RT_SCOPE_HOST;
  request.route.rtm_type = RTN_LOCAL;
  request.destination_header = {RTA_LENGTH(sizeof(uint32_t)), RTA_DST};
  ::inet_pton(AF_INET, destination, &request.destination);
  request.out_header = {RTA_LENGTH(sizeof(uint32_t)), RTA_OIF};
  request.out_interface = ::if_nametoindex("lo");
  request.source_header = {RTA_LENGTH(sizeof(uint32_t)), RTA_PREFSRC};
  request.source = source;
  if (::send(socket.get(), &request, sizeof(request), 0) != sizeof(request))
    return Failed("asking for the local route", errno);
  alignas(nlmsghdr) char answer[512];
  const ssize_t size = ::recv(socket.get(), answer, sizeof(answer), 0);
  if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr))))
    return Failed("waiting for rtnetlink", size < 0 ? errno : EPROTO);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
  if (header->nlmsg_type != NLMSG_ERROR || error->error != 0)
    return Failed("adding the local route",
                  header->nlmsg_type == NLMSG_ERROR ? -error->error : EPROTO);
  return absl::OkStatus();
}

Status LoadRules(const std::string& rules) {
  const std::unique_ptr<nft_ctx, void (*)(nft_ctx*)> context(nft_ctx_new(NFT_CTX_DEFAULT),
                                                             nft_ctx_free);
  if (context == nullptr) return absl::InternalError("libnftables gave no context");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), rules.c_str()) == 0) return absl::OkStatus();
  std::string why = nft_ctx_get_error_buffer(context.get());
  why = why.substr(0, why.find('\n'));
  return absl::FailedPreconditionError(fmt::format(
      "this kernel does not take the nftables rules of capture ({})\n"
      "load the modules nf_tables, nft_chain_nat and nft_redir, or use a kernel that has them",
      why));
}

// Settings of this namespace only. Some systems mount /proc/sys read-only; the mesh works without
// them.
void Prefer(const char* setting, const char* value) {
  Fd file(::open(setting, O_WRONLY | O_CLOEXEC));
  if (file.valid() && ::write(file.get(), value, std::strlen(value)) < 0) return;
}

}  // namespace

std::string CaptureRules(const std::string& own_ip) {
  // In order: names first, whatever server they are asked of; then what is local to the app, which
  // is where the proxy delivers inbound connections too; then everything else, other workloads
  // included. Of Istio's rules this is the part that has a meaning where the proxy is outside:
  // there is no proxy user to exempt.
  return fmt::format(R"(table ip meltemi {{
  chain output {{
    type nat hook output priority -100; policy accept;
    udp dport 53 redirect to :{dns}
    tcp dport 53 redirect to :{dns}
    ip daddr {own} return
    ip daddr {network} ip protocol tcp redirect to :{outbound}
    ip daddr 127.0.0.0/8 return
    ip protocol tcp redirect to :{outbound}
  }}
}}
)",
                     fmt::arg("dns", capture::kDnsPort), fmt::arg("own", own_ip),
                     fmt::arg("network", kWorkloadNetwork),
                     fmt::arg("outbound", capture::kOutboundPort));
}

Status SetUpNetwork(const std::string& own_ip) {
  in_addr source{};
  if (::inet_pton(AF_INET, own_ip.c_str(), &source) != 1)
    return absl::InvalidArgumentError(fmt::format("{} is no IPv4 address", own_ip));
  MELTEMI_RETURN_IF_ERROR(BringLoopbackUp());
  MELTEMI_RETURN_IF_ERROR(AddLocalRoute("0.0.0.0", 0, source.s_addr));
  // The system's own route for 127.0.0.0/8 would give connections to other workloads the source
  // 127.0.0.1.
  MELTEMI_RETURN_IF_ERROR(AddLocalRoute("127.77.0.0", 16, source.s_addr));
  MELTEMI_RETURN_IF_ERROR(LoadRules(CaptureRules(own_ip)));
  // An app may listen on 80 as in a container; ping of itself works; ended connections leave
  // tracking soon.
  Prefer("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  Prefer("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  Prefer("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", "10");
  return absl::OkStatus();
}

}  // namespace meltemi::host
