// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lib/net/proxy_header.h"

// A prefix of a connection never turns from a verdict back to "need more", a header lies within
// what was given, and one that is whole survives being told on.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::net;
  using State = ParsedProxyHeader::State;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ParsedProxyHeader whole = ParseProxyHeader(bytes);
  const ParsedProxyHeader half = ParseProxyHeader(bytes.substr(0, size / 2));
  if (half.state != State::kNeedMore && half.state != whole.state) std::abort();
  if (whole.state != State::kWhole) return 0;
  if (whole.bytes > size) std::abort();
  const ProxyHeader& header = whole.header;
  if (!header.source.is_ip()) return 0;
  const auto binary = EncodeProxyBinary(header.source, header.destination, header.tlvs);
  if (!binary) std::abort();
  const ParsedProxyHeader again = ParseProxyHeader(*binary);
  const bool is_same = again.state == State::kWhole && again.header.source == header.source &&
                       again.header.destination == header.destination &&
                       again.header.tlvs == header.tlvs && again.bytes == binary->size();
  if (!is_same) std::abort();
  const std::string text = EncodeProxyText(header.source, header.destination);
  if (ParseProxyHeader(text).state != State::kWhole) std::abort();
  return 0;
}
