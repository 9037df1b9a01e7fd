// SPDX-License-Identifier: Apache-2.0
#include "galley/api/object_api.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "galley/api/deletion.h"
#include "galley/api/errors.h"
#include "galley/api/json_fields.h"
#include "galley/api/patch.h"
#include "galley/api/render.h"
#include "galley/api/request_body.h"
#include "galley/api/selectors.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::ObjectKey;
using config::ObjectPtr;
using http::ServiceRequest;
using http::ServiceResponse;
using nlohmann::json;
using Verb = Write::Verb;

std::string ResourceText(const config::Kind& kind) {
  return kind.group.empty() ? std::string(kind.plural)
                            : fmt::format("{}.{}", kind.plural, kind.group);
}

// The words scripts look for.
Status InKubernetesWords(const Status& status, const Route& route, const std::string& name) {
  if (name.empty()) return status;
  const std::string what = ResourceText(*route.kind);
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      if (Message(status).find("namespaces \"") == 0) return status;
      return absl::NotFoundError(fmt::format("{} \"{}\" not found", what, name));
    case absl::StatusCode::kAlreadyExists:
      return absl::AlreadyExistsError(fmt::format("{} \"{}\" already exists", what, name));
    case absl::StatusCode::kAborted:
      return absl::AbortedError(
          fmt::format("Operation cannot be fulfilled on {} \"{}\": the object has been modified; "
                      "please apply your changes to the latest version and try again ({})",
                      what, name, Message(status)));
    default:
      return status;
  }
}

json Success(const Route& route, const config::Object* object) {
  json details = {{"kind", route.kind->plural}};
  if (!route.kind->group.empty()) details["group"] = route.kind->group;
  if (object != nullptr) {
    details["name"] = object->meta.name;
    details["uid"] = object->meta.uid;
  }
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", json::object()},
          {"status", "Success"},
          {"details", details}};
}

StatusOr<json> ReadObject(const ServiceRequest& request) {
  MELTEMI_ASSIGN_OR_RETURN(json body, ReadBody(request, config::kObjectBytesMax));
  if (!body.is_object()) return BadRequest("the body must be one object");
  return body;
}

// DeleteOptions: preconditions count, and dryRun; the grace period and the propagation do not,
// since the store deletes at once and owns nothing but the objects.
struct DeleteRequest {
  std::string uid, resource_version;
  bool is_trial = false;
};

StatusOr<DeleteRequest> ReadDelete(const ServiceRequest& request) {
  DeleteRequest wanted;
  MELTEMI_ASSIGN_OR_RETURN(wanted.is_trial, IsTrial(request));
  if (request.body.empty()) return wanted;
  MELTEMI_ASSIGN_OR_RETURN(const json body, ReadObject(request));
  const json& preconditions = ObjectAt(body, "preconditions");
  wanted.uid = TextAt(preconditions, "uid");
  wanted.resource_version = TextAt(preconditions, "resourceVersion");
  const auto dry_run = body.find("dryRun");
  if (dry_run != body.end() && dry_run->is_array() && !dry_run->empty()) wanted.is_trial = true;
  return wanted;
}

StatusOr<json> ReadPatch(const ServiceRequest& request, PatchKind kind, const json& target) {
  MELTEMI_ASSIGN_OR_RETURN(const json patch, ReadObject(request));
  json patched = target;
  if (kind == PatchKind::kStrategic) {
    MELTEMI_RETURN_IF_ERROR(StrategicMergePatch(patched, patch));
  } else {
    MergePatch(patched, patch);
  }
  return patched;
}

}  // namespace

StatusOr<bool> IsTrial(const ServiceRequest& request) {
  const std::string value = request.Query("dryRun");
  if (value.empty()) return false;
  if (value == "All") return true;
  return BadRequest("dryRun: the one value that is known is All");
}

Status CheckNamespace(const config::Store& store, const std::string& ns) {
  if (ns.empty() || store.Get({&config::kinds::kNamespace, "", ns}) != nullptr) {
    return absl::OkStatus();
  }
  return absl::NotFoundError(fmt::format("namespaces \"{}\" not found", ns));
}

Status RefuseReadOnly() {
  return absl::FailedPreconditionError(
      "this meltemid serves configuration directories, which are read-only\nChange their files, or "
      "start meltemid with --state-dir");
}

ServiceResponse ObjectApi::Handle(const Route& route, const Request& request) {
  ErrorDetails details{.kind = route.kind, .name = route.name};
  auto response = Dispatch(route, request, details.name);
  if (response.ok()) return *std::move(response);
  return ErrorResponse(InKubernetesWords(response.status(), route, details.name), details);
}

