// SPDX-License-Identifier: Apache-2.0
// Where a mesh of this user keeps its files, and the lock that says whether it is up. Thread-safe:
// no state but paths.
//
//   <state>/meltemi/<mesh>/  lock  control.sock  mesh.yaml  supervisor.log  meltemid.log  meltemid/
//   (store, keys, api.sock)  pods/<ns>/<pod>/
#pragma once

#include <string>

#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::host {

class StateDirectory final {
 public:
  // Below $XDG_STATE_HOME, or ~/.local/state. Refuses names that are no DNS label.
  static StatusOr<StateDirectory> Of(const std::string& mesh);
  // For tests and for callers that have a folder of their own.
  static StateDirectory At(const std::string& mesh, const std::string& path);

  Status Make() const;
  // The lock, held as long as the descriptor lives (and across fork). AlreadyExists when the mesh
  // is up: the message names the process.
  StatusOr<Fd> Lock() const;
  Status WritePid(const Fd& lock) const;
  // Of the process that holds the lock; 0 = the mesh is not up.
  int LockHolder() const;
  // Removes what a run leaves when it cannot clean up itself: sockets, tokens, files of sandboxes.
  // Requires: the lock.
  void RemoveLeftovers() const;

  // Where the API's socket of this mesh is: in the control plane's folder, or, where that is too
  // long for the kernel, in a folder of this user's own with a short name.
  StatusOr<std::string> ApiSocket() const;

  const std::string& mesh() const { return mesh_; }
  const std::string& path() const { return path_; }
  std::string control_socket() const { return path_ + "/control.sock"; }
  std::string supervisor_log() const { return path_ + "/supervisor.log"; }
  std::string pods() const { return path_ + "/pods"; }

 private:
  StateDirectory(std::string mesh, std::string path)
      : mesh_(std::move(mesh)), path_(std::move(path)) {}

  std::string mesh_;
  std::string path_;
};

}  // namespace meltemi::host
