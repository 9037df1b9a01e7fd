// SPDX-License-Identifier: Apache-2.0
// What the HTTP connections of one worker share, so that an idle one is small: exchanges and codec
// memory of ended requests, the date, the routes that new requests begin with. Worker-local;
// outlives the connections, and goes before the upstreams.
#pragma once

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "lib/base/spares.h"
#include "lib/http/server_spares.h"
#include "proxy/http/http_date.h"
#include "proxy/http/http_options.h"
#include "proxy/worker.h"

namespace meltemi::proxy {

class Exchange;
struct RoutePin;

class WorkerHttp final {
 public:
  explicit WorkerHttp(Worker& worker);
  ~WorkerHttp();
  WorkerHttp(const WorkerHttp&) = delete;
  WorkerHttp& operator=(const WorkerHttp&) = delete;

  // A new snapshot holds from now on.
  void OnAdopted() { pins_.clear(); }

  std::unique_ptr<Exchange> TakeExchange();
  // From inside the exchange, as the last thing it does.
  void GiveExchange(std::unique_ptr<Exchange> exchange);
  http::ServerSpares& codec_spares() { return codec_spares_; }
  HttpDate& date() { return date_; }
  // Of the present snapshot; the reference is good until the next call.
  const std::shared_ptr<const RoutePin>& PinOf(const HttpOptions& options);

 private:
  Worker& worker_;
  Spares<Exchange> exchanges_;
  http::ServerSpares codec_spares_;
  HttpDate date_;
  // Options that are gone are met by no request before the next snapshot clears the table.
  absl::flat_hash_map<const HttpOptions*, std::shared_ptr<const RoutePin>> pins_;
};

}  // namespace meltemi::proxy
