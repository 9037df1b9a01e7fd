// SPDX-License-Identifier: Apache-2.0
// JSON as YAML in kubectl's form: block style, lists at the indentation of their key. What is
// written reads back as the same value.
#include <algorithm>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/config/parse.h"
#include "lib/config/yaml_scalar.h"

namespace meltemi::config {
namespace {

using Json = nlohmann::json;

constexpr size_t kPlainBytesMax = 1000;  // libyaml reads keys of at most 1024 characters

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Text that needs no quotes anywhere: a word's bytes, and some others inside.
bool IsPlain(const std::string& text) {
  if (text.empty() || text.size() > kPlainBytesMax || text == "<<") return false;
  const auto may_begin = [](char c) { return IsWordByte(c) || c == '/' || c == '.' || c == '_'; };
  if (!may_begin(text.front()) || text.back() == ':' || text.back() == ' ') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (IsWordByte(c) || std::string_view("-_./@+=~^()$;<>|").find(c) != std::string_view::npos) {
      continue;
    }
    if (c == ':' && text[i + 1] != ' ') continue;
    if (c == ' ' && text[i + 1] != '#') continue;
    return false;
  }
  if (text.starts_with("...")) return false;
  return ResolvePlainScalar(text).is_string();
}

// Several lines that a literal block can hold without marks of its own.
bool IsBlock(const std::string& text) {
  if (text.find('\n') == std::string::npos || text[0] == ' ' || text[0] == '\n') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte != '\n' && (byte < 0x20 || byte >= 0x7F)) return false;
    const bool ends_line = i + 1 == text.size() || text[i + 1] == '\n';
    if (byte == ' ' && ends_line) return false;
  }
  return true;
}

void Indent(std::string& out, size_t indent) {
  out.append(indent, ' ');
}

void WriteBlock(const std::string& text, size_t indent, std::string& out) {
  const size_t last = text.find_last_not_of('\n');
  const size_t newlines = text.size() - 1 - last;
  out += newlines == 0 ? "|-\n" : newlines == 1 ? "|\n" : "|+\n";
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) {
      Indent(out, indent);
      out.append(text, at, end - at);
    }
    out += '\n';
    at = end + 1;
  }
}

// In double quotes. libyaml takes neither control characters nor JSON's surrogate pairs.
std::string Quote(const Json& text) {
  const std::string json = text.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  for (size_t i = 0; i < json.size(); ++i) {
    const std::string_view rest = std::string_view(json).substr(i);
    const auto byte = static_cast<unsigned char>(rest[0]);
    const auto next = static_cast<unsigned char>(rest.size() > 1 ? rest[1] : 0);
    if (byte == 0x7F) {
      out += "\\x7F";
    } else if (byte == 0xC2 && next <= 0xA0) {  // U+0080 to U+00A0
      out += next == 0xA0 ? "\\_"
                          : std::string("\\x") + "89"[next >= 0x90] + "0123456789ABCDEF"[next & 15];
      ++i;
    } else if (rest.starts_with("\xE2\x80\xA8") || rest.starts_with("\xE2\x80\xA9")) {
      out += rest[2] == '\xA8' ? "\\L" : "\\P";
      i += 2;
    } else if (rest.starts_with("\xEF\xBB\xBF")) {
      out += "\\uFEFF";
      i += 2;
    } else if (rest.starts_with("\xEF\xBF\xBE") || rest.starts_with("\xEF\xBF\xBF")) {
      out += rest[2] == '\xBE' ? "\\uFFFE" : "\\uFFFF";
      i += 2;
    } else {
      out += rest[0];
    }
  }
  return out;
}

std::string Scalar(const Json& value) {
  if (!value.is_string()) return value.dump();
  const std::string& text = value.get_ref<const std::string&>();
  if (IsPlain(text)) return text;
  return Quote(value);
}

// kubectl's order at the root; below, keys are sorted.
std::vector<std::string> KeysInOrder(const Json& value, bool is_root) {
  std::vector<std::string> keys;
  const auto take = [&](const char* name) {
    if (is_root && value.contains(name)) keys.emplace_back(name);
  };
  for (const char* name : {"apiVersion", "kind", "metadata", "spec"}) take(name);
  const size_t first = keys.size();
  for (const auto& [key, member] : value.items()) {
    const bool taken = std::find(keys.begin(), keys.begin() + first, key) != keys.begin() + first;
    if (!taken && !(is_root && key == "status")) keys.push_back(key);
  }
  take("status");
  return keys;
}

void WriteValue(const Json& value, size_t indent, bool is_root, std::string& out);

// What follows "key:" or "-": on the same line, or below.
void WriteMember(const Json& value, size_t indent, std::string& out) {
  if (value.is_structured() && !value.empty()) {
    out += '\n';
    WriteValue(value, value.is_array() ? indent : indent + 2, false, out);
  } else if (value.is_string() && IsBlock(value.get_ref<const std::string&>())) {
    out += ' ';
    WriteBlock(value.get_ref<const std::string&>(), indent + 2, out);
  } else {
    out += ' ' + Scalar(value) + '\n';
  }
}

void WriteItem(const Json& item, size_t indent, std::string& out) {
  Indent(out, indent);
  if (item.is_structured() && !item.empty()) {
    // "- " takes the place of the first line's indentation.
    std::string block;
    WriteValue(item, indent + 2, false, block);
    block.replace(0, indent + 2, "- ");
    out += block;
    return;
  }
  out += '-';
  WriteMember(item, indent, out);
}

void WriteValue(const Json& value, size_t indent, bool is_root, std::string& out) {
  if (value.is_array() && !value.empty()) {
    for (const Json& item : value) WriteItem(item, indent, out);
  } else if (value.is_object() && !value.empty()) {
    for (const std::string& key : KeysInOrder(value, is_root)) {
      Indent(out, indent);
      if (key.size() > kPlainBytesMax) out += "? ";
      out += Scalar(Json(key));
      if (key.size() > kPlainBytesMax) {
        out += '\n';
        Indent(out, indent);
      }
      out += ':';
      WriteMember(value.at(key), indent, out);
    }
  } else {
    Indent(out, indent);
    out += Scalar(value) + '\n';
  }
}

}  // namespace

std::string ToYaml(const Json& value) {
  std::string out;
  WriteValue(value, 0, true, out);
  return out;
}

}  // namespace meltemi::config
