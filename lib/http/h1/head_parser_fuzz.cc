// SPDX-License-Identifier: Apache-2.0
// Heads of any bytes: nothing outside the copy is touched, and what is accepted has no byte that
// could break a line when it is written again.
#include <cstdint>
#include <cstring>
#include <memory>

#include "lib/base/check.h"
#include "lib/http/h1/head_parser.h"

namespace {

using namespace meltemi;
using namespace meltemi::http;

void CheckText(std::string_view text) {
  for (const char c : text) MELTEMI_CHECK(c != '\r' && c != '\n' && c != '\0');
}

void CheckFields(const HeaderMap& map) {
  for (const HeaderField& field : map.fields()) {
    MELTEMI_CHECK(!field.name.empty());
    CheckText(field.name);
    CheckText(field.value);
    MELTEMI_CHECK(field.id == LookUpHeader(field.name));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = h1::FindHeadEnd(text, 0);
  h1::HasBareLineFeed(text, 0);
  if (end == std::string_view::npos) return 0;
  const auto copy = std::make_unique<char[]>(end + h1::kHeadPadding);
  std::memcpy(copy.get(), text.data(), end);
  Arena arena;
  h1::Framing framing;
  if (data[0] % 3 == 0) {
    RequestHead head(arena);
    if (h1::ParseRequestHead(copy.get(), end, 100, "http", head, framing) != h1::HeadError::kNone) {
      return 0;
    }
    CheckText(head.method);
    CheckText(head.path);
    CheckText(head.authority);
    CheckText(head.upgrade);
    MELTEMI_CHECK(!framing.is_chunked || head.content_length == kLengthUnknown);
    CheckFields(head.headers);
  } else if (data[0] % 3 == 1) {
    ResponseHead head(arena);
    if (h1::ParseResponseHead(copy.get(), end, 100, head, framing) != h1::HeadError::kNone)
      return 0;
    MELTEMI_CHECK(head.status >= 100 && head.status <= 599);
    CheckFields(head.headers);
  } else {
    HeaderMap map(arena);
    if (h1::ParseTrailers(copy.get(), end, 100, map) == h1::HeadError::kNone) CheckFields(map);
  }
  return 0;
}
