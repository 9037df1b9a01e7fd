// SPDX-License-Identifier: Apache-2.0
// Certificates from files, under the names Istio's agent serves them: "file-cert:CHAIN~KEY",
// "file-root:PATH", "file-root:system". Files that change are read again. Control thread only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "lib/runtime/loop.h"
#include "proxy/config/sink.h"

namespace meltemi::proxy {

struct FileSecret {
  std::string certificate, key;  // key is "" for roots
};
// nullopt: not a name of this kind, or one without paths.
std::optional<FileSecret> ParseFileSecret(std::string_view name);

class FileSecrets final {
 public:
  // `sink` outlives this object.
  FileSecrets(runtime::Loop& loop, ConfigSink& sink);

  // The secrets configuration wants now, of any kind; others than ours are passed over. What is
  // new is read in the loop's next pass: this is called while the sink is at work.
  void Want(const SourcedNames& names);

 private:
  static constexpr Duration kReadAgain = std::chrono::seconds(5);
  void ReadAll();
  // True when the secret is new or different and was given to the sink.
  bool Read(const std::string& name);

  ConfigSink& sink_;
  runtime::Timer timer_;
  std::map<std::string, std::string> given_;   // name -> what was given, to see changes
  std::map<std::string, std::string> failed_;  // name -> reason, said once
};

}  // namespace meltemi::proxy
