// SPDX-License-Identifier: Apache-2.0
#include "galley/api/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "galley/api/deletion.h"
#include "galley/api/errors.h"
#include "galley/api/json_fields.h"
#include "galley/api/object_api.h"
#include "galley/api/request_body.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using config::ObjectKey;
using config::ObjectPtr;
using http::ServiceRequest;
using http::ServiceResponse;
using nlohmann::json;
using Verb = Write::Verb;

StatusOr<json> ReadObjects(const ServiceRequest& request) {
  if (request.method != "POST") return absl::UnimplementedError("batches are sent with POST");
  MELTEMI_ASSIGN_OR_RETURN(json body, ReadBody(request, kBatchBytesMax));
  if (!body.is_object() || !body.contains("objects") || !body["objects"].is_array()) {
    return BadRequest("the body must be {\"objects\": [...]}");
  }
  if (body["objects"].size() > kBatchObjectsMax) {
    return TooLarge(fmt::format("{} objects; {} are the limit of a batch; send several",
                                body["objects"].size(), kBatchObjectsMax));
  }
  return std::move(body["objects"]);
}

// "VirtualService default/reviews", as far as the document says.
std::string Describe(const json& document) {
  const json& metadata = ObjectAt(document, "metadata");
  const std::string ns = TextAt(metadata, "namespace");
  return fmt::format("{} {}{}{}", TextAt(document, "kind"), ns, ns.empty() ? "" : "/",
                     TextAt(metadata, "name"));
}

// The problems of a batch, each with its object.
class Problems {
 public:
  void Add(size_t index, const json& document, const Status& status) {
    ++count_;
    if (causes_.size() >= config::kProblemsMax) return;
    const std::string message = fmt::format("{}: {}", Describe(document), Message(status));
    text_ += (text_.empty() ? "" : "\n") + message;
    causes_.push_back({{"reason", "FieldValueInvalid"},
                       {"message", message},
                       {"field", fmt::format("objects[{}]", index)}});
  }
  bool empty() const { return count_ == 0; }
  ServiceResponse Response() const {
    std::string text = text_;
    if (count_ > causes_.size()) {
      text += fmt::format("\nand {} objects more", count_ - causes_.size());
    }
    return ErrorResponse(absl::InvalidArgumentError(text), {.causes = causes_});
  }

 private:
  size_t count_ = 0;
  std::string text_;
  json causes_ = json::array();
};

json Result(const ObjectKey& key, const char* action) {
  return {{"kind", key.kind->kind}, {"namespace", key.ns}, {"name", key.name}, {"action", action}};
}

ServiceResponse Answer(const WritableStore& store, json results) {
  return JsonResponse(200, json{{"resourceVersion", std::to_string(store.version())},
                                {"results", std::move(results)}});
}

// Creations of the namespaces that neither the store nor the batch has.
StatusOr<std::vector<Write>> MissingNamespaces(const std::vector<ObjectPtr>& objects,
                                               const config::Store& store) {
  std::set<std::string> present, wanted;
  for (const ObjectPtr& object : objects) {
    if (object->kind == &config::kinds::kNamespace) present.insert(object->meta.name);
    if (!object->meta.ns.empty()) wanted.insert(object->meta.ns);
  }
  std::vector<Write> writes;
  for (const std::string& ns : wanted) {
    if (present.contains(ns) || CheckNamespace(store, ns).ok()) continue;
    MELTEMI_ASSIGN_OR_RETURN(
        ObjectPtr made,
        config::DecodeObject(
            {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}}, ""));
    writes.push_back({.verb = Verb::kCreate, .object = std::move(made)});
  }
  return writes;
}

StatusOr<json> WriteObjects(std::vector<ObjectPtr> objects, WritableStore& store, bool is_trial) {
  MELTEMI_ASSIGN_OR_RETURN(std::vector<Write> writes, MissingNamespaces(objects, store));
  const size_t namespaces = writes.size();
  std::vector<ObjectPtr> before;
  for (ObjectPtr& object : objects) {
    before.push_back(store.Get(object->key()));
    writes.push_back({.verb = Verb::kApply, .object = std::move(object)});
  }
  MELTEMI_ASSIGN_OR_RETURN(const std::vector<ObjectPtr> stored,
                           store.WriteAll(std::move(writes), is_trial));
  json results = json::array();
  for (size_t i = 0; i < before.size(); ++i) {
    const ObjectPtr& after = stored[namespaces + i];
    results.push_back(Result(after->key(), before[i] == nullptr ? "created"
                                           : before[i] == after ? "unchanged"
                                                                : "configured"));
  }
  return results;
}

