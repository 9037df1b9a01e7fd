// SPDX-License-Identifier: Apache-2.0
// The admin endpoint (port 15000): Envoy's paths, answered from the control thread. It only reads,
// except for the POST paths that drain or quit. Never reachable from outside the machine by
// default.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/base/status.h"
#include "lib/http/service.h"
#include "lib/net/address.h"
#include "lib/runtime/loop.h"

namespace meltemi::proxy {

// What the pages show; each runs on the control thread when its page is asked for.
struct AdminSources {
  // Envoy's ConfigDump as JSON; `resource` and `name_regex` are the query's filters, "" = all.
  std::function<std::string(const std::string& resource, const std::string& name_regex)>
      config_dump;
  std::function<std::string()> clusters_text;
  std::function<std::string()> clusters_json;
  std::function<std::string()> listeners_text;
  std::function<std::string()> listeners_json;
  std::function<std::string()> certs_json;
  std::function<std::string()> stats_text;        // "name: value" lines
  std::function<std::string()> stats_prometheus;  // text exposition 0.0.4
  std::function<std::string()> server_info;       // Envoy's ServerInfo as JSON
  std::function<bool()> is_ready;
  std::function<std::string()> state;  // "LIVE", "DRAINING", "PRE_INITIALIZING", "INITIALIZING"
  std::function<void()> drain_listeners;
  std::function<void(bool is_failed)> fail_health_check;
  std::function<void()> quit;
};

class Admin {
 public:
  static StatusOr<std::unique_ptr<Admin>> Listen(runtime::Loop& loop, const net::Address& address,
                                                 AdminSources sources);
  virtual ~Admin() = default;
  virtual const net::Address& address() const = 0;
};

}  // namespace meltemi::proxy
