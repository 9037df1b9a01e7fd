// SPDX-License-Identifier: Apache-2.0
// The Kubernetes-shaped REST API over a store: plain kubectl works against it, and `meltemi` too.
// Loop-thread only; the store outlives it.
//
// Who may: everyone who can open the Unix socket (mode 0600); on TCP, who has the bearer token.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "galley/api/admission.h"
#include "galley/api/object_api.h"
#include "galley/api/token.h"
#include "galley/api/watch.h"
#include "galley/store/writable_store.h"
#include "lib/http/service.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::galley {

struct ApiOptions {
  std::vector<net::Address> addresses = {};  // port 0 picks one; a Unix path is made and removed
  std::string bearer_token = {};             // asked for on TCP; "" = none is asked for
  std::shared_ptr<const tls::ServerContext> tls = {};  // on TCP; plain when absent
  std::string service_range = "10.96.0.0/12";
  Judge judge = {};
  TokenIssuer token_issuer = {};
};

class Api final {
 public:
  // `writer` is `store` itself, or nullptr when the store is read-only.
  static StatusOr<std::unique_ptr<Api>> Start(runtime::Loop& loop, config::Store& store,
                                              WritableStore* writer, ApiOptions options);
  ~Api();
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // In the order of the options, with the real ports.
  const std::vector<net::Address>& addresses() const { return addresses_; }
  size_t watches() const { return watches_.size(); }

 private:
  Api(runtime::Loop& loop, config::Store& store, WritableStore* writer, ApiOptions options,
      const ServiceRange& range);
  Status Listen(const net::Address& address);
  void Handle(bool needs_token, http::ServiceRequest request,
              std::shared_ptr<http::Responder> responder);
  http::ServiceResponse Answer(const Route& route, const http::ServiceRequest& request);

  runtime::Loop& loop_;
  config::Store& store_;
  WritableStore* const writer_;
  const ApiOptions options_;
  const AdmissionOptions admission_;
  ObjectApi objects_;
  WatchStreams watches_;
  std::vector<net::Address> addresses_;
  // Last: they end first, and tell the watches.
  std::vector<std::unique_ptr<http::Service>> services_;
};

}  // namespace meltemi::galley
