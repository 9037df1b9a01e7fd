// SPDX-License-Identifier: Apache-2.0
// A client of the Kubernetes-shaped API: the embedded one over its Unix socket, or a cluster's over
// TLS. Loop thread only; outlives its calls.
//
// Each request has a connection of its own. Errors are statuses as status.h says; Unavailable and
// DeadlineExceeded when nothing answered.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/config/kind.h"
#include "lib/http/service.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"
#include "lib/tls/context.h"

namespace meltemi::kube {

using Json = nlohmann::json;

struct ClientOptions {
  net::Address address;
  std::string authority = {};   // Host header; "" = the address
  std::string token_file = {};  // bearer token, read anew for each request; "" = none
  std::shared_ptr<const tls::ClientContext> tls = {};
  Duration timeout = std::chrono::seconds(30);
  size_t body_bytes_max = 64 * 1024 * 1024;
};

// "/api/v1/namespaces/NS/pods/NAME"; an empty namespace or name is left out.
std::string PathOf(const config::Kind& kind, const std::string& ns, const std::string& name = "");
// For one segment of a path, or one value of a query.
std::string PercentEncoded(std::string_view text);

class Client final {
 public:
  // Destroying a call cancels it; its answer comes from the loop, once.
  using Call = std::unique_ptr<http::ClientCall>;
  using Answer = std::function<void(StatusOr<Json>)>;

  Client(runtime::Loop& loop, ClientOptions options) : loop_(loop), options_(std::move(options)) {}

  Call Get(const config::Kind& kind, const std::string& ns, const std::string& name, Answer done);
  // ns "" = every namespace. The answer is the List object.
  Call List(const config::Kind& kind, const std::string& ns, Answer done);
  // The kind and the namespace are the object's own.
  Call Create(const config::Kind& kind, const Json& object, Answer done);
  Call Update(const config::Kind& kind, const Json& object, Answer done);
  Call UpdateStatus(const config::Kind& kind, const Json& object, Answer done);
  // RFC 7396 merge patch.
  Call Patch(const config::Kind& kind, const std::string& ns, const std::string& name,
             const Json& patch, Answer done);
  Call Delete(const config::Kind& kind, const std::string& ns, const std::string& name,
              Answer done);

  // The embedded API's own: all of them or none, in one transaction.
  Call ApplyAll(const std::vector<Json>& objects, Answer done);
  Call DeleteAll(const std::vector<Json>& objects, Answer done);
  // TokenRequest; the answer's status.token is the token.
  Call RequestToken(const std::string& ns, const std::string& service_account,
                    const std::string& audience, Duration lifetime, Answer done);

  // Any request; `content_type` counts when there is a body.
  Call Send(const std::string& method, const std::string& path, std::string body, Answer done,
            const std::string& content_type = "application/json");
  // An answer without end; `timeout` zero = none.
  Call Stream(const std::string& path, http::StreamHandlers handlers, Duration timeout);

  runtime::Loop& loop() { return loop_; }

 private:
  StatusOr<http::ClientRequest> Request(const std::string& method, const std::string& path) const;

  runtime::Loop& loop_;
  const ClientOptions options_;
};

// The fields of metadata a client needs; "" when absent or not text.
std::string MetadataOf(const Json& object, const char* field);

}  // namespace meltemi::kube
