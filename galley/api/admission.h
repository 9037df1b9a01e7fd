// SPDX-License-Identifier: Apache-2.0
// What a document goes through before it is stored: it is held against the path of the request,
// defaults are filled in, it is decoded, and judged.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "galley/api/cluster_ips.h"
#include "lib/base/status.h"
#include "lib/config/store.h"

namespace meltemi::galley {

// A refusal's message goes to the writer, as 422.
using Judge = std::function<Status(const config::Object&)>;

struct AdmissionOptions {
  Judge judge = {};
  ServiceRange service_range = {};
};

// Where the request says the object is; empty parts are the document's to say.
struct Place {
  const config::Kind* kind = nullptr;
  std::string ns = {};
  std::string name = {};
};

// For the writes of one request.
class Admission final {
 public:
  Admission(const AdmissionOptions& options, const config::Store& store)
      : options_(options), store_(store), cluster_ips_(options.service_range, store) {}

  // 400 when the document contradicts the place; InvalidArgument for what is wrong in it.
  StatusOr<config::ObjectPtr> Admit(nlohmann::json document, const Place& place);

 private:
  const AdmissionOptions& options_;
  const config::Store& store_;
  ClusterIps cluster_ips_;
};

}  // namespace meltemi::galley
