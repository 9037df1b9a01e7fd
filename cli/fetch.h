// SPDX-License-Identifier: Apache-2.0
// Blocking HTTP for commands: one request on a loop of its own.
#pragma once

#include <string>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/http/service.h"
#include "lib/net/address.h"

namespace meltemi::cli {

StatusOr<http::ClientResponse> FetchBlocking(const net::Address& to, http::ClientRequest request,
                                             Duration timeout = std::chrono::seconds(30));

// GET that must answer 200; otherwise the status says what came instead.
StatusOr<std::string> Get(const net::Address& to, const std::string& path,
                          Duration timeout = std::chrono::seconds(30));

}  // namespace meltemi::cli
