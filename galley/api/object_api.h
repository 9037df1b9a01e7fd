// SPDX-License-Identifier: Apache-2.0
// The verbs on objects: get, list, create, update, patch, delete, one object or a collection.
// Loop-thread only. Watches are in watch.h.
//
// Invariants:
//  1. Nothing is stored that did not pass admission, and nothing that was admitted for another
//     place than the path names.
//  2. dryRun=All goes the same way up to the disk.
#pragma once

#include <string>
#include <vector>

#include "galley/api/admission.h"
#include "galley/api/routes.h"
#include "galley/store/writable_store.h"
#include "lib/http/service.h"

namespace meltemi::galley {

class ObjectApi final {
 public:
  // `writer` is `store` itself, or nullptr when it is read-only.
  ObjectApi(config::Store& store, WritableStore* writer, const AdmissionOptions& admission)
      : store_(store), writer_(writer), admission_(admission) {}

  // Requires: a route to kCollection, kItem or kItemStatus; not a watch.
  http::ServiceResponse Handle(const Route& route, const http::ServiceRequest& request);

 private:
  using Request = http::ServiceRequest;
  struct Written {
    config::ObjectPtr object;
    int code = 200;
  };

  // `name` is the object's, for the words of an error: a new object's stands in the body.
  StatusOr<http::ServiceResponse> Dispatch(const Route& route, const Request& request,
                                           std::string& name);
  StatusOr<http::ServiceResponse> List(const Route& route, const Request& request);
  StatusOr<http::ServiceResponse> DeleteCollection(const Route& route, const Request& request);
  StatusOr<http::ServiceResponse> Delete(const Route& route, const Request& request);
  StatusOr<Written> Create(const Route& route, const Request& request, std::string& name);
  StatusOr<Written> Replace(const Route& route, const Request& request);
  StatusOr<Written> ReplaceStatus(const Route& route, const Request& request);
  StatusOr<Written> Patch(const Route& route, const Request& request);

  StatusOr<config::ObjectPtr> Stored(const Route& route) const;
  StatusOr<Written> CreateFrom(nlohmann::json document, const Route& route, bool is_trial);
  StatusOr<Written> WriteStatus(const nlohmann::json& document, const Route& route, bool is_trial);
  StatusOr<config::ObjectPtr> WriteOne(Write write, bool is_trial);

  config::Store& store_;
  WritableStore* const writer_;
  const AdmissionOptions& admission_;
};

// From ?dryRun=: whether nothing is to be stored.
StatusOr<bool> IsTrial(const http::ServiceRequest& request);
// NotFound unless `ns` is "" or a Namespace.
Status CheckNamespace(const config::Store& store, const std::string& ns);
Status RefuseReadOnly();

}  // namespace meltemi::galley
