// SPDX-License-Identifier: Apache-2.0
#include "galley/store/embedded_store.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "galley/store/body.h"
#include "galley/store/uid.h"
#include "lib/config/parse.h"

namespace meltemi::galley {

using config::Event;
using config::EventType;
using config::ObjectKey;
using config::ObjectPtr;
using nlohmann::json;
using Verb = Write::Verb;

namespace {

bool IsDelete(const Write& write) {
  return write.verb == Verb::kDelete || write.verb == Verb::kDeleteIfPresent;
}

Status CheckPreconditions(const config::Object& stored, const std::string& version,
                          const std::string& uid) {
  if (!version.empty() && version != stored.meta.resource_version) {
    return absl::AbortedError(
        fmt::format("{} was changed meanwhile (version {}, not {}); read it again and make the "
                    "change there",
                    stored.key().text(), stored.meta.resource_version, version));
  }
  if (!uid.empty() && uid != stored.meta.uid) {
    return absl::AbortedError(fmt::format("{} is another one than expected (uid {}, not {})",
                                          stored.key().text(), stored.meta.uid, uid));
  }
  return absl::OkStatus();
}

Status CheckSize(const config::Object& object) {
  const size_t bytes = object.document->dump(-1, ' ', false, json::error_handler_t::replace).size();
  if (bytes <= config::kObjectBytesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{} has {} bytes; {} are the limit of an object",
                                                object.key().text(), bytes,
                                                config::kObjectBytesMax));
}

// `document` with the status of `from`, or without any.
json WithStatusOf(json document, const json& from) {
  const auto status = from.find("status");
  if (status == from.end()) {
    document.erase("status");
  } else {
    document["status"] = *status;
  }
  return document;
}

bool HasSameStatus(const json& a, const json& b) {
  const auto in_a = a.find("status"), in_b = b.find("status");
  if (in_a == a.end() || in_b == b.end()) return (in_a == a.end()) == (in_b == b.end());
  return *in_a == *in_b;
}

// The metadata the store answers for are the stored object's, whatever the writer sent.
config::Metadata KeepIdentity(config::Metadata meta, const config::Metadata& stored) {
  meta.uid = stored.uid;
  meta.created = stored.created;
  meta.is_deleting = stored.is_deleting;
  meta.generation = stored.generation;
  meta.resource_version = stored.resource_version;
  return meta;
}

}  // namespace

StatusOr<std::unique_ptr<EmbeddedStore>> EmbeddedStore::Open(runtime::Loop& loop,
                                                             const std::string& state_dir,
                                                             EmbeddedOptions options) {
  MELTEMI_ASSIGN_OR_RETURN(auto file, StoreFile::Open(state_dir, options.bytes_max));
  MELTEMI_ASSIGN_OR_RETURN(StoreFile::Content content, file->Read());
  std::unique_ptr<EmbeddedStore> store(
      new EmbeddedStore(loop, std::move(file), std::move(options)));
  store->table_.Load(content.objects, content.version);
  MELTEMI_RETURN_IF_ERROR(store->MakeNamespaces());
  return store;
}

Status EmbeddedStore::MakeNamespaces() {
  std::vector<Write> writes;
  for (const std::string& name : options_.namespaces) {
    if (Get({&config::kinds::kNamespace, "", name}) != nullptr) continue;
    MELTEMI_ASSIGN_OR_RETURN(
        ObjectPtr object,
        config::DecodeObject(
            {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}}, ""));
    writes.push_back({.verb = Verb::kCreate, .object = std::move(object)});
  }
  return writes.empty() ? absl::OkStatus() : WriteAll(std::move(writes)).status();
}

StatusOr<std::vector<ObjectPtr>> EmbeddedStore::WriteAll(std::vector<Write> writes, bool is_trial) {
  Draft draft{.events = {}, .results = {}, .version = table_.version()};
  std::set<ObjectKey> seen;
  for (const Write& write : writes) {
    const ObjectKey key = IsDelete(write) ? write.key : write.object->key();
    if (!seen.insert(key).second) {
      return absl::InvalidArgumentError(key.text() + " stands twice; remove one of them");
    }
    MELTEMI_RETURN_IF_ERROR(Take(write, draft));
  }
  if (draft.objects_added > 0 &&
      table_.size() + static_cast<size_t>(draft.objects_added) > options_.objects_max) {
    return absl::ResourceExhaustedError(
        fmt::format("the store holds {} objects and {} are its limit\nDelete what is not needed",
                    table_.size(), options_.objects_max));
  }
  if (is_trial || draft.events.empty()) return std::move(draft.results);
  MELTEMI_RETURN_IF_ERROR(file_->Append(draft.events));
  table_.Commit(std::move(draft.events));
  return std::move(draft.results);
}

