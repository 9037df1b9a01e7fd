// SPDX-License-Identifier: Apache-2.0
#include "proxy/config/yaml_json.h"

#include <fmt/format.h>
#include <yaml.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

namespace meltemi::proxy {
namespace {

constexpr int kDepthMax = 128;

struct ParserDelete {
  void operator()(yaml_parser_t* parser) const {
    yaml_parser_delete(parser);
    delete parser;
  }
};
struct Event {
  yaml_event_t value{};
  ~Event() { yaml_event_delete(&value); }
};

bool IsInteger(const std::string& text) {
  const size_t from = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  return text.size() > from && text.size() < 19 &&
         text.find_first_not_of("0123456789", from) == std::string::npos;
}

nlohmann::ordered_json PlainScalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (IsInteger(text)) return static_cast<int64_t>(std::strtoll(text.c_str(), nullptr, 10));
  if (text.find_first_not_of("0123456789.eE+-") == std::string::npos) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (end == text.c_str() + text.size()) return number;
  }
  return text;
}

class Converter final {
 public:
  explicit Converter(std::string_view yaml) : parser_(new yaml_parser_t) {
    yaml_parser_initialize(parser_.get());
    yaml_parser_set_input_string(parser_.get(), reinterpret_cast<const unsigned char*>(yaml.data()),
                                 yaml.size());
  }

  StatusOr<nlohmann::ordered_json> Document() {
    nlohmann::ordered_json root;
    for (;;) {
      Event event;
      MELTEMI_RETURN_IF_ERROR(Next(event));
      if (event.value.type == YAML_STREAM_END_EVENT) return root;
      if (event.value.type == YAML_STREAM_START_EVENT ||
          event.value.type == YAML_DOCUMENT_START_EVENT ||
          event.value.type == YAML_DOCUMENT_END_EVENT) {
        continue;
      }
      if (!root.is_null()) return absl::InvalidArgumentError("more than one YAML document");
      MELTEMI_RETURN_IF_ERROR(Value(event, 0, root));
    }
  }

 private:
  Status Next(Event& event) {
    if (yaml_parser_parse(parser_.get(), &event.value) == 1) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("line {}: {}", parser_->problem_mark.line + 1,
                    parser_->problem ? parser_->problem : "not YAML"));
  }
  static const yaml_char_t* AnchorOf(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_SCALAR_EVENT:
        return event.data.scalar.anchor;
      case YAML_SEQUENCE_START_EVENT:
        return event.data.sequence_start.anchor;
      case YAML_MAPPING_START_EVENT:
        return event.data.mapping_start.anchor;
      default:
        return nullptr;
    }
  }
  Status Value(const Event& event, int depth, nlohmann::ordered_json& to) {
    const size_t line = event.value.start_mark.line + 1;
    if (depth > kDepthMax)
      return absl::InvalidArgumentError(fmt::format("line {}: too deep", line));
    if (event.value.type == YAML_ALIAS_EVENT) return Alias(event, line, to);
    const size_t before = bytes_;
    MELTEMI_RETURN_IF_ERROR(Content(event, depth, to));
    if (const yaml_char_t* anchor = AnchorOf(event.value)) {
      // Only now: a value that holds itself has no end.
      anchors_.insert_or_assign(reinterpret_cast<const char*>(anchor),
                                Anchored{to, bytes_ - before});
    }
    return absl::OkStatus();
  }
  Status Alias(const Event& event, size_t line, nlohmann::ordered_json& to) {
    const std::string name(reinterpret_cast<const char*>(event.value.data.alias.anchor));
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: no anchor &{} before it", line, name));
    }
    bytes_ += found->second.bytes;
    alias_bytes_ += found->second.bytes;
    if (alias_bytes_ > kYamlAliasBytesMax) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: aliases stand for more than {} bytes", line, kYamlAliasBytesMax));
    }
    to = found->second.value;
    return absl::OkStatus();
  }
  Status Content(const Event& event, int depth, nlohmann::ordered_json& to) {
    constexpr size_t kNodeBytes = 64;
    bytes_ += kNodeBytes;
    switch (event.value.type) {
      case YAML_SCALAR_EVENT: {
        const auto& scalar = event.value.data.scalar;
        bytes_ += scalar.length;
        const std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
        to = scalar.style == YAML_PLAIN_SCALAR_STYLE ? PlainScalar(text)
                                                     : nlohmann::ordered_json(text);
        return absl::OkStatus();
      }
      case YAML_SEQUENCE_START_EVENT:
        return Sequence(depth, to);
      case YAML_MAPPING_START_EVENT:
        return Mapping(depth, to);
      default:
        return absl::InvalidArgumentError(
            fmt::format("line {}: not a value", event.value.start_mark.line + 1));
    }
  }
  Status Sequence(int depth, nlohmann::ordered_json& to) {
    to = nlohmann::ordered_json::array();
    for (;;) {
      Event event;
      MELTEMI_RETURN_IF_ERROR(Next(event));
      if (event.value.type == YAML_SEQUENCE_END_EVENT) return absl::OkStatus();
      to.emplace_back();
      MELTEMI_RETURN_IF_ERROR(Value(event, depth + 1, to.back()));
    }
  }
  Status Mapping(int depth, nlohmann::ordered_json& to) {
    to = nlohmann::ordered_json::object();
    for (;;) {
      Event key;
      MELTEMI_RETURN_IF_ERROR(Next(key));
      if (key.value.type == YAML_MAPPING_END_EVENT) return absl::OkStatus();
      const size_t line = key.value.start_mark.line + 1;
      if (key.value.type != YAML_SCALAR_EVENT) {
        return absl::InvalidArgumentError(fmt::format("line {}: a key must be a scalar", line));
      }
      const auto& scalar = key.value.data.scalar;
      const std::string name(reinterpret_cast<const char*>(scalar.value), scalar.length);
      if (name == "<<" && scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        // YAML 1.1's; Envoy refuses it as a field nobody knows, and ignored it would lose settings.
        return absl::InvalidArgumentError(
            fmt::format("line {}: the merge key << is not supported", line));
      }
      if (to.contains(name)) {
        return absl::InvalidArgumentError(fmt::format("line {}: key {} given twice", line, name));
      }
      Event value;
      MELTEMI_RETURN_IF_ERROR(Next(value));
      MELTEMI_RETURN_IF_ERROR(Value(value, depth + 1, to[name]));
    }
  }

  struct Anchored {
    nlohmann::ordered_json value;
    size_t bytes;
  };
  std::unique_ptr<yaml_parser_t, ParserDelete> parser_;
  std::map<std::string, Anchored> anchors_;
  size_t bytes_ = 0;        // that the document stands for so far, roughly
  size_t alias_bytes_ = 0;  // those that came by aliases
};

}  // namespace

StatusOr<std::string> YamlToJson(std::string_view yaml) {
  MELTEMI_ASSIGN_OR_RETURN(const nlohmann::ordered_json json, Converter(yaml).Document());
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace meltemi::proxy
