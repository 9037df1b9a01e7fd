// SPDX-License-Identifier: Apache-2.0
// What makes a list of fields a well-formed request, response or trailer (RFC 9113 §8.2, §8.3,
// §8.5, RFC 8441). Worker-local; one at work per connection, since header blocks do not interleave.
#pragma once

#include <cstdint>

#include "lib/http/h2/hpack_table.h"

namespace meltemi::http::h2 {

enum class BlockKind : uint8_t { kIgnored, kRequest, kResponse, kTrailers };

class MessageRules final {
 public:
  void Begin(BlockKind kind, bool allows_connect);
  // Fields in order; false = malformed.
  bool Take(const Field& field);
  // All were taken; false = something is missing or does not fit together.
  bool Complete() const;

  // -1: none was declared.
  int64_t content_length() const { return content_length_; }
  int status() const { return status_; }
  bool is_head() const { return is_head_; }
  bool is_connect() const { return is_connect_; }

 private:
  bool TakePseudo(const Field& field);
  bool TakeMethod(std::string_view value);
  bool TakeOrdinary(const Field& field);
  bool TakeContentLength(std::string_view value);
  bool IsRequestComplete() const;
  bool has(Pseudo pseudo) const { return (seen_ & 1u << static_cast<int>(pseudo)) != 0; }

  BlockKind kind_ = BlockKind::kIgnored;
  uint32_t seen_ = 0;  // bits by Pseudo
  int64_t content_length_ = -1;
  int status_ = 0;
  bool allows_connect_ = false;
  bool has_ordinary_ = false;
  bool has_host_ = false;
  bool is_head_ = false;
  bool is_connect_ = false;
  bool is_options_ = false;
  bool is_http_ = false;
  bool is_rooted_ = false;    // the path starts with a slash
  bool is_asterisk_ = false;  // the path is "*"
};

}  // namespace meltemi::http::h2
