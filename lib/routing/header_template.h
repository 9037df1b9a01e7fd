// SPDX-License-Identifier: Apache-2.0
// Header values with command operators ("%REQ(X-ID?:PATH)%-%PROTOCOL%") and the mutations that use
// them. Compiled at load, immutable, thread-safe. A value without commands costs nothing to render.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/arena.h"
#include "lib/base/status.h"
#include "lib/routing/predicates.h"

namespace meltemi::routing {

enum class ValueCommand : uint8_t {
  kRequestHeader,
  kResponseHeader,
#define MELTEMI_COMMAND(id, name) id,
#include "lib/routing/value_commands.def"
#undef MELTEMI_COMMAND
};

// Facts about a stream that its heads do not tell. Returned views live as long as the stream, or in
// `arena`; empty = unknown.
class ValueSource {
 public:
  virtual std::string_view Value(ValueCommand command, std::string_view argument,
                                 Arena& arena) const = 0;

 protected:
  ~ValueSource() = default;
};

struct MessageView {
  const http::RequestHead* request = nullptr;
  const http::ResponseHead* response = nullptr;
  const ValueSource* source = nullptr;
};

class HeaderTemplate final {
 public:
  // Fails on an unknown command or an unbalanced "%". "%%" is a percent sign.
  static StatusOr<HeaderTemplate> Compile(std::string_view text);
  // The text lives in `arena`, or in the template itself when it is constant.
  std::string_view Render(const MessageView& message, Arena& arena) const;
  bool is_constant() const { return pieces_.empty(); }

 private:
  struct Piece {
    bool is_literal = true;
    std::string text;  // the literal, or the argument
    ValueCommand command = ValueCommand::kRequestHeader;
    HeaderRef header;
    HeaderRef otherwise;  // name empty = none
    size_t bytes_max = std::string::npos;
  };
  static StatusOr<Piece> ParseCommand(std::string_view text);
  static std::string_view ValueOfPiece(const Piece& piece, const MessageView& message,
                                       Arena& arena);

  std::string constant_;
  std::vector<Piece> pieces_;  // empty = constant
};

struct HeaderAddition {
  enum class Action : uint8_t { kAppend, kAddIfAbsent, kOverwrite, kOverwriteIfExists };
  HeaderRef header;
  HeaderTemplate value;
  Action action = Action::kAppend;
  bool keeps_empty_value = false;
};

// Removals come first, as in Envoy.
struct HeaderMutations {
  std::vector<HeaderRef> remove;
  std::vector<HeaderAddition> add;

  bool empty() const { return remove.empty() && add.empty(); }
  void Apply(http::RequestHead& head, const MessageView& message) const;
  void Apply(http::ResponseHead& head, const MessageView& message) const;
};

}  // namespace meltemi::routing
