// SPDX-License-Identifier: Apache-2.0
// Several objects in one transaction: what `meltemi apply` and `meltemi delete` send. Not of
// Kubernetes.
//
//   POST /apis/meltemi.io/v1/apply   {"objects": [OBJECT…]}
//     → {"resourceVersion": "N", "results": [{"kind", "namespace", "name",
//                                             "action": "created|configured|unchanged"}…]}
//   POST /apis/meltemi.io/v1/delete  {"objects": [{apiVersion, kind, metadata{namespace, name}}…]}
//     → the same with "action": "deleted|not found"
//
// All or nothing. An error of an object is a cause with the field "objects[INDEX]"; all are told.
// Namespaces that are missing are made. With ?dryRun=All nothing is stored.
#pragma once

#include "galley/api/admission.h"
#include "galley/store/writable_store.h"
#include "lib/http/service.h"

namespace meltemi::galley {

inline constexpr size_t kBatchObjectsMax = 20'000;
inline constexpr size_t kBatchBytesMax = 64 * 1024 * 1024;

http::ServiceResponse ApplyBatch(const http::ServiceRequest& request, WritableStore& store,
                                 const AdmissionOptions& admission);
http::ServiceResponse DeleteBatch(const http::ServiceRequest& request, WritableStore& store);

}  // namespace meltemi::galley
