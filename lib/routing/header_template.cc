// SPDX-License-Identifier: Apache-2.0
#include "lib/routing/header_template.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <optional>

namespace meltemi::routing {
namespace {

constexpr size_t kPiecesMax = 64;

struct CommandName {
  std::string_view name;
  ValueCommand command;
};

constexpr CommandName kCommands[] = {
#define MELTEMI_COMMAND(id, name) {name, ValueCommand::id},
#include "lib/routing/value_commands.def"
#undef MELTEMI_COMMAND
    {"REQ", ValueCommand::kRequestHeader},
    {"RESP", ValueCommand::kResponseHeader},
};

std::optional<ValueCommand> FindCommand(std::string_view name) {
  for (const CommandName& entry : kCommands) {
    if (entry.name == name) return entry.command;
  }
  return std::nullopt;
}

}  // namespace

// `text` is what stands between the percent signs: NAME, NAME(argument), NAME(X?Y):12.
StatusOr<HeaderTemplate::Piece> HeaderTemplate::ParseCommand(std::string_view text) {
  Piece piece;
  piece.is_literal = false;
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  const std::string_view name = text.substr(0, std::min(open, text.find(':')));
  const std::optional<ValueCommand> command = FindCommand(name);
  if (!command.has_value()) {
    return absl::InvalidArgumentError(fmt::format("unknown command operator \"%{}%\"", text));
  }
  piece.command = *command;
  std::string_view rest = text.substr(name.size());
  if (open != std::string_view::npos) {
    if (close == std::string_view::npos || close < open) {
      return absl::InvalidArgumentError(fmt::format("\"%{}%\" lacks \")\"", text));
    }
    piece.text = std::string(text.substr(open + 1, close - open - 1));
    rest = text.substr(close + 1);
  }
  if (rest.starts_with(':')) {
    const auto [end, error] =
        std::from_chars(rest.data() + 1, rest.data() + rest.size(), piece.bytes_max);
    if (error != std::errc() || end != rest.data() + rest.size()) {
      return absl::InvalidArgumentError(fmt::format("\"%{}%\": no length after \":\"", text));
    }
  } else if (!rest.empty()) {
    return absl::InvalidArgumentError(fmt::format("\"%{}%\": \"{}\" is too much", text, rest));
  }
  if (piece.command > ValueCommand::kResponseHeader) return piece;
  if (piece.text.empty()) {
    return absl::InvalidArgumentError(fmt::format("\"%{}%\" lacks a header name", text));
  }
  const std::string_view names = piece.text;
  const size_t question = names.find('?');
  piece.header = HeaderRef::Of(names.substr(0, question));
  if (question != std::string_view::npos) {
    piece.otherwise = HeaderRef::Of(names.substr(question + 1));
  }
  return piece;
}

StatusOr<HeaderTemplate> HeaderTemplate::Compile(std::string_view text) {
  HeaderTemplate result;
  std::string literal;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      literal += text[at++];
      continue;
    }
    const size_t end = text.find('%', at + 1);
    if (end == std::string_view::npos) {
      return absl::InvalidArgumentError(fmt::format(
          "header value \"{}\": \"%\" without its end; write \"%%\" for the sign", text));
    }
    if (end == at + 1) {
      literal += '%';
    } else {
      if (result.pieces_.size() >= kPiecesMax) {
        return absl::InvalidArgumentError(
            fmt::format("header value with more than {} parts", kPiecesMax));
      }
      if (!literal.empty()) {
        Piece piece;
        piece.text = std::move(literal);
        result.pieces_.push_back(std::move(piece));
        literal.clear();
      }
      MELTEMI_ASSIGN_OR_RETURN(Piece piece, ParseCommand(text.substr(at + 1, end - at - 1)));
      result.pieces_.push_back(std::move(piece));
    }
    at = end + 1;
  }
  if (result.pieces_.empty()) {
    result.constant_ = std::move(literal);
  } else if (!literal.empty()) {
    Piece piece;
    piece.text = std::move(literal);
    result.pieces_.push_back(std::move(piece));
  }
  return result;
}

