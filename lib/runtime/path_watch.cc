// SPDX-License-Identifier: Apache-2.0
#include "lib/runtime/path_watch.h"

#include <sys/inotify.h>

#include <cerrno>
#include <cstring>

namespace meltemi::runtime {
namespace {

// IN_MODIFY as well as IN_CLOSE_WRITE: while a writer is at work, its reader waits.
// IN_ATTRIB: a file made readable, or whose last name went.
constexpr uint32_t kMask = IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM | IN_MOVED_TO |
                           IN_MOVE_SELF | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB;

}  // namespace

StatusOr<std::unique_ptr<PathWatch>> PathWatch::Create(Loop& loop,
                                                       std::function<void()> on_change) {
  Fd fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd.valid()) {
    return absl::ResourceExhaustedError(
        std::string("cannot watch directories: ") + std::strerror(errno) +
        "\nRaise the limit: sysctl -w fs.inotify.max_user_instances=1024");
  }
  std::unique_ptr<PathWatch> watch(new PathWatch(loop, std::move(fd), std::move(on_change)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(watch->fd_.get(), watch.get()));
  return watch;
}

PathWatch::~PathWatch() {
  loop_.Unwatch(fd_.get(), this);
}

StatusOr<PathWatch::Watched*> PathWatch::Register(const std::string& path) {
  const int descriptor = inotify_add_watch(fd_.get(), path.c_str(), kMask);
  if (descriptor < 0 && errno == ENOSPC) {
    return absl::ResourceExhaustedError(
        "cannot watch " + path +
        " for changes\nRaise the limit: sysctl -w fs.inotify.max_user_watches=524288");
  }
  if (descriptor < 0) return absl::ErrnoToStatus(errno, ToAbsl("watching " + path));
  Watched& watched = watched_[descriptor];
  if (watched.round != round_) watched = {.round = round_, .is_whole = false, .names = {}};
  return &watched;
}

Status PathWatch::Add(const std::string& path) {
  MELTEMI_ASSIGN_OR_RETURN(Watched * watched, Register(path));
  watched->is_whole = true;
  return absl::OkStatus();
}

Status PathWatch::AddEntry(const std::string& directory, const std::string& name) {
  MELTEMI_ASSIGN_OR_RETURN(Watched * watched, Register(directory));
  watched->names.insert(name);
  return absl::OkStatus();
}

void PathWatch::Finish() {
  for (auto at = watched_.begin(); at != watched_.end();) {
    if (at->second.round == round_) {
      ++at;
      continue;
    }
    inotify_rm_watch(fd_.get(), at->first);
    at = watched_.erase(at);
  }
}

bool PathWatch::IsOfInterest(int descriptor, uint32_t mask, const char* name) {
  if ((mask & IN_Q_OVERFLOW) != 0) return true;  // events were lost: anything may have changed
  const auto at = watched_.find(descriptor);
  if (at == watched_.end()) return false;
  if ((mask & IN_IGNORED) != 0) {
    watched_.erase(at);
    return true;
  }
  return at->second.is_whole || at->second.names.contains(name);
}

void PathWatch::OnReady(Ready ready) {
  if (!ready.readable) return;
  bool has_changed = false;
  alignas(inotify_event) char buffer[16 * 1024];
  while (true) {
    const ssize_t got = read(fd_.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      const char* name = event->len > 0 ? event->name : "";
      has_changed = IsOfInterest(event->wd, event->mask, name) || has_changed;
      at += sizeof(inotify_event) + event->len;
    }
  }
  if (has_changed) on_change_();
}

}  // namespace meltemi::runtime
