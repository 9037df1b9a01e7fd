// SPDX-License-Identifier: Apache-2.0
// DNS of a workload: the name table as it comes over xDS, and the host's resolvers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/address.h"
#include "proxy/dns/name_table.h"

namespace meltemi::proxy {

// A serialized istio.networking.nds.v1.NameTable, for a workload in `ns`.
StatusOr<std::shared_ptr<const dns::NameTable>> ReadNameTable(std::string_view serialized,
                                                              const std::string& ns,
                                                              const std::string& domain);

// "nameserver" lines of a resolv.conf; at most `kResolversMax`, as the C library takes.
inline constexpr size_t kResolversMax = 3;
std::vector<net::Address> ReadResolvers(std::string_view resolv_conf);

}  // namespace meltemi::proxy