std::string_view HeaderTemplate::ValueOfPiece(const Piece& piece, const MessageView& message,
                                              Arena& arena) {
  if (piece.is_literal) return piece.text;
  std::string_view value;
  if (piece.command == ValueCommand::kRequestHeader && message.request != nullptr) {
    std::optional<std::string_view> found = ValueOf(*message.request, piece.header);
    if (!found && !piece.otherwise.name.empty()) found = ValueOf(*message.request, piece.otherwise);
    value = found.value_or(std::string_view());
  } else if (piece.command == ValueCommand::kResponseHeader && message.response != nullptr) {
    const http::HeaderMap& headers = message.response->headers;
    std::optional<std::string_view> found = ValueOf(headers, piece.header);
    if (!found && !piece.otherwise.name.empty()) found = ValueOf(headers, piece.otherwise);
    value = found.value_or(std::string_view());
  } else if (piece.command > ValueCommand::kResponseHeader && message.source != nullptr) {
    value = message.source->Value(piece.command, piece.text, arena);
  }
  return value.substr(0, piece.bytes_max);
}

std::string_view HeaderTemplate::Render(const MessageView& message, Arena& arena) const {
  if (is_constant()) return constant_;
  if (pieces_.size() == 1) return ValueOfPiece(pieces_.front(), message, arena);
  std::array<std::string_view, kPiecesMax * 2> values;
  size_t count = 0;
  size_t bytes = 0;
  for (const Piece& piece : pieces_) {
    if (count == values.size()) break;
    values[count] = ValueOfPiece(piece, message, arena);
    bytes += values[count++].size();
  }
  char* const text = arena.Allocate(bytes);
  char* to = text;
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(to, values[i].data(), values[i].size());
    to += values[i].size();
  }
  return {text, bytes};
}

namespace {

void AddTo(http::HeaderMap& headers, const HeaderAddition& addition, std::string_view value) {
  bool is_present = false;
  for (const http::HeaderField& field : headers.fields()) {
    is_present = is_present || addition.header.Is(field);
  }
  switch (addition.action) {
    case HeaderAddition::Action::kAddIfAbsent:
      if (is_present) return;
      break;
    case HeaderAddition::Action::kOverwriteIfExists:
      if (!is_present) return;
      [[fallthrough]];
    case HeaderAddition::Action::kOverwrite:
      if (is_present) headers.Remove(addition.header.name);
      break;
    case HeaderAddition::Action::kAppend:
      break;
  }
  // Both texts outlive the message: the name is the configuration's, the value its or the arena's.
  headers.AddBorrowed(addition.header.id, addition.header.name, value);
}

// Pseudo headers have one value: an addition sets it, unless one may only be added where none is.
void SetPseudo(http::RequestHead& head, const HeaderAddition& addition, std::string_view value) {
  std::string_view* field = nullptr;
  if (addition.header.pseudo == HeaderRef::Pseudo::kAuthority) field = &head.authority;
  if (addition.header.pseudo == HeaderRef::Pseudo::kPath) field = &head.path;
  if (addition.header.pseudo == HeaderRef::Pseudo::kMethod) field = &head.method;
  if (addition.header.pseudo == HeaderRef::Pseudo::kScheme) field = &head.scheme;
  if (field == nullptr || value.empty()) return;
  if (addition.action == HeaderAddition::Action::kAddIfAbsent && !field->empty()) return;
  *field = value;
}

}  // namespace

void HeaderMutations::Apply(http::RequestHead& head, const MessageView& message) const {
  for (const HeaderRef& header : remove) {
    if (header.pseudo == HeaderRef::Pseudo::kNone) head.headers.Remove(header.name);
  }
  for (const HeaderAddition& addition : add) {
    const std::string_view value = addition.value.Render(message, head.headers.arena());
    if (value.empty() && !addition.keeps_empty_value) continue;
    if (addition.header.pseudo != HeaderRef::Pseudo::kNone) {
      SetPseudo(head, addition, value);
    } else {
      AddTo(head.headers, addition, value);
    }
  }
}

void HeaderMutations::Apply(http::ResponseHead& head, const MessageView& message) const {
  for (const HeaderRef& header : remove) {
    if (header.pseudo == HeaderRef::Pseudo::kNone) head.headers.Remove(header.name);
  }
  for (const HeaderAddition& addition : add) {
    if (addition.header.pseudo != HeaderRef::Pseudo::kNone) continue;
    const std::string_view value = addition.value.Render(message, head.headers.arena());
    if (value.empty() && !addition.keeps_empty_value) continue;
    AddTo(head.headers, addition, value);
  }
}

}  // namespace meltemi::routing