StatusOr<ObjectKey> KeyOf(const json& document) {
  const config::Kind* kind =
      config::FindKind(TextAt(document, "apiVersion"), TextAt(document, "kind"));
  if (kind == nullptr) {
    return absl::InvalidArgumentError(fmt::format(
        "unknown kind {} {}", TextAt(document, "apiVersion"), TextAt(document, "kind")));
  }
  const json& metadata = ObjectAt(document, "metadata");
  ObjectKey key{kind, kind->is_namespaced ? TextAt(metadata, "namespace") : "",
                TextAt(metadata, "name")};
  if (kind->is_namespaced && key.ns.empty()) key.ns = "default";
  if (key.name.empty()) return absl::InvalidArgumentError("metadata.name: is missing");
  return key;
}

// What the namespaces among the deletions hold.
Status AddWhatIsInside(std::vector<Write>& writes, const config::Store& store) {
  std::set<ObjectKey> named;
  for (const Write& write : writes) named.insert(write.key);
  for (size_t i = 0, count = writes.size(); i < count; ++i) {
    const ObjectKey key = writes[i].key;
    if (key.kind != &config::kinds::kNamespace || store.Get(key) == nullptr) continue;
    MELTEMI_ASSIGN_OR_RETURN(std::vector<Write> inside, DeletionOf(key, store));
    for (Write& write : inside) {
      if (named.insert(write.key).second) writes.push_back(std::move(write));
    }
  }
  return absl::OkStatus();
}

}  // namespace

ServiceResponse ApplyBatch(const ServiceRequest& request, WritableStore& store,
                           const AdmissionOptions& options) {
  const auto is_trial = IsTrial(request);
  if (!is_trial.ok()) return ErrorResponse(is_trial.status());
  auto documents = ReadObjects(request);
  if (!documents.ok()) return ErrorResponse(documents.status());
  Admission admission(options, store);
  Problems problems;
  std::vector<ObjectPtr> objects;
  for (size_t i = 0; i < documents->size(); ++i) {
    json document = std::move((*documents)[i]);
    // A user applies what is wanted; what is belongs to controllers.
    if (document.is_object()) document.erase("status");
    auto object = admission.Admit(document, {});
    if (object.ok()) {
      objects.push_back(*std::move(object));
    } else {
      problems.Add(i, document, object.status());
    }
  }
  if (!problems.empty()) return problems.Response();
  auto results = WriteObjects(std::move(objects), store, *is_trial);
  if (!results.ok()) return ErrorResponse(results.status());
  return Answer(store, *std::move(results));
}

ServiceResponse DeleteBatch(const ServiceRequest& request, WritableStore& store) {
  const auto is_trial = IsTrial(request);
  if (!is_trial.ok()) return ErrorResponse(is_trial.status());
  const auto documents = ReadObjects(request);
  if (!documents.ok()) return ErrorResponse(documents.status());
  Problems problems;
  std::vector<Write> writes;
  for (size_t i = 0; i < documents->size(); ++i) {
    const auto key = KeyOf((*documents)[i]);
    if (key.ok()) {
      writes.push_back({.verb = Verb::kDeleteIfPresent, .key = *key});
    } else {
      problems.Add(i, (*documents)[i], key.status());
    }
  }
  if (!problems.empty()) return problems.Response();
  const std::vector<Write> wanted = writes;
  if (const Status status = AddWhatIsInside(writes, store); !status.ok()) {
    return ErrorResponse(status);
  }
  const auto deleted = store.WriteAll(std::move(writes), *is_trial);
  if (!deleted.ok()) return ErrorResponse(deleted.status());
  json results = json::array();
  for (size_t i = 0; i < wanted.size(); ++i) {
    results.push_back(Result(wanted[i].key, (*deleted)[i] != nullptr ? "deleted" : "not found"));
  }
  return Answer(store, std::move(results));
}

}  // namespace meltemi::galley
