// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "proxy/listener/client_hello.h"

// A prefix of a connection never turns from a verdict back to "need more".
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using State = meltemi::proxy::ClientHello::State;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = meltemi::proxy::ParseClientHello(bytes);
  const auto half = meltemi::proxy::ParseClientHello(bytes.substr(0, size / 2));
  if (half.state != State::kNeedMore && half.state != whole.state) std::abort();
  return 0;
}