Status EmbeddedStore::Take(const Write& write, Draft& draft) {
  if (IsDelete(write)) return Remove(write, draft);
  const ObjectPtr stored = Get(write.object->key());
  if (stored == nullptr) {
    if (write.verb == Verb::kCreate || write.verb == Verb::kApply) return Add(write.object, draft);
    return absl::NotFoundError(write.object->key().text() + " does not exist");
  }
  if (write.verb == Verb::kCreate) {
    return absl::AlreadyExistsError(write.object->key().text() + " exists already");
  }
  const config::Metadata& meta = write.object->meta;
  MELTEMI_RETURN_IF_ERROR(CheckPreconditions(*stored, meta.resource_version, meta.uid));
  if (write.verb == Verb::kUpdateStatus) return ReplaceStatus(write.object, stored, draft);
  return Replace(write.object, stored, draft);
}

Status EmbeddedStore::Remove(const Write& write, Draft& draft) {
  ObjectPtr stored = Get(write.key);
  if (stored == nullptr && write.verb == Verb::kDelete) {
    return absl::NotFoundError(write.key.text() + " does not exist");
  }
  if (stored != nullptr) {
    MELTEMI_RETURN_IF_ERROR(CheckPreconditions(*stored, write.resource_version, write.uid));
    draft.events.push_back({EventType::kDeleted, stored, ++draft.version});
    --draft.objects_added;
  }
  draft.results.push_back(std::move(stored));
  return absl::OkStatus();
}

// A status in a new object is kept, unlike Kubernetes, where it takes a second write: it saves the
// host one sync per Pod.
Status EmbeddedStore::Add(const ObjectPtr& object, Draft& draft) {
  config::Metadata meta = object->meta;
  meta.uid = RandomUid();
  meta.created = std::chrono::floor<std::chrono::seconds>(options_.clock->Wall());
  meta.generation = 1;
  meta.is_deleting = false;
  meta.resource_version = std::to_string(++draft.version);
  ObjectPtr added = config::WithMetadata(*object, std::move(meta));
  MELTEMI_RETURN_IF_ERROR(CheckSize(*added));
  draft.events.push_back({EventType::kAdded, added, draft.version});
  draft.results.push_back(std::move(added));
  ++draft.objects_added;
  return absl::OkStatus();
}

Status EmbeddedStore::Replace(const ObjectPtr& object, const ObjectPtr& stored, Draft& draft) {
  ObjectPtr with_status = object;
  if (!HasSameStatus(*object->document, *stored->document)) {
    // Decoded again: the message of a core kind holds its status.
    MELTEMI_ASSIGN_OR_RETURN(
        with_status, config::DecodeObject(WithStatusOf(*object->document, *stored->document),
                                          object->meta.ns, object->source));
  }
  config::Metadata meta = KeepIdentity(object->meta, stored->meta);
  ObjectPtr replaced = config::WithMetadata(*with_status, meta);
  if (*replaced->document == *stored->document) {
    draft.results.push_back(stored);
    return absl::OkStatus();
  }
  if (!IsSameBody(*replaced->document, *stored->document)) ++meta.generation;
  meta.resource_version = std::to_string(++draft.version);
  replaced = config::WithMetadata(*with_status, std::move(meta));
  MELTEMI_RETURN_IF_ERROR(CheckSize(*replaced));
  draft.events.push_back({EventType::kModified, replaced, draft.version});
  draft.results.push_back(std::move(replaced));
  return absl::OkStatus();
}

Status EmbeddedStore::ReplaceStatus(const ObjectPtr& object, const ObjectPtr& stored,
                                    Draft& draft) {
  if (HasSameStatus(*object->document, *stored->document)) {
    draft.results.push_back(stored);
    return absl::OkStatus();
  }
  MELTEMI_ASSIGN_OR_RETURN(ObjectPtr replaced,
                           config::DecodeObject(WithStatusOf(*stored->document, *object->document),
                                                stored->meta.ns, stored->source));
  config::Metadata meta = stored->meta;
  meta.resource_version = std::to_string(++draft.version);
  replaced = config::WithMetadata(*replaced, std::move(meta));
  MELTEMI_RETURN_IF_ERROR(CheckSize(*replaced));
  draft.events.push_back({EventType::kModified, replaced, draft.version});
  draft.results.push_back(std::move(replaced));
  return absl::OkStatus();
}

StatusOr<ObjectPtr> EmbeddedStore::WriteOne(Write write) {
  std::vector<Write> writes;
  writes.push_back(std::move(write));
  MELTEMI_ASSIGN_OR_RETURN(std::vector<ObjectPtr> results, WriteAll(std::move(writes)));
  return results.front();
}

StatusOr<ObjectPtr> EmbeddedStore::Create(ObjectPtr object) {
  return WriteOne({.verb = Verb::kCreate, .object = std::move(object)});
}

StatusOr<ObjectPtr> EmbeddedStore::Update(ObjectPtr object) {
  return WriteOne({.verb = Verb::kUpdate, .object = std::move(object)});
}

StatusOr<ObjectPtr> EmbeddedStore::UpdateStatus(ObjectPtr object) {
  return WriteOne({.verb = Verb::kUpdateStatus, .object = std::move(object)});
}

Status EmbeddedStore::Delete(const ObjectKey& key, const std::string& resource_version) {
  return WriteOne({.verb = Verb::kDelete, .key = key, .resource_version = resource_version})
      .status();
}

}  // namespace meltemi::galley
