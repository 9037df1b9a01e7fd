// SPDX-License-Identifier: Apache-2.0
#include "lib/http/connection.h"

#include <algorithm>

#include "lib/http/h1/client_connection.h"
#include "lib/http/h1/server_connection.h"
#include "lib/http/h2/client_connection.h"
#include "lib/http/h2/server_connection.h"

namespace meltemi::http {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// A method longer than this is no reason to go on waiting for the version.
constexpr size_t kRequestLineBytesMax = 16 * 1024;

}  // namespace

Detected DetectProtocol(std::string_view first_bytes) {
  const size_t common = std::min(first_bytes.size(), kPreface.size());
  if (first_bytes.substr(0, common) == kPreface.substr(0, common)) {
    return common == kPreface.size() ? Detected::kHttp2 : Detected::kNeedMore;
  }
  const size_t end = first_bytes.find('\n');
  const std::string_view line = first_bytes.substr(0, end);
  for (const char c : line.substr(0, line.find(' '))) {
    const bool is_method =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '\r';
    if (!is_method) return Detected::kNotHttp;
  }
  if (end == std::string_view::npos) {
    return first_bytes.size() < kRequestLineBytesMax ? Detected::kNeedMore : Detected::kNotHttp;
  }
  if (line.empty() || line == "\r") return Detected::kHttp11;  // tolerated before a request
  if (line.ends_with(" HTTP/1.1\r")) return Detected::kHttp11;
  return line.ends_with(" HTTP/1.0\r") ? Detected::kHttp10 : Detected::kNotHttp;
}

std::unique_ptr<ServerConnection> NewServerConnection(Protocol protocol,
                                                      std::unique_ptr<net::Connection> connection,
                                                      ServerConnectionCallbacks& callbacks,
                                                      const Limits& limits) {
  if (protocol == Protocol::kHttp2) {
    return h2::NewServerConnection(std::move(connection), callbacks, limits);
  }
  return std::make_unique<h1::ServerConnection>(std::move(connection), callbacks, limits);
}

std::unique_ptr<ClientConnection> NewClientConnection(Protocol protocol,
                                                      std::unique_ptr<net::Connection> connection,
                                                      ClientConnectionCallbacks& callbacks,
                                                      const Limits& limits) {
  if (protocol == Protocol::kHttp2) {
    return h2::NewClientConnection(std::move(connection), callbacks, limits);
  }
  return std::make_unique<h1::ClientConnection>(std::move(connection), callbacks, limits);
}

}  // namespace meltemi::http
