// SPDX-License-Identifier: Apache-2.0
// The bytes of a TLS ClientHello (RFC 8446 §4.1.2, §5.1), made of its parts; for tests and benches.
#pragma once

#include <string>
#include <vector>

namespace meltemi::proxy::testing {

inline std::string Number(size_t value, int width) {
  std::string bytes;
  for (int i = width - 1; i >= 0; --i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}
inline std::string Vector(const std::string& body, int width) {
  return Number(body.size(), width) + body;
}
inline std::string Extension(int type, const std::string& body) {
  return Number(type, 2) + Vector(body, 2);
}
inline std::string ServerName(const std::string& name) {
  return Extension(0, Vector(Number(0, 1) + Vector(name, 2), 2));
}
inline std::string Alpn(const std::vector<std::string>& protocols) {
  std::string list;
  for (const auto& protocol : protocols) list += Vector(protocol, 1);
  return Extension(16, Vector(list, 2));
}
inline std::string Message(const std::string& extensions) {
  const std::string body = Number(0x0303, 2) + std::string(32, 'r') + Vector("", 1) +
                           Vector(Number(0x1301, 2), 2) + Vector(std::string(1, '\0'), 1) +
                           Vector(extensions, 2);
  return Number(1, 1) + Vector(body, 3);
}
inline std::string Record(const std::string& fragment) {
  return "\x16\x03\x01" + Vector(fragment, 2);
}

}  // namespace meltemi::proxy::testing
