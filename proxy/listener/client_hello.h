// SPDX-License-Identifier: Apache-2.0
// Reads SNI and ALPN out of a TLS ClientHello without consuming it (tls_inspector). Pure; input is
// hostile.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace meltemi::proxy {

// Envoy's cap; a longer ClientHello closes the connection.
inline constexpr size_t kClientHelloBytesMax = 64 * 1024;

struct ClientHello {
  enum class State : uint8_t {
    kNeedMore,
    kTls,      // whole ClientHello seen
    kNotTls,   // the first bytes are something else
    kInvalid,  // TLS, but broken or too long
  };
  State state = State::kNeedMore;
  std::string server_name;  // lower case
  std::vector<std::string> alpn;
};

// `first_bytes` = all bytes of the connection so far.
ClientHello ParseClientHello(std::string_view first_bytes);

}  // namespace meltemi::proxy
