// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/message.h"

#include <arpa/inet.h>

#include <algorithm>

#include "lib/base/big_endian.h"

namespace meltemi::proxy::dns {
namespace {

// Bits of the header's second word, RFC 1035 section 4.1.1.
constexpr uint16_t kResponse = 0x8000;
constexpr uint16_t kOpcodeMask = 0x7800;
constexpr uint16_t kAuthoritative = 0x0400;
constexpr uint16_t kTruncated = 0x0200;
constexpr uint16_t kRecursionDesired = 0x0100;
constexpr uint16_t kRecursionAvailable = 0x0080;
constexpr uint16_t kClassInternet = 1;
constexpr uint16_t kTypeOpt = 41;
constexpr size_t kLabelBytesMax = 63;
// A pointer to offset 12, where the question's name stands.
constexpr uint16_t kPointerToQuestion = 0xc00c;

char Lower(uint8_t byte) {
  return static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

// Reads an uncompressed name at `at`; the offset behind it, 0 = malformed. Dots inside labels are
// refused: such a name would look like another.
size_t ReadName(std::span<const uint8_t> packet, size_t at, std::string* name) {
  while (at < packet.size()) {
    const size_t length = packet[at++];
    if (length == 0) return at;
    if (length > kLabelBytesMax || length > packet.size() - at) return 0;
    if (name->size() + length + 2 > kNameBytesMax) return 0;
    if (!name->empty()) name->push_back('.');
    for (const uint8_t byte : packet.subspan(at, length)) {
      if (byte == '.' || byte == 0) return 0;
      name->push_back(Lower(byte));
    }
    at += length;
  }
  return 0;
}

// The payload size of an OPT record that is the first additional record (RFC 6891 section 6.1.2),
// as all resolvers send it.
size_t EdnsBytes(std::span<const uint8_t> packet, size_t at) {
  const bool has_records = Read16(packet, 6) != 0 || Read16(packet, 8) != 0;
  if (has_records || Read16(packet, 10) == 0 || packet.size() < at + 11) return kUdpBytesDefault;
  if (packet[at] != 0 || Read16(packet, at + 1) != kTypeOpt) return kUdpBytesDefault;
  return std::clamp<size_t>(Read16(packet, at + 3), kUdpBytesDefault, kUdpBytesMax);
}

void Append16(std::vector<uint8_t>* out, uint16_t value) {
  out->push_back(static_cast<uint8_t>(value >> 8));
  out->push_back(static_cast<uint8_t>(value));
}

void AppendRecord(std::vector<uint8_t>* out, const Question& question, const Ip& ip,
                  uint32_t ttl_s) {
  Append16(out, kPointerToQuestion);
  Append16(out, question.type);
  Append16(out, kClassInternet);
  Append16(out, static_cast<uint16_t>(ttl_s >> 16));
  Append16(out, static_cast<uint16_t>(ttl_s));
  Append16(out, ip.size);
  out->insert(out->end(), ip.bytes.begin(), ip.bytes.begin() + ip.size);
}

bool HasType(const Ip& ip, uint16_t type) {
  return (type == static_cast<uint16_t>(Type::kA) && ip.size == 4) ||
         (type == static_cast<uint16_t>(Type::kAaaa) && ip.size == 16);
}

}  // namespace

std::optional<Ip> Ip::Parse(const std::string& text) {
  Ip ip;
  if (::inet_pton(AF_INET, text.c_str(), ip.bytes.data()) == 1) {
    ip.size = 4;
  } else if (::inet_pton(AF_INET6, text.c_str(), ip.bytes.data()) == 1) {
    ip.size = 16;
  } else {
    return std::nullopt;
  }
  return ip;
}

uint16_t Read16(std::span<const uint8_t> packet, size_t at) {
  return ReadUint16(&packet[at]);
}

void Write16(std::span<uint8_t> packet, size_t at, uint16_t value) {
  WriteUint16(&packet[at], value);
}

Parsed ParseQuery(std::span<const uint8_t> packet) {
  Parsed parsed;
  if (packet.size() < kHeaderBytes) return parsed;
  const uint16_t flags = Read16(packet, 2);
  if ((flags & kResponse) != 0) return parsed;  // answering answers makes loops
  Question& question = parsed.question;
  question.id = Read16(packet, 0);
  question.wants_recursion = (flags & kRecursionDesired) != 0;
  parsed.code = Code::kFormatError;
  if ((flags & kOpcodeMask) != 0) {
    parsed.code = Code::kNotImplemented;
    return parsed;
  }
  if (Read16(packet, 4) != 1) return parsed;
  const size_t end = ReadName(packet, kHeaderBytes, &question.name);
  if (end == 0 || packet.size() - end < 4) {
    question.name.clear();
    return parsed;
  }
  question.type = Read16(packet, end);
  question.klass = Read16(packet, end + 2);
  question.question_end = end + 4;
  question.udp_bytes = EdnsBytes(packet, question.question_end);
  parsed.code = Code::kNoError;
  return parsed;
}

std::vector<uint8_t> Answer(std::span<const uint8_t> packet, const Question& question, Code code,
                            std::span<const Ip> ips, uint32_t ttl_s, size_t bytes_max) {
  std::vector<uint8_t> out(kHeaderBytes);
  const bool has_question = question.question_end != 0;
  if (has_question)
    out.insert(out.end(), packet.begin() + kHeaderBytes,
               packet.begin() + static_cast<std::ptrdiff_t>(question.question_end));
  uint16_t flags = kResponse | kAuthoritative | kRecursionAvailable | static_cast<uint16_t>(code);
  if (question.wants_recursion) flags |= kRecursionDesired;
  uint16_t count = 0;
  for (const Ip& ip : ips) {
    if (!HasType(ip, question.type)) continue;
    if (out.size() + 12 + ip.size > bytes_max) {
      flags |= kTruncated;
      break;
    }
    AppendRecord(&out, question, ip, ttl_s);
    ++count;
  }
  Write16(out, 0, question.id);
  Write16(out, 2, flags);
  Write16(out, 4, has_question ? 1 : 0);
  Write16(out, 6, count);
  return out;
}

bool IsAnswerTo(std::span<const uint8_t> answer, uint16_t id, const Question& question) {
  if (answer.size() < kHeaderBytes || Read16(answer, 0) != id) return false;
  if ((Read16(answer, 2) & kResponse) == 0 || Read16(answer, 4) != 1) return false;
  std::string name;
  const size_t end = ReadName(answer, kHeaderBytes, &name);
  return end != 0 && answer.size() - end >= 4 && name == question.name &&
         Read16(answer, end) == question.type && Read16(answer, end + 2) == question.klass;
}

}  // namespace meltemi::proxy::dns
