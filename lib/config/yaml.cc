// SPDX-License-Identifier: Apache-2.0
#include "lib/config/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "lib/config/parse.h"
#include "lib/config/yaml_scalar.h"

namespace meltemi::config {
namespace {

using Json = nlohmann::json;

Position At(const yaml_mark_t& mark) {
  return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
}

std::string_view Text(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// At most kNestingMax: what is in an anchor was checked when it was read.
size_t Height(const Json& value) {
  if (!value.is_structured()) return 0;
  size_t height = 0;
  for (const Json& child : value) height = std::max(height, Height(child));
  return height + 1;
}

struct Entry {
  std::string key;
  Json value;
  Node node;
  size_t order = 0;
};

// Pulls libyaml's events and builds values from them. `ok_` turns false at the first error after
// which the text cannot be read on.
class Reader final {
 public:
  Reader(std::string_view text, Problems& problems) : text_(text), problems_(problems) {
    ok_ = yaml_parser_initialize(&parser_) != 0;
    if (!ok_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  std::vector<YamlDocument> Read();

 private:
  struct Anchor {
    Json value;
    Node node;
    size_t weight = 0;
    size_t height = 0;  // levels of nesting in it
  };

  bool Next();
  void Fail(Position at, std::string_view what);
  void ReportSyntax();
  Position OffsetPosition(size_t offset) const;
  // Reads the node that event_ begins; afterwards event_ is its last event.
  bool ReadNode(Json& value, Node& node, size_t depth);
  bool ReadAlias(Json& value, Node& node, size_t depth);
  bool CheckDepth(size_t depth, Position at);
  bool ReadScalar(Json& value);
  bool ReadSequence(Json& value, Node& node, size_t depth);
  bool ReadMapping(Json& value, Node& node, size_t depth);
  bool ReadKey(std::string& key, bool& is_merge);
  bool Merge(Json value, Node node, std::vector<Entry>& merged);
  void Fill(Json& value, Node& node, std::vector<Entry> entries, std::vector<Entry> merged);
  bool Charge(size_t weight, Position at);

  std::string_view text_;
  Problems& problems_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
  bool ok_ = false;
  std::map<std::string, Anchor, std::less<>> anchors_;
  size_t nodes_ = 0;
  size_t weight_ = 0;        // of all nodes so far
  size_t alias_weight_ = 0;  // of copies, for anchors and from them
};

bool Reader::Next() {
  if (!ok_) return false;
  yaml_event_delete(&event_);
  if (yaml_parser_parse(&parser_, &event_) == 0) {
    ReportSyntax();
    return ok_ = false;
  }
  return true;
}

void Reader::Fail(Position at, std::string_view what) {
  problems_.Add(at, {}, what);
  ok_ = false;
}

Position Reader::OffsetPosition(size_t offset) const {
  const std::string_view before = text_.substr(0, std::min(offset, text_.size()));
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
  return {static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
          static_cast<int>(before.size() - line_start) + 1};
}

void Reader::ReportSyntax() {
  if (parser_.error == YAML_READER_ERROR) {
    problems_.Add(OffsetPosition(parser_.problem_offset), {},
                  "a byte that is not text; expected UTF-8 without control characters");
    return;
  }
  const size_t at = parser_.problem_mark.index;
  if (text_.size() == 0 || parser_.problem == nullptr) {
    problems_.Add({}, {}, "not YAML: out of memory");
    return;
  }
  // Marks count characters; only text before it that is not ASCII makes this look elsewhere.
  if (at < text_.size() && text_[at] == '\t') {
    problems_.Add(At(parser_.problem_mark), {},
                  "not YAML: a tab; expected spaces, YAML does not indent with tabs");
    return;
  }
  std::string what = "not YAML: ";
  if (parser_.context != nullptr) what += std::string(parser_.context) + ", ";
  what += parser_.problem;
  what += "; expected correct indentation, quotes and brackets";
  problems_.Add(At(parser_.problem_mark), {}, what);
}

std::vector<YamlDocument> Reader::Read() {
  std::vector<YamlDocument> documents;
  while (Next() && event_.type != YAML_STREAM_END_EVENT) {
    if (event_.type != YAML_DOCUMENT_START_EVENT) continue;
    const size_t start = event_.start_mark.index;
    anchors_.clear();
    alias_weight_ = 0;
    YamlDocument document;
    const bool complete = Next() && ReadNode(document.value, document.node, 0) && Next();
    document.bytes = (complete ? event_.end_mark.index : text_.size()) - start + alias_weight_;
    documents.push_back(std::move(document));
  }
  return documents;
}

bool Reader::Charge(size_t weight, Position at) {
  alias_weight_ += weight;
  if (alias_weight_ <= kAliasWeightMax) return true;
  Fail(at, "anchors and aliases make too much of this text; expected at most " +
               std::to_string(kAliasWeightMax / 1024 / 1024) + " MiB of repeated content");
  return false;
}

bool Reader::ReadNode(Json& value, Node& node, size_t depth) {
  node.at = At(event_.start_mark);
  if (++nodes_ > kYamlNodesMax) {
    Fail(node.at, "too many values; expected at most " + std::to_string(kYamlNodesMax));
    return false;
  }
  std::string anchor;
  bool done = false;
  const size_t weight_before = weight_;
  weight_ += kNodeWeight;
  switch (event_.type) {
    case YAML_ALIAS_EVENT:
      return ReadAlias(value, node, depth);
    case YAML_SCALAR_EVENT:
      anchor = Text(event_.data.scalar.anchor);
      done = ReadScalar(value);
      break;
    case YAML_SEQUENCE_START_EVENT:
      anchor = Text(event_.data.sequence_start.anchor);
      done = ReadSequence(value, node, depth + 1);
      break;
    case YAML_MAPPING_START_EVENT:
      anchor = Text(event_.data.mapping_start.anchor);
      done = ReadMapping(value, node, depth + 1);
      break;
    default:
      Fail(node.at, "not YAML: a value is missing here");
      return false;
  }
  if (!done || anchor.empty()) return done;
  const size_t weight = weight_ - weight_before;
  if (!Charge(weight, node.at)) return false;
  anchors_.insert_or_assign(std::move(anchor), Anchor{value, node, weight, Height(value)});
  return true;
}

bool Reader::CheckDepth(size_t depth, Position at) {
  if (depth <= kNestingMax) return true;
  Fail(at, "nested too deeply; expected at most " + std::to_string(kNestingMax) + " levels");
  return false;
}

bool Reader::ReadAlias(Json& value, Node& node, size_t depth) {
  const std::string_view name = Text(event_.data.alias.anchor);
  const auto found = anchors_.find(name);
  if (found == anchors_.end()) {
    Fail(node.at, "the alias " + Quoted(name) +
                      " has no anchor; expected an anchor of this name on a finished value before");
    return false;
  }
  if (!CheckDepth(depth + found->second.height, node.at)) return false;
  if (!Charge(found->second.weight, node.at)) return false;
  weight_ += found->second.weight;
  value = found->second.value;
  const Position at = node.at;
  node = found->second.node;
  node.at = at;  // what is wrong with it is told where it is used
  return true;
}

bool Reader::ReadScalar(Json& value) {
  const auto& scalar = event_.data.scalar;
  const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
  weight_ += text.size();
  const std::string_view tag = Text(scalar.tag);
  const bool is_plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
  if (tag == YAML_STR_TAG || tag == "!" || (tag.empty() && !is_plain)) {
    value = text;
    return true;
  }
  if (tag == "tag:yaml.org,2002:binary") {
    Fail(At(event_.start_mark), "the tag !!binary is not supported; expected base64 text");
    return false;
  }
  value = ResolvePlainScalar(text);
  if (value.is_discarded()) {
    problems_.Add(At(event_.start_mark), {},
                  Quoted(text) + " has no place in JSON; expected a finite number, or quotes");
    value = nullptr;
  }
  return true;
}

bool Reader::ReadSequence(Json& value, Node& node, size_t depth) {
  if (!CheckDepth(depth, node.at)) return false;
  Json::array_t items;
  while (Next() && event_.type != YAML_SEQUENCE_END_EVENT) {
    items.emplace_back();
    node.children.emplace_back();
    if (!ReadNode(items.back(), node.children.back(), depth)) break;
  }
  value = std::move(items);
  return ok_;
}

// A key that is a number or a boolean becomes its text, as in Kubernetes.
bool Reader::ReadKey(std::string& key, bool& is_merge) {
  const Position at = At(event_.start_mark);
  if (event_.type == YAML_SCALAR_EVENT) {
    is_merge = event_.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
               event_.data.scalar.tag == nullptr && Text(event_.data.scalar.value) == "<<";
  }
  Json value;
  Node node;
  if (event_.type == YAML_SEQUENCE_START_EVENT || event_.type == YAML_MAPPING_START_EVENT) {
    Fail(at, "a list or mapping as a key; expected text");
    return false;
  }
  if (!ReadNode(value, node, 0)) return false;
  if (value.is_string()) {
    key = value.get_ref<const std::string&>();
  } else if (value.is_boolean() || value.is_number()) {
    key = value.dump();
  } else {
    Fail(at, "an empty key; expected text");
    return false;
  }
  return true;
}

bool Reader::ReadMapping(Json& value, Node& node, size_t depth) {
  if (!CheckDepth(depth, node.at)) return false;
  std::vector<Entry> entries, merged;
  while (Next() && event_.type != YAML_MAPPING_END_EVENT) {
    Entry entry;
    const Position key_at = At(event_.start_mark);
    bool is_merge = false;
    if (!ReadKey(entry.key, is_merge) || !Next()) break;
    const bool complete = ReadNode(entry.value, entry.node, depth);
    entry.node.key = key_at;
    entry.order = entries.size();
    if (is_merge && complete) {
      Merge(std::move(entry.value), std::move(entry.node), merged);
    } else {
      entries.push_back(std::move(entry));
    }
    if (!complete) break;
  }
  Fill(value, node, std::move(entries), std::move(merged));
  return ok_;
}

// Of several mappings, the earlier one wins.
bool Reader::Merge(Json value, Node node, std::vector<Entry>& merged) {
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      node.children[i].key = node.key;
      if (!Merge(std::move(value[i]), std::move(node.children[i]), merged)) return false;
    }
    return true;
  }
  if (!value.is_object()) {
    problems_.Add(node.key, {}, "<< without a mapping; expected an alias of a mapping, or a list");
    return false;
  }
  size_t i = 0;
  for (auto& [key, member] : value.get_ref<Json::object_t&>()) {
    merged.push_back({key, std::move(member), std::move(node.children[i++]), merged.size()});
  }
  return true;
}

void Reader::Fill(Json& value, Node& node, std::vector<Entry> entries, std::vector<Entry> merged) {
  const auto before = [](const Entry& a, const Entry& b) {
    const int order = a.key.compare(b.key);
    return order != 0 ? order < 0 : a.order < b.order;
  };
  if (!std::is_sorted(entries.begin(), entries.end(), before)) {
    std::sort(entries.begin(), entries.end(), before);
  }
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].key != entries[i - 1].key) continue;
    problems_.Add(entries[i].node.key, {},
                  "the key " + Quoted(entries[i].key) + " stands here twice, first on line " +
                      std::to_string(entries[i - 1].node.key.line) + "; expected it once");
  }
  if (!merged.empty()) {
    // What the mapping says itself goes before what it takes over: unique keeps the first.
    for (Entry& entry : merged) entry.order += entries.size();
    std::move(merged.begin(), merged.end(), std::back_inserter(entries));
    std::sort(entries.begin(), entries.end(), before);
  }
  const auto same = [](const Entry& a, const Entry& b) { return a.key == b.key; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());

  Json::object_t object;
  node.children.reserve(entries.size());
  for (Entry& entry : entries) {
    object.emplace_hint(object.end(), std::move(entry.key), std::move(entry.value));
    node.children.push_back(std::move(entry.node));
  }
  value = std::move(object);
}

}  // namespace

std::vector<YamlDocument> ReadYaml(std::string_view text, Problems& problems) {
  if (text.size() > kFileBytesMax) {
    problems.Add(
        {}, {},
        std::to_string(text.size()) + " bytes; expected at most " + std::to_string(kFileBytesMax));
    return {};
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return Reader(text, problems).Read();
}

const Node* ChildNode(const Json& value, const Node* node, std::string_view key) {
  if (node == nullptr || !value.is_object()) return nullptr;
  size_t i = 0;
  for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
    if (name == key) return &node->children[i];
    ++i;
  }
  return nullptr;
}

}  // namespace meltemi::config
