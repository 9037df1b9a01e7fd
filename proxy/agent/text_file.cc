// SPDX-License-Identifier: Apache-2.0
#include "proxy/agent/text_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/base/fd.h"

namespace meltemi::proxy {

StatusOr<std::string> ReadTextFile(const std::string& path, const char* purpose) {
  const auto fail = [&](const char* what) {
    return absl::UnavailableError(fmt::format("{} {}: {}", purpose, path, what));
  };
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return fail(std::strerror(errno));
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(std::strerror(errno));
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kTextFileBytesMax) return fail("larger than 1 MiB");
  }
}

StatusOr<std::string> ReadToken(const std::string& path) {
  MELTEMI_ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, "token"));
  constexpr char kSpace[] = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos)
    return absl::UnavailableError(fmt::format("token {}: the file is empty", path));
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  const bool is_visible =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_visible)
    return absl::UnavailableError(fmt::format(
        "token {}: not a token, it has spaces or other bytes a header cannot hold", path));
  return text;
}

}  // namespace meltemi::proxy
