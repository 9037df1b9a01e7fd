// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "lib/base/check.h"
#include "proxy/dns/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::proxy::dns;
  const std::span<const uint8_t> packet(data, size);
  const Parsed parsed = ParseQuery(packet);
  if (!parsed.code) return 0;
  const Ip ips[] = {*Ip::Parse("240.240.0.1"), *Ip::Parse("::1")};
  const auto answer =
      Answer(packet, parsed.question, *parsed.code, ips, 30, parsed.question.udp_bytes);
  MELTEMI_CHECK(answer.size() <= parsed.question.udp_bytes);
  if (*parsed.code == Code::kNoError)
    MELTEMI_CHECK(IsAnswerTo(answer, parsed.question.id, parsed.question));
  return 0;
}
