// SPDX-License-Identifier: Apache-2.0
#include "host/controllers/image_map.h"

#include <fmt/format.h>
#include <yaml.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace meltemi::host {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

// One loaded document, freed at the end.
class Document final {
 public:
  Document() = default;
  ~Document() {
    if (is_loaded_) yaml_document_delete(&document_);
  }
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  Status Load(std::string_view text, const std::string& path) {
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) return absl::InternalError("no memory for YAML");
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
    is_loaded_ = yaml_parser_load(&parser, &document_) != 0;
    const std::string problem = is_loaded_ || parser.problem == nullptr ? "" : parser.problem;
    const size_t line = parser.problem_mark.line + 1;
    yaml_parser_delete(&parser);
    if (is_loaded_) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("{}:{}: {}\ncorrect the YAML of the image map", path, line, problem));
  }

  yaml_node_t* root() { return yaml_document_get_root_node(&document_); }
  yaml_node_t* node(int id) { return yaml_document_get_node(&document_, id); }

 private:
  yaml_document_t document_{};
  bool is_loaded_ = false;
};

// Reads nodes; each error says where.
class Reader final {
 public:
  Reader(Document& document, const std::string& path) : document_(document), path_(path) {}

  Status Fail(const yaml_node_t* node, const std::string& what) const {
    return absl::InvalidArgumentError(fmt::format(
        "{}:{}:{}: {}\nan entry is: {{image: PATTERN, command: [WORD, …], env: {{NAME: VALUE}}, "
        "workingDirectory: PATH}}",
        path_, node->start_mark.line + 1, node->start_mark.column + 1, what));
  }

  StatusOr<std::string> Scalar(const yaml_node_t* node) const {
    if (node->type != YAML_SCALAR_NODE) return Fail(node, "a string is expected here");
    return std::string(reinterpret_cast<const char*>(node->data.scalar.value),
                       node->data.scalar.length);
  }

  StatusOr<std::vector<std::string>> List(const yaml_node_t* node) {
    if (node->type != YAML_SEQUENCE_NODE) return Fail(node, "a list is expected here");
    std::vector<std::string> list;
    for (auto* item = node->data.sequence.items.start; item < node->data.sequence.items.top;
         ++item) {
      MELTEMI_ASSIGN_OR_RETURN(std::string text, Scalar(document_.node(*item)));
      list.push_back(std::move(text));
    }
    return list;
  }

  // Pairs of a mapping in order.
  StatusOr<std::vector<std::pair<std::string, yaml_node_t*>>> Mapping(const yaml_node_t* node) {
    if (node == nullptr || node->type != YAML_MAPPING_NODE) {
      if (node == nullptr) return absl::InvalidArgumentError(path_ + ": is empty\nadd `images:`");
      return Fail(node, "a mapping is expected here");
    }
    std::vector<std::pair<std::string, yaml_node_t*>> pairs;
    for (auto* pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; ++pair) {
      MELTEMI_ASSIGN_OR_RETURN(std::string key, Scalar(document_.node(pair->key)));
      pairs.emplace_back(std::move(key), document_.node(pair->value));
    }
    return pairs;
  }

  StatusOr<ImageCommand> Entry(const yaml_node_t* node, const std::filesystem::path& base) {
    ImageCommand entry;
    entry.working_directory = base;
    MELTEMI_ASSIGN_OR_RETURN(const auto fields, Mapping(node));
    for (const auto& [key, value] : fields) {
      if (key == "image") {
        MELTEMI_ASSIGN_OR_RETURN(entry.pattern, Scalar(value));
      } else if (key == "command") {
        MELTEMI_ASSIGN_OR_RETURN(entry.command, List(value));
      } else if (key == "workingDirectory") {
        MELTEMI_ASSIGN_OR_RETURN(const std::string directory, Scalar(value));
        entry.working_directory = (base / directory).lexically_normal();
      } else if (key == "env") {
        MELTEMI_ASSIGN_OR_RETURN(const auto variables, Mapping(value));
        for (const auto& [name, text] : variables) {
          MELTEMI_ASSIGN_OR_RETURN(entry.env[name], Scalar(text));
        }
      } else {
        return Fail(value, fmt::format("field \"{}\" is unknown", key));
      }
    }
    if (entry.pattern.empty()) return Fail(node, "image is missing");
    if (entry.command.empty()) return Fail(node, "command is missing");
    return entry;
  }

 private:
  Document& document_;
  const std::string& path_;
};

}  // namespace

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  // Greedy with one step back: linear in practice, quadratic at worst, no recursion.
  size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

StatusOr<ImageMap> ImageMap::Load(const std::string& path) {
  std::ifstream file(path);
  if (!file)
    return absl::NotFoundError(fmt::format(
        "the image map {} cannot be read\nname a readable file with --images FILE", path));
  std::stringstream text;
  text << file.rdbuf();
  return Parse(text.str(), path);
}

StatusOr<ImageMap> ImageMap::Parse(std::string_view yaml, const std::string& path) {
  if (yaml.size() > kFileBytesMax)
    return absl::InvalidArgumentError(
        fmt::format("{}: is larger than {} bytes\nsplit it", path, kFileBytesMax));
  ImageMap map;
  map.path_ = path;
  std::error_code ignored;
  const std::filesystem::path base = std::filesystem::absolute(path, ignored).parent_path();
  Document document;
  MELTEMI_RETURN_IF_ERROR(document.Load(yaml, path));
  Reader reader(document, path);
  MELTEMI_ASSIGN_OR_RETURN(const auto top, reader.Mapping(document.root()));
  for (const auto& [key, value] : top) {
    if (key != "images" || value->type != YAML_SEQUENCE_NODE)
      return reader.Fail(value, "only a list named `images` is expected");
    for (auto* item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         ++item) {
      MELTEMI_ASSIGN_OR_RETURN(ImageCommand entry, reader.Entry(document.node(*item), base));
      map.images_.push_back(std::move(entry));
    }
  }
  return map;
}

const ImageCommand* ImageMap::Find(std::string_view image) const {
  for (const ImageCommand& entry : images_)
    if (MatchesPattern(entry.pattern, image)) return &entry;
  return nullptr;
}

}  // namespace meltemi::host
