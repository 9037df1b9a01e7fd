// SPDX-License-Identifier: Apache-2.0
// The two forms in which xDS is spoken: incremental (only what changed), and state of the world
// (each response is all there is, each request says all names again). One wire serves one client;
// loop-thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/xds/client.h"
#include "lib/xds/client_subscription.h"

namespace meltemi::xds {

struct WireResponse {
  std::string type_url, nonce;
  std::string version;  // of the whole; state of the world only
  ClientUpdate update;  // `type` and `removed` are the caller's where the form does not tell them
  std::vector<ClientRefusal> mismatched;  // resources that are not what the response says
};

class ClientWire {
 public:
  virtual ~ClientWire() = default;
  // Requests, serialized. Ask: the first of a type on a stream, with all names and what is held.
  virtual std::string Ask(Type type, const ClientSubscription& subscription,
                          std::string_view node) const = 0;
  virtual std::string Change(Type type, const ClientSubscription& subscription,
                             const ClientSubscription::Difference& difference) const = 0;
  // `error` is empty for an ACK.
  virtual std::string Acknowledge(Type type, const ClientSubscription& subscription,
                                  const std::string& nonce, const std::string& error) const = 0;
  // The update's views hold until the next call.
  virtual StatusOr<WireResponse> Read(std::string_view message) = 0;
  // A response is everything of a type that is asked for as a whole: what it lacks is gone.
  virtual bool is_whole() const = 0;
};

std::unique_ptr<ClientWire> NewDeltaWire();
std::unique_ptr<ClientWire> NewSotwWire();

// The form's method: of the aggregated service, or of the service of one type.
std::string MethodOf(bool is_incremental, std::optional<Type> only);

}  // namespace meltemi::xds