StatusOr<ServiceResponse> ObjectApi::Dispatch(const Route& route, const Request& request,
                                              std::string& name) {
  const std::string& method = request.method;
  if (method == "GET" || method == "HEAD") {
    if (route.target == Target::kCollection) return List(route, request);
    MELTEMI_ASSIGN_OR_RETURN(const ObjectPtr object, Stored(route));
    return JsonResponse(200, RenderObject(*object, route.api_version()));
  }
  if (writer_ == nullptr) return RefuseReadOnly();
  StatusOr<Written> written =
      absl::UnimplementedError("the server does not allow this method on the requested resource");
  if (route.target == Target::kCollection) {
    if (method == "DELETE") return DeleteCollection(route, request);
    if (method == "POST") written = Create(route, request, name);
  } else if (route.target == Target::kItem) {
    if (method == "DELETE") return Delete(route, request);
    if (method == "PUT") written = Replace(route, request);
    if (method == "PATCH") written = Patch(route, request);
  } else {
    if (method == "PUT") written = ReplaceStatus(route, request);
    if (method == "PATCH") written = Patch(route, request);
  }
  MELTEMI_RETURN_IF_ERROR(written.status());
  return JsonResponse(written->code, RenderObject(*written->object, route.api_version()));
}

StatusOr<ObjectPtr> ObjectApi::Stored(const Route& route) const {
  ObjectPtr object = store_.Get({route.kind, route.ns, route.name});
  if (object == nullptr) return absl::NotFoundError(route.name);
  return object;
}

StatusOr<ServiceResponse> ObjectApi::List(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(
      const Selector selector,
      Selector::Parse(request.Query("labelSelector"), request.Query("fieldSelector")));
  // Everything at once: `limit` is a wish, and there is never more to continue with.
  if (!request.Query("continue").empty()) {
    return absl::OutOfRangeError("the continue token is not of this server; list again");
  }
  config::ObjectList list = store_.List(route.kind, route.ns);
  if (request.Query("resourceVersionMatch") == "Exact" &&
      request.Query("resourceVersion") != std::to_string(list.version)) {
    return absl::OutOfRangeError("only the present version is kept whole; list without one");
  }
  std::erase_if(list.objects, [&](const ObjectPtr& object) { return !selector.Matches(*object); });
  return JsonResponse(200, RenderList(route, list.objects, list.version));
}

StatusOr<ObjectApi::Written> ObjectApi::Create(const Route& route, const Request& request,
                                               std::string& name) {
  if (route.kind->is_namespaced && route.ns.empty()) {
    return absl::UnimplementedError(
        "objects are created in a namespace: POST to .../namespaces/"
        "NAMESPACE/" +
        std::string(route.kind->plural));
  }
  MELTEMI_ASSIGN_OR_RETURN(const bool is_trial, IsTrial(request));
  MELTEMI_ASSIGN_OR_RETURN(json body, ReadObject(request));
  name = TextAt(ObjectAt(body, "metadata"), "name");
  return CreateFrom(std::move(body), route, is_trial);
}

StatusOr<ObjectApi::Written> ObjectApi::CreateFrom(json document, const Route& route,
                                                   bool is_trial) {
  MELTEMI_RETURN_IF_ERROR(CheckNamespace(store_, route.ns));
  Admission admission(admission_, store_);
  MELTEMI_ASSIGN_OR_RETURN(
      ObjectPtr object, admission.Admit(std::move(document), {route.kind, route.ns, route.name}));
  MELTEMI_ASSIGN_OR_RETURN(
      object, WriteOne({.verb = Verb::kCreate, .object = std::move(object)}, is_trial));
  return Written{.object = std::move(object), .code = 201};
}

StatusOr<ObjectApi::Written> ObjectApi::Replace(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(const bool is_trial, IsTrial(request));
  MELTEMI_ASSIGN_OR_RETURN(json body, ReadObject(request));
  MELTEMI_RETURN_IF_ERROR(Stored(route).status());
  Admission admission(admission_, store_);
  MELTEMI_ASSIGN_OR_RETURN(ObjectPtr object,
                           admission.Admit(std::move(body), {route.kind, route.ns, route.name}));
  MELTEMI_ASSIGN_OR_RETURN(
      object, WriteOne({.verb = Verb::kUpdate, .object = std::move(object)}, is_trial));
  return Written{.object = std::move(object)};
}

