// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/mounts.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace meltemi::host {
namespace {

Status Cover(const std::string& file, const char* target) {
  if (::mount(file.c_str(), target, nullptr, MS_BIND, nullptr) == 0) return absl::OkStatus();
  if (errno == ENOENT)
    return absl::FailedPreconditionError(
        fmt::format("this machine has no {} to cover\ncreate an empty one", target));
  return absl::InternalError(fmt::format("covering {}: {}", target, std::strerror(errno)));
}

}  // namespace

std::string ResolvConf(const std::string& ns, const std::string& domain) {
  return fmt::format(
      "nameserver 127.0.0.1\nsearch {0}.svc.{1} svc.{1} {1}\noptions ndots:5 timeout:5\n", ns,
      domain);
}

std::string Hosts(const std::string& own_name, const std::string& own_ip) {
  return fmt::format("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{} {}\n",
                     own_ip, own_name);
}

Status SetUpMounts(const std::string& resolv_conf, const std::string& hosts) {
  // Nothing that is mounted here shows outside, or the other way round.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return absl::InternalError(fmt::format("making mounts private: {}", std::strerror(errno)));
  MELTEMI_RETURN_IF_ERROR(Cover(resolv_conf, "/etc/resolv.conf"));
  MELTEMI_RETURN_IF_ERROR(Cover(hosts, "/etc/hosts"));
  for (const char* socket :
       {"/run/nscd/socket", "/var/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"})
    if (::access(socket, F_OK) == 0) MELTEMI_RETURN_IF_ERROR(Cover("/dev/null", socket));
  // Refused where /proc is partly masked, as in some containers; the app then sees the host's
  // processes but cannot reach them.
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) errno = 0;
  return absl::OkStatus();
}

}  // namespace meltemi::host
