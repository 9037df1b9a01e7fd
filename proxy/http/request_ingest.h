// SPDX-License-Identifier: Apache-2.0
// What is done to a request before it is routed: host and path made canonical, who the client is,
// which headers of it are believed, request id, client certificate header. Envoy's order and rules.
// Worker-local, pure but for the random id.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/http/message.h"
#include "proxy/http/http_options.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class Random;

struct IngestResult {
  int status = 0;  // not 0: answer with it
  std::string_view details;
  std::string_view body;
  std::string_view location;   // of a redirect
  std::string_view client_ip;  // trusted; "" = the peer
  bool is_internal = false;
  bool is_trace_forced = false;
  bool is_protocol_error = false;
};

IngestResult Ingest(const HttpOptions& options, const DownstreamFacts& downstream, Random& random,
                    http::RequestHead& head);

// Envoy's form of a UUID version 4, whose nibble at index 14 says how the request is traced: 4 =
// not.
std::string_view NewRequestId(Random& random, Arena& arena);

}  // namespace meltemi::proxy
