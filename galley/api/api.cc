// SPDX-License-Identifier: Apache-2.0
#include "galley/api/api.h"

#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "galley/api/batch.h"
#include "galley/api/discovery.h"
#include "galley/api/errors.h"
#include "galley/store/uid.h"

namespace meltemi::galley {
namespace {

using http::ServiceRequest;
using http::ServiceResponse;

// Lists are sent whole; a client reads at its own pace. Beyond this a watch is cut, and its client
// goes on from the last version it saw.
constexpr size_t kStreamBacklogBytesMax = 64 * 1024 * 1024;

// Hashed first, so that neither content nor length shows in the time it takes.
bool IsSameSecret(const std::string& a, const std::string& b) {
  const std::string hash_a = Sha256Hex(a), hash_b = Sha256Hex(b);
  return CRYPTO_memcmp(hash_a.data(), hash_b.data(), hash_a.size()) == 0;
}

bool HasToken(const ServiceRequest& request, const std::string& token) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string header = request.Header("authorization");
  return header.starts_with(kScheme) && IsSameSecret(header.substr(kScheme.size()), token);
}

// The path of a Unix socket in the file system, or "".
std::string SocketPath(const net::Address& address) {
  if (address.family() != AF_UNIX) return "";
  const std::string path = address.text().substr(5);  // after "unix:"
  return path.starts_with('@') ? "" : path;
}

bool IsWatch(const Route& route, const ServiceRequest& request) {
  const std::string value = request.Query("watch");
  return route.target == Target::kCollection && request.method == "GET" &&
         (value == "true" || value == "1");
}

}  // namespace

StatusOr<std::unique_ptr<Api>> Api::Start(runtime::Loop& loop, config::Store& store,
                                          WritableStore* writer, ApiOptions options) {
  MELTEMI_ASSIGN_OR_RETURN(const ServiceRange range, ServiceRange::Parse(options.service_range));
  std::unique_ptr<Api> api(new Api(loop, store, writer, std::move(options), range));
  for (const net::Address& address : api->options_.addresses) {
    MELTEMI_RETURN_IF_ERROR(api->Listen(address));
  }
  return api;
}

Api::Api(runtime::Loop& loop, config::Store& store, WritableStore* writer, ApiOptions options,
         const ServiceRange& range)
    : loop_(loop),
      store_(store),
      writer_(writer),
      options_(std::move(options)),
      admission_{.judge = options_.judge, .service_range = range},
      objects_(store, writer, admission_),
      watches_(loop, store) {}

Api::~Api() {
  for (const net::Address& address : addresses_) {
    if (const std::string path = SocketPath(address); !path.empty()) unlink(path.c_str());
  }
}

Status Api::Listen(const net::Address& address) {
  const bool is_tcp = address.is_ip();
  const bool needs_token = is_tcp && !options_.bearer_token.empty();
  // The socket has its mode from the first moment: a change afterwards would leave a gap.
  const mode_t mask = umask(0177);
  auto service = http::Service::Listen(
      loop_, address,
      [this, needs_token](ServiceRequest request, std::shared_ptr<http::Responder> responder) {
        Handle(needs_token, std::move(request), std::move(responder));
      },
      {.body_bytes_max = kBatchBytesMax,
       .stream_backlog_bytes_max = kStreamBacklogBytesMax,
       .tls = is_tcp ? options_.tls : nullptr});
  umask(mask);
  MELTEMI_RETURN_IF_ERROR(service.status());
  addresses_.push_back((*service)->address());
  services_.push_back(*std::move(service));
  return absl::OkStatus();
}

void Api::Handle(bool needs_token, ServiceRequest request,
                 std::shared_ptr<http::Responder> responder) {
  const auto route = ParseRoute(request.path);
  const bool is_open = route.ok() && route->target == Target::kHealth;
  if (needs_token && !is_open && !HasToken(request, options_.bearer_token)) {
    return responder->Send(
        ErrorResponse(absl::UnauthenticatedError("Unauthorized: send the bearer token")));
  }
  if (!route.ok()) return responder->Send(ErrorResponse(route.status()));
  if (IsWatch(*route, request)) return watches_.Start(*route, request, std::move(responder));
  responder->Send(Answer(*route, request));
}

ServiceResponse Api::Answer(const Route& route, const ServiceRequest& request) {
  switch (route.target) {
    case Target::kHealth:
      return {.body = "ok"};
    case Target::kCollection:
    case Target::kItem:
    case Target::kItemStatus:
      return objects_.Handle(route, request);
    case Target::kToken:
      return RequestToken(route, request, store_, options_.token_issuer);
    case Target::kBatchApply:
      if (writer_ == nullptr) return ErrorResponse(RefuseReadOnly());
      return ApplyBatch(request, *writer_, admission_);
    case Target::kBatchDelete:
      if (writer_ == nullptr) return ErrorResponse(RefuseReadOnly());
      return DeleteBatch(request, *writer_);
    default:
      break;
  }
  if (request.method != "GET" && request.method != "HEAD") {
    return ErrorResponse(absl::UnimplementedError("only GET is allowed here"));
  }
  return JsonResponse(200, Discover(route));
}

}  // namespace meltemi::galley
