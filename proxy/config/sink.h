// SPDX-License-Identifier: Apache-2.0
// Where configuration enters the data path, whatever brought it: a bootstrap file, an xDS stream,
// the agent's own certificates. Control thread only.
//
// The sink validates and compiles; what it accepts is published to the workers as one snapshot at
// Commit. What it refuses stays as it was, and the refusal says which resource and why (it becomes
// the NACK).
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/status.h"
#include "lib/xds/source.h"
#include "proxy/config/config_source.h"

namespace meltemi::proxy {

struct ResourceUpdate {
  std::string name;
  std::string_view message;  // serialized, of the update's type
  std::string version;
};

struct Rejection {
  std::string name;
  std::string reason;
};

// Which named resources accepted configuration now needs, by type (EDS, RDS, SDS), and where they
// are: the subscriptions. Secrets of the bootstrap itself are not among them.
struct Wanted {
  SourcedNames endpoints, routes, secrets;
  bool operator==(const Wanted&) const = default;
};

class ConfigSink {
 public:
  virtual ~ConfigSink() = default;
  // One response of one type. State-of-the-world callers put what vanished into `removed`. Returns
  // what was refused; the rest is taken.
  virtual std::vector<Rejection> Update(xds::Type type, const std::vector<ResourceUpdate>& changed,
                                        const std::vector<std::string>& removed) = 0;
  // Publishes what was taken; `adopted` runs on the control thread once every worker runs on it.
  virtual void Commit(std::function<void()> adopted) = 0;
  virtual Wanted wanted() const = 0;
  // Runs on the control thread when wanted() changed.
  virtual void OnWantedChanged(std::function<void()> changed) = 0;
  // Clusters and listeners all have what they need (initial fetch done): the proxy may say it is
  // ready.
  virtual bool is_warm() const = 0;
};

}  // namespace meltemi::proxy
