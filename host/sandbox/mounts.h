// SPDX-License-Identifier: Apache-2.0
// The files a sandbox sees differently from the host: who answers names. Run by the sandbox's first
// process in its own mount namespace.
#pragma once

#include <string>
#include <vector>

#include "lib/base/status.h"

namespace meltemi::host {

// Contents for /etc/resolv.conf of a workload in `ns`: the server's address is of no matter, since
// every query is redirected to the proxy; the search list and ndots are Kubernetes'.
std::string ResolvConf(const std::string& ns, const std::string& domain);
// /etc/hosts: localhost, and the workload's own name at its own address.
std::string Hosts(const std::string& own_name, const std::string& own_ip);

// Binds `resolv_conf` and `hosts` (files) over the system's, and cuts off services that would
// answer names past the proxy (nscd, systemd-resolved). A fresh /proc shows only the sandbox where
// the kernel allows it.
Status SetUpMounts(const std::string& resolv_conf, const std::string& hosts);

}  // namespace meltemi::host
