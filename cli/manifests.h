// SPDX-License-Identifier: Apache-2.0
// From what a user names on the command line to objects: files, directories, "-" for stdin.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::cli {

inline constexpr const char* kImagesFile = "images.yaml";

// The files that `paths` stand for, in order: a directory's own *.yaml, *.yml and *.json by name,
// without images.yaml.
StatusOr<std::vector<std::string>> FilesOf(const std::vector<std::string>& paths);

// Every object of every path. InvalidArgument with a summary, and one problem a line after it, when
// anything is wrong anywhere; nothing is given out then. Of an object that stands twice the last
// one counts.
StatusOr<std::vector<config::ObjectPtr>> ReadObjects(const std::vector<std::string>& paths,
                                                     const std::string& default_namespace);

// images.yaml in a path's directory or up to two levels above, of the first path that has one; ""
// when none has.
std::string FindImages(const std::vector<std::string>& paths);

// What the API is sent.
std::vector<nlohmann::json> DocumentsOf(const std::vector<config::ObjectPtr>& objects);

// `status` of the API with the place in a file before each line that names one of `objects`.
Status WithPlaces(const Status& status, const std::vector<config::ObjectPtr>& objects);

}  // namespace meltemi::cli
