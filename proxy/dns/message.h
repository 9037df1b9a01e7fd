// SPDX-License-Identifier: Apache-2.0
// DNS messages as far as a forwarding server needs them (RFC 1035, RFC 6891): read one question,
// write answers. Pure functions over bytes; every length of a peer is checked against what is
// there.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace meltemi::proxy::dns {

inline constexpr size_t kHeaderBytes = 12;
inline constexpr size_t kNameBytesMax = 255;  // RFC 1035 section 2.3.4
inline constexpr size_t kUdpBytesDefault = 512;
// What we take and give over UDP at most; DNS flag day 2020 recommends less, but this never leaves
// a machine.
inline constexpr size_t kUdpBytesMax = 4096;

enum class Type : uint16_t { kA = 1, kAaaa = 28 };
enum class Code : uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNoSuchName = 3,
  kNotImplemented = 4,
};

// An IP address as DNS carries it: 4 or 16 bytes.
struct Ip {
  std::array<uint8_t, 16> bytes{};
  uint8_t size = 0;
  static std::optional<Ip> Parse(const std::string& text);
  bool operator==(const Ip&) const = default;
};

struct Question {
  uint16_t id = 0;
  uint16_t type = 0;
  uint16_t klass = 0;
  bool wants_recursion = false;
  std::string name;                     // lower case, dots, no trailing dot; "" = the root
  size_t question_end = 0;              // offset behind the question section
  size_t udp_bytes = kUdpBytesDefault;  // what the asker takes (EDNS)
};

struct Parsed {
  // kNoError: `question` is complete. Any other code: answer with it. No value: not worth an
  // answer.
  std::optional<Code> code;
  Question question;
};
Parsed ParseQuery(std::span<const uint8_t> packet);

// An answer with the question repeated and `ips` (of the asked type only) as records, cut to
// `bytes_max` with the TC bit set. Requires: `packet` was parsed into `question`.
std::vector<uint8_t> Answer(std::span<const uint8_t> packet, const Question& question, Code code,
                            std::span<const Ip> ips, uint32_t ttl_s, size_t bytes_max);

// True when `answer` answers the query we forwarded with `id`: same id, same question, a response.
bool IsAnswerTo(std::span<const uint8_t> answer, uint16_t id, const Question& question);

uint16_t Read16(std::span<const uint8_t> packet, size_t at);
void Write16(std::span<uint8_t> packet, size_t at, uint16_t value);

}  // namespace meltemi::proxy::dns
