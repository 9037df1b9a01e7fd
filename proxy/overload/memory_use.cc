// SPDX-License-Identifier: Apache-2.0
#include "proxy/overload/memory_use.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "lib/base/fd.h"

namespace meltemi::proxy {
namespace {

std::optional<uint64_t> NumberIn(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<uint64_t> NumberInFile(const std::string& path) {
  const auto text = ReadSmallFile(path);
  return text ? NumberIn(*text) : std::nullopt;
}

}  // namespace

std::optional<std::string> ReadSmallFile(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  char bytes[8192];
  const ssize_t count = ::read(file.get(), bytes, sizeof bytes);
  if (count < 0) return std::nullopt;
  return std::string(bytes, static_cast<size_t>(count));
}

// proc(5): pages of "size resident shared …"; what is shared is backed by files.
std::optional<uint64_t> AnonymousMemory() {
  const auto text = ReadSmallFile("/proc/self/statm");
  if (!text) return std::nullopt;
  const size_t resident_at = text->find(' ');
  const size_t shared_at = text->find(' ', resident_at + 1);
  if (resident_at == std::string::npos || shared_at == std::string::npos) return std::nullopt;
  const auto resident = NumberIn(std::string_view(*text).substr(resident_at + 1));
  const auto shared = NumberIn(std::string_view(*text).substr(shared_at + 1));
  if (!resident || !shared || *shared > *resident) return std::nullopt;
  return (*resident - *shared) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

namespace {

// Cached bytes of files that the kernel drops as soon as somebody wants their place: a group that
// has read a large file is not short of memory.
uint64_t DroppableBytes(const std::string& path, std::string_view key) {
  const auto text = ReadSmallFile(path);
  if (!text) return 0;
  const size_t at = text->find(key);
  if (at == std::string::npos) return 0;
  return NumberIn(std::string_view(*text).substr(at + key.size())).value_or(0);
}

}  // namespace

std::optional<GroupMemory> ControlGroupMemory() {
  GroupMemory memory;
  if (const auto used = NumberInFile("/sys/fs/cgroup/memory.current")) {
    memory.used =
        *used - std::min(*used, DroppableBytes("/sys/fs/cgroup/memory.stat", "\ninactive_file "));
    memory.limit = NumberInFile("/sys/fs/cgroup/memory.max").value_or(0);  // "max" is no number
    return memory;
  }
  const std::string first = "/sys/fs/cgroup/memory/memory.";
  const auto used = NumberInFile(first + "usage_in_bytes");
  if (!used) return std::nullopt;
  memory.used = *used - std::min(*used, DroppableBytes(first + "stat", "\ntotal_inactive_file "));
  const uint64_t limit = NumberInFile(first + "limit_in_bytes").value_or(0);
  constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // version 1 says so with a huge number
  memory.limit = limit >= kNoLimit ? 0 : limit;
  return memory;
}

}  // namespace meltemi::proxy
