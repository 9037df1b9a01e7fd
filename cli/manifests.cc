// SPDX-License-Identifier: Apache-2.0
#include "cli/manifests.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "lib/config/parse.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStdin = "<stdin>";

bool IsManifest(const fs::path& file) {
  const std::string extension = file.extension();
  return file.filename() != kImagesFile &&
         (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

StatusOr<std::string> ReadFile(const std::string& path) {
  std::string text;
  std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "r");
  if (file == nullptr)
    return absl::NotFoundError(fmt::format("{} cannot be read\ncheck its name and mode", path));
  char bytes[65536];
  size_t size = 0;
  while (text.size() <= config::kFileBytesMax &&
         (size = std::fread(bytes, 1, sizeof(bytes), file)) > 0)
    text.append(bytes, size);
  if (file != stdin) std::fclose(file);
  if (text.size() > config::kFileBytesMax)
    return absl::InvalidArgumentError(
        fmt::format("{} has more than {} MB\nsplit it", path, config::kFileBytesMax >> 20));
  return text;
}

// What stands twice counts as it stands last, as it would when one file were applied after the
// other.
std::vector<config::ObjectPtr> KeepLast(const std::vector<config::ObjectPtr>& objects) {
  std::map<config::ObjectKey, size_t> places;
  std::vector<config::ObjectPtr> kept;
  for (const config::ObjectPtr& object : objects) {
    const auto [place, is_new] = places.try_emplace(object->key(), kept.size());
    if (is_new)
      kept.push_back(object);
    else
      kept[place->second] = object;
  }
  return kept;
}

}  // namespace

StatusOr<std::vector<std::string>> FilesOf(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (path == "-" || !fs::is_directory(path, error)) {
      if (path != "-" && !fs::exists(path, error))
        return absl::NotFoundError(
            fmt::format("there is no file or directory {}\ncheck its name", path));
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(path, error))
      if (IsManifest(entry.path()) && entry.is_regular_file(error)) found.push_back(entry.path());
    if (found.empty())
      return absl::NotFoundError(
          fmt::format("{} holds no YAML\nname the directory that holds it, or files", path));
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

StatusOr<std::vector<config::ObjectPtr>> ReadObjects(const std::vector<std::string>& paths,
                                                     const std::string& default_namespace) {
  MELTEMI_ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(paths));
  std::vector<config::ObjectPtr> objects;
  std::string problems;
  for (const std::string& file : files) {
    MELTEMI_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
    config::ParseOptions options;
    options.file = file == "-" ? kStdin : file;
    options.default_namespace = default_namespace;
    auto parsed = config::ParseObjects(text, options);
    if (parsed.ok())
      std::move(parsed->begin(), parsed->end(), std::back_inserter(objects));
    else
      problems += fmt::format("\n{}", Message(parsed.status()));
  }
  if (!problems.empty())
    return absl::InvalidArgumentError(
        ToAbsl("the configuration has errors, nothing of it is used" + problems));
  return KeepLast(objects);
}

std::string FindImages(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::error_code error;
    fs::path folder = fs::absolute(path, error).lexically_normal();
    if (!fs::is_directory(folder, error)) folder = folder.parent_path();
    if (folder.filename().empty()) folder = folder.parent_path();  // "dir/"
    for (int level = 0; level < 3; ++level, folder = folder.parent_path())
      if (fs::is_regular_file(folder / kImagesFile, error)) return folder / kImagesFile;
  }
  return "";
}

std::vector<nlohmann::json> DocumentsOf(const std::vector<config::ObjectPtr>& objects) {
  std::vector<nlohmann::json> documents;
  documents.reserve(objects.size());
  for (const config::ObjectPtr& object : objects) documents.push_back(*object->document);
  return documents;
}

Status WithPlaces(const Status& status, const std::vector<config::ObjectPtr>& objects) {
  if (!absl::IsInvalidArgument(status)) return status;
  std::string text = "the configuration is refused, nothing of it is used";
  std::istringstream lines{std::string(Message(status))};
  for (std::string line; std::getline(lines, line);) {
    text += '\n';
    for (const config::ObjectPtr& object : objects) {
      const config::Source& source = object->source;
      if (source.file.empty() || !line.starts_with(object->key().text() + ":")) continue;
      text += fmt::format("{}:{}:{}: ", source.file, source.line, source.column);
      break;
    }
    text += line;
  }
  return absl::InvalidArgumentError(text);
}

}  // namespace meltemi::cli
