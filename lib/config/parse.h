// SPDX-License-Identifier: Apache-2.0
// From text to objects: YAML (of which JSON is a part) with positions, decoded by kind. Pure
// functions.
//
// Errors are InvalidArgument, one problem a line, each "FILE:LINE:COLUMN: FIELD: what is wrong;
// what was expected". All problems of a text are told, up to kProblemsMax, and nothing of it is
// given out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/message.h>
#include <nlohmann/json_fwd.hpp>

#include "lib/base/status.h"
#include "lib/config/object.h"

namespace meltemi::config {

inline constexpr size_t kFileBytesMax = 64 * 1024 * 1024;
inline constexpr size_t kObjectBytesMax = 3 * 1024 * 1024;  // Kubernetes' limit of a request
inline constexpr size_t kNestingMax = 64;
inline constexpr size_t kProblemsMax = 20;

struct ParseOptions {
  std::string file;  // for messages and Source
  std::string default_namespace = "default";
};

// Every object of the documents in `text`, in order; a List gives its items. A kind we do not know
// is an error that names the nearest ones.
StatusOr<std::vector<ObjectPtr>> ParseObjects(std::string_view text, const ParseOptions& options);

// One object that is JSON already (the API's bodies). `source` stands in messages when it has a
// file.
StatusOr<ObjectPtr> DecodeObject(nlohmann::json document, const std::string& default_namespace,
                                 Source source = {});

// A single YAML document without apiVersion and kind (a mesh config), into `message`.
Status ParseMessage(std::string_view text, const std::string& file, Strictness strictness,
                    google::protobuf::Message& message);

// YAML of any shape as JSON; only syntax can be wrong.
StatusOr<std::vector<nlohmann::json>> ParseYaml(std::string_view text, const std::string& file);

// Copies; the document's metadata (or status) is made to say the same.
ObjectPtr WithMetadata(const Object& object, Metadata meta);
ObjectPtr WithStatus(const Object& object, nlohmann::json status);

// "2026-11-28T08:00:00Z".
std::string TimeText(WallTime time);

// As YAML, for people; keys in kubectl's order (apiVersion, kind, metadata, spec, …).
std::string ToYaml(const nlohmann::json& value);

}  // namespace meltemi::config
