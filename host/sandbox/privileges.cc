// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/privileges.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "lib/base/fd.h"

namespace meltemi::host {
namespace {

Status WriteFile(const char* path, const std::string& text) {
  Fd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (file.valid() && ::write(file.get(), text.data(), text.size()) >= 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      fmt::format("writing {}: {}\nallow unprivileged user namespaces on this machine", path,
                  std::strerror(errno)));
}

Status Failed(const char* what) {
  return absl::InternalError(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace

Status MapOwnIds(unsigned uid, unsigned gid) {
  // user_namespaces(7): a process without privilege outside may map its own gid only once setgroups
  // is denied.
  MELTEMI_RETURN_IF_ERROR(WriteFile("/proc/self/setgroups", "deny"));
  MELTEMI_RETURN_IF_ERROR(WriteFile("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)));
  return WriteFile("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
}

Status DropPrivileges() {
  constexpr unsigned long kNoRoot = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                    SECBIT_NO_CAP_AMBIENT_RAISE |
                                    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (::prctl(PR_SET_SECUREBITS, kNoRoot, 0, 0, 0) != 0) return Failed("setting secure bits");
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
      return Failed("dropping the bounding set");
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("setting no_new_privs");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capset, &header, none) != 0) return Failed("dropping capabilities");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Failed("closing to tracing");
  return absl::OkStatus();
}

}  // namespace meltemi::host
