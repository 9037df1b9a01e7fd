// SPDX-License-Identifier: Apache-2.0
#include "galley/api/admission.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "galley/api/errors.h"
#include "galley/api/json_fields.h"
#include "galley/store/uid.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::Kind;
using config::ObjectPtr;
using nlohmann::json;

Status SetOrMatch(json& object, const char* field, const std::string& wanted, const char* what) {
  if (wanted.empty()) return absl::OkStatus();
  const std::string given = TextAt(object, field);
  if (!given.empty() && given != wanted) {
    return BadRequest(fmt::format("the {} of the object ({}) is not that of the request ({})", what,
                                  given, wanted));
  }
  object[field] = wanted;
  return absl::OkStatus();
}

// The kind as the document names it; nullptr leaves it to the decoder to say what is wrong.
const Kind* KindOf(const json& document) {
  return config::FindKind(TextAt(document, "apiVersion"), TextAt(document, "kind"));
}

Status CheckPlace(json& document, const Place& place, const Kind& kind) {
  if (&kind != place.kind && place.kind != nullptr) {
    return BadRequest(fmt::format("the object is a {} {}; the path is of {} {}",
                                  TextAt(document, "apiVersion"), TextAt(document, "kind"),
                                  place.kind->api_version(), place.kind->kind));
  }
  json& metadata = document["metadata"];
  if (metadata.is_null()) metadata = json::object();
  if (!metadata.is_object()) return BadRequest("metadata: must be an object");
  MELTEMI_RETURN_IF_ERROR(SetOrMatch(metadata, "name", place.name, "name"));
  if (!kind.is_namespaced) {
    metadata.erase("namespace");
  } else {
    MELTEMI_RETURN_IF_ERROR(SetOrMatch(metadata, "namespace", place.ns, "namespace"));
    if (TextAt(metadata, "namespace").empty()) metadata["namespace"] = "default";
  }
  if (TextAt(metadata, "name").empty() && !TextAt(metadata, "generateName").empty()) {
    metadata["name"] = TextAt(metadata, "generateName") + RandomUid().substr(0, 5);
  }
  return absl::OkStatus();  // the decoder judges the names
}

}  // namespace

StatusOr<ObjectPtr> Admission::Admit(json document, const Place& place) {
  if (!document.is_object()) return BadRequest("the body must be one object");
  if (place.kind != nullptr) {
    // Typed clients leave out what the path says.
    if (!document.contains("apiVersion")) document["apiVersion"] = place.kind->api_version();
    if (!document.contains("kind")) document["kind"] = place.kind->kind;
  }
  if (const Kind* kind = KindOf(document)) {
    MELTEMI_RETURN_IF_ERROR(CheckPlace(document, place, *kind));
    // One version is stored, whichever was written; the versions of a kind are equal in shape.
    document["apiVersion"] = kind->api_version();
    json& metadata = document["metadata"];
    metadata.erase("managedFields");
    if (kind == &config::kinds::kService) {
      const ObjectPtr stored =
          store_.Get({kind, TextAt(metadata, "namespace"), TextAt(metadata, "name")});
      MELTEMI_RETURN_IF_ERROR(cluster_ips_.Complete(document, stored.get()));
    }
  }
  MELTEMI_ASSIGN_OR_RETURN(ObjectPtr object, config::DecodeObject(std::move(document), "default"));
  if (options_.judge) {
    if (const Status judged = options_.judge(*object); !judged.ok()) {
      return absl::InvalidArgumentError(judged.message());
    }
  }
  return object;
}

}  // namespace meltemi::galley
