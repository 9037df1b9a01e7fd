// SPDX-License-Identifier: Apache-2.0
#include "cli/fetch.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "lib/runtime/loop.h"

namespace meltemi::cli {

StatusOr<http::ClientResponse> FetchBlocking(const net::Address& to, http::ClientRequest request,
                                             Duration timeout) {
  MELTEMI_ASSIGN_OR_RETURN(std::unique_ptr<runtime::Loop> loop, runtime::Loop::Create());
  std::optional<StatusOr<http::ClientResponse>> answer;
  http::ClientOptions options;
  options.timeout = timeout;
  const auto call = http::Fetch(
      *loop, to, std::move(request),
      [&](StatusOr<http::ClientResponse> response) {
        answer = std::move(response);
        loop->Stop();
      },
      options);
  if (!answer) loop->Run();
  if (!answer) return absl::InternalError("the request ended without an answer");
  return *std::move(answer);
}

StatusOr<std::string> Get(const net::Address& to, const std::string& path, Duration timeout) {
  http::ClientRequest request;
  request.path = path;
  request.authority = to.is_ip() ? to.text() : "localhost";
  MELTEMI_ASSIGN_OR_RETURN(http::ClientResponse response,
                           FetchBlocking(to, std::move(request), timeout));
  if (response.status != 200) {
    return absl::UnavailableError(fmt::format("GET {}{} answered {}: {}", to.text(), path,
                                              response.status, response.body.substr(0, 500)));
  }
  return std::move(response.body);
}

}  // namespace meltemi::cli
