// SPDX-License-Identifier: Apache-2.0
// A subscription whose server is a file: a DiscoveryResponse as YAML, JSON or, by the ending .pb,
// protobuf. Looks like any other xDS client. Control thread only.
//
// Read at the start, when names are added, and when something in the watched directory was moved,
// closed after writing, or came: what cannot be read leaves what was there in use and is said once.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "lib/runtime/loop.h"
#include "lib/runtime/path_watch.h"
#include "lib/xds/client.h"
#include "lib/xds/client_wire.h"
#include "proxy/config/config_source.h"

namespace meltemi::proxy {

inline constexpr size_t kDiscoveryFileBytesMax = 64 * 1024 * 1024;

class FileClient final : public xds::Client {
 public:
  // Of one type. `handler` outlives the client.
  FileClient(runtime::Loop& loop, FileSource source, xds::Type type, xds::ClientHandler& handler);

  void Start() override;
  void SubscribeAll(xds::Type type) override;
  void Subscribe(xds::Type type, const std::set<std::string>& names) override;
  bool is_up() const override { return is_up_; }  // the last reading was one
  const xds::ClientCounters& counters() const override { return counters_; }

 private:
  Status Watch();
  void Read();
  Status TryRead();
  void Deliver(xds::WireResponse response);

  const std::shared_ptr<FileClient*> self_ = std::make_shared<FileClient*>(this);
  const FileSource source_;
  const xds::Type type_;
  xds::ClientHandler& handler_;
  runtime::Loop& loop_;
  runtime::Timer
      timer_;  // reads in a pass of its own: subscriptions change while the sink is at work
  std::unique_ptr<runtime::PathWatch> watch_;
  const std::unique_ptr<xds::ClientWire> wire_ = xds::NewSotwWire();
  bool is_whole_ = false;
  std::set<std::string> names_;
  std::set<std::string> given_;  // of a whole type: what disappears is removed
  std::string last_error_;
  xds::ClientCounters counters_;
  bool is_up_ = false;
};

}  // namespace meltemi::proxy
