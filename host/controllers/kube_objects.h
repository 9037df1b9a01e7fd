// SPDX-License-Identifier: Apache-2.0
// Objects over the control plane's API. Loop thread only.
//
// Writes are gathered: what was put since the last batch goes out in one, and only one batch is
// under way. Invariants:
//  1. Of two writes of one object the later one holds in the end.
//  2. A write that failed is tried again, waiting 0.1 s to 5 s, until it holds or is replaced.
//  3. An object that the API refuses does not keep others from being written.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/controllers/objects.h"
#include "lib/base/status.h"
#include "lib/kube/client.h"
#include "lib/kube/watcher.h"

namespace meltemi::host {

class KubeObjects final : public Objects {
 public:
  // `api_address` is as in the mesh's status: "unix:/path" or "127.0.0.1:1234".
  static StatusOr<std::unique_ptr<Objects>> Open(runtime::Loop& loop,
                                                 const std::string& api_address);
  KubeObjects(runtime::Loop& loop, const net::Address& api);

  void Watch(const std::string& kind, OnChanges on_changes) override;
  void Put(const Json& object) override;
  void Delete(const std::string& kind, const std::string& ns, const std::string& name) override;

  // How many writes do not hold yet.
  size_t unwritten() const { return pending_.size() + in_flight_.size(); }

 private:
  struct Write {
    Json object;  // for a deletion its apiVersion, kind and metadata
    bool is_delete = false;
    bool is_alone = false;  // refused in company: which one was it?
    int failures = 0;
    uint64_t order = 0;
    MonotonicTime not_before{};
  };
  using Writes = std::map<std::string, Write>;  // by "Kind namespace/name"

  void Enqueue(const std::string& key, Write write);
  void Flush();
  std::vector<Json> Sorted(bool is_delete) const;
  void SendDeletes();
  void SendPuts();
  void SendStatuses();
  void OnStatus(std::string key, const Status& status);
  void EndBatch(const Status& status);
  void Fail(const std::string& key, Write write, const Status& status);

  runtime::Loop& loop_;
  kube::Client client_;
  std::vector<std::unique_ptr<kube::Watcher>> watchers_;
  Writes pending_;
  Writes in_flight_;
  uint64_t next_order_ = 0;
  kube::Client::Call call_;
  std::map<std::string, kube::Client::Call> status_calls_;
  runtime::Timer timer_;
};

// A token for a service account of the mesh, from its API; blocks for `wait_max` at most. An
// account that is missing is made: a plain host has no controller that gives a namespace its own.
StatusOr<std::string> RequestToken(const std::string& api_address, const std::string& ns,
                                   const std::string& service_account,
                                   Duration wait_max = std::chrono::seconds(5));

// Deletes what users and controllers made in an earlier run of a mesh: every object but namespaces,
// nodes, service accounts, and what the control plane itself keeps in its namespace. Blocks.
Status DeleteEarlierObjects(const std::string& api_address,
                            Duration wait_max = std::chrono::seconds(10));

}  // namespace meltemi::host