StatusOr<ObjectApi::Written> ObjectApi::ReplaceStatus(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(const bool is_trial, IsTrial(request));
  MELTEMI_ASSIGN_OR_RETURN(const json body, ReadObject(request));
  return WriteStatus(body, route, is_trial);
}

// Of `document` only the status counts, and the version it was made from.
StatusOr<ObjectApi::Written> ObjectApi::WriteStatus(const json& document, const Route& route,
                                                    bool is_trial) {
  MELTEMI_ASSIGN_OR_RETURN(const ObjectPtr stored, Stored(route));
  json with_status = *stored->document;
  const auto status = document.find("status");
  if (status == document.end()) {
    with_status.erase("status");
  } else {
    with_status["status"] = *status;
  }
  const json& metadata = ObjectAt(document, "metadata");
  if (const std::string version = TextAt(metadata, "resourceVersion"); !version.empty()) {
    with_status["metadata"]["resourceVersion"] = version;
  }
  MELTEMI_ASSIGN_OR_RETURN(ObjectPtr object,
                           config::DecodeObject(std::move(with_status), route.ns));
  MELTEMI_ASSIGN_OR_RETURN(
      object, WriteOne({.verb = Verb::kUpdateStatus, .object = std::move(object)}, is_trial));
  return Written{.object = std::move(object)};
}

StatusOr<ObjectApi::Written> ObjectApi::Patch(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(const PatchKind kind, PatchKindOf(request.Header("content-type")));
  MELTEMI_ASSIGN_OR_RETURN(const bool is_trial, IsTrial(request));
  const bool is_status = route.target == Target::kItemStatus;
  const auto stored = Stored(route);
  if (!stored.ok()) {
    if (kind != PatchKind::kApply || is_status) return stored.status();
    MELTEMI_ASSIGN_OR_RETURN(json patched, ReadPatch(request, kind, json::object()));
    return CreateFrom(std::move(patched), route, is_trial);
  }
  MELTEMI_ASSIGN_OR_RETURN(json patched, ReadPatch(request, kind, *(*stored)->document));
  if (is_status) return WriteStatus(patched, route, is_trial);
  Admission admission(admission_, store_);
  MELTEMI_ASSIGN_OR_RETURN(ObjectPtr object,
                           admission.Admit(std::move(patched), {route.kind, route.ns, route.name}));
  MELTEMI_ASSIGN_OR_RETURN(
      object, WriteOne({.verb = Verb::kUpdate, .object = std::move(object)}, is_trial));
  return Written{.object = std::move(object)};
}

StatusOr<ServiceResponse> ObjectApi::Delete(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(const DeleteRequest wanted, ReadDelete(request));
  MELTEMI_ASSIGN_OR_RETURN(const ObjectPtr stored, Stored(route));
  MELTEMI_ASSIGN_OR_RETURN(std::vector<Write> writes, DeletionOf(stored->key(), store_));
  writes.back().uid = wanted.uid;
  writes.back().resource_version = wanted.resource_version;
  MELTEMI_RETURN_IF_ERROR(writer_->WriteAll(std::move(writes), wanted.is_trial).status());
  return JsonResponse(200, Success(route, stored.get()));
}

StatusOr<ServiceResponse> ObjectApi::DeleteCollection(const Route& route, const Request& request) {
  MELTEMI_ASSIGN_OR_RETURN(const DeleteRequest wanted, ReadDelete(request));
  MELTEMI_ASSIGN_OR_RETURN(
      const Selector selector,
      Selector::Parse(request.Query("labelSelector"), request.Query("fieldSelector")));
  if (route.kind == &config::kinds::kNamespace) {
    return absl::UnimplementedError("namespaces are deleted one by one");
  }
  std::vector<Write> writes;
  for (const ObjectPtr& object : store_.List(route.kind, route.ns).objects) {
    if (!selector.Matches(*object)) continue;
    writes.push_back({.verb = Verb::kDelete, .key = object->key()});
  }
  MELTEMI_RETURN_IF_ERROR(writer_->WriteAll(std::move(writes), wanted.is_trial).status());
  return JsonResponse(200, Success(route, nullptr));
}

StatusOr<ObjectPtr> ObjectApi::WriteOne(Write write, bool is_trial) {
  std::vector<Write> writes;
  writes.push_back(std::move(write));
  MELTEMI_ASSIGN_OR_RETURN(std::vector<ObjectPtr> results,
                           writer_->WriteAll(std::move(writes), is_trial));
  return results.front();
}

}  // namespace meltemi::galley
