// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/worker_http.h"

#include <utility>

#include "proxy/config/snapshot.h"
#include "proxy/http/exchange.h"

namespace meltemi::proxy {

WorkerHttp::WorkerHttp(Worker& worker)
    : worker_(worker), exchanges_(http::ServerSpares::kKeptMax) {}

WorkerHttp::~WorkerHttp() = default;

std::unique_ptr<Exchange> WorkerHttp::TakeExchange() {
  std::unique_ptr<Exchange> kept = exchanges_.Take();
  return kept != nullptr ? std::move(kept) : std::make_unique<Exchange>(worker_);
}

void WorkerHttp::GiveExchange(std::unique_ptr<Exchange> exchange) {
  std::unique_ptr<Exchange> left = exchanges_.Give(std::move(exchange));
  if (left != nullptr) worker_.loop().DeferDelete(std::shared_ptr<void>(std::move(left)));
}

const std::shared_ptr<const RoutePin>& WorkerHttp::PinOf(const HttpOptions& options) {
  std::shared_ptr<const RoutePin>& kept = pins_[&options];
  if (kept != nullptr) return kept;
  auto pin = std::make_shared<RoutePin>();
  pin->snapshot = worker_.snapshot();
  if (options.inline_routes != nullptr) {
    pin->routes = options.inline_routes;
  } else if (pin->snapshot != nullptr && options.rds < pin->snapshot->routes.size()) {
    pin->routes = std::static_pointer_cast<const HttpRoutes>(pin->snapshot->routes[options.rds]);
  }
  kept = std::move(pin);
  return kept;
}

}  // namespace meltemi::proxy
