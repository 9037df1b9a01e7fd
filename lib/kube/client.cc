// SPDX-License-Identifier: Apache-2.0
#include "lib/kube/client.h"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "lib/kube/status.h"

namespace meltemi::kube {
namespace {

std::string Text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A call that failed before it was sent, told from the loop as every answer is.
class Failed final : public http::ClientCall {
 public:
  Failed(runtime::Loop& loop, std::function<void()> tell) : timer_(loop, std::move(tell)) {
    timer_.Arm(Duration::zero());
  }

 private:
  runtime::Timer timer_;
};

StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::string token = text.str();
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (!file.good() || token.empty())
    return absl::UnauthenticatedError(ToAbsl(fmt::format("no token can be read from {}", path)));
  return token;
}

}  // namespace

std::string PercentEncoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain)
      encoded.push_back(c);
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string PathOf(const config::Kind& kind, const std::string& ns, const std::string& name) {
  std::string path =
      kind.group.empty() ? "/api/v1" : fmt::format("/apis/{}/{}", kind.group, kind.version);
  if (kind.is_namespaced && !ns.empty()) path += "/namespaces/" + PercentEncoded(ns);
  path += fmt::format("/{}", kind.plural);
  if (!name.empty()) path += "/" + PercentEncoded(name);
  return path;
}

std::string MetadataOf(const Json& object, const char* field) {
  if (!object.is_object()) return "";
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return "";
  const auto found = metadata->find(field);
  return found != metadata->end() && found->is_string() ? found->get<std::string>() : "";
}

StatusOr<http::ClientRequest> Client::Request(const std::string& method,
                                              const std::string& path) const {
  http::ClientRequest request;
  request.method = method;
  request.path = path;
  request.authority = options_.authority;
  request.headers.emplace_back("accept", "application/json");
  request.headers.emplace_back("user-agent", "meltemi/" MELTEMI_VERSION);
  if (!options_.token_file.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(const std::string token, ReadToken(options_.token_file));
    request.headers.emplace_back("authorization", "Bearer " + token);
  }
  return request;
}

Client::Call Client::Send(const std::string& method, const std::string& path, std::string body,
                          Answer done, const std::string& content_type) {
  StatusOr<http::ClientRequest> request = Request(method, path);
  if (!request.ok())
    return std::make_unique<Failed>(
        loop_, [done = std::move(done), status = request.status()] { done(status); });
  if (!body.empty()) request->headers.emplace_back("content-type", content_type);
  request->body = std::move(body);
  http::ClientOptions options;
  options.timeout = options_.timeout;
  options.body_bytes_max = options_.body_bytes_max;
  options.tls = options_.tls;
  return http::Fetch(
      loop_, options_.address, *std::move(request),
      [done = std::move(done)](StatusOr<http::ClientResponse> response) {
        if (!response.ok()) return done(response.status());
        const Status status = StatusOfAnswer(response->status, response->body);
        if (!status.ok()) return done(status);
        Json object = Json::parse(response->body, nullptr, false);
        if (object.is_discarded()) return done(absl::InternalError("the API's answer is not JSON"));
        done(std::move(object));
      },
      options);
}

Client::Call Client::Stream(const std::string& path, http::StreamHandlers handlers,
                            Duration timeout) {
  StatusOr<http::ClientRequest> request = Request("GET", path);
  if (!request.ok())
    return std::make_unique<Failed>(
        loop_, [on_end = std::move(handlers.on_end), status = request.status()] {
          if (on_end) on_end(status);
        });
  http::ClientOptions options;
  options.timeout = timeout;
  options.tls = options_.tls;
  return http::FetchStream(loop_, options_.address, *std::move(request), std::move(handlers),
                           options);
}

Client::Call Client::Get(const config::Kind& kind, const std::string& ns, const std::string& name,
                         Answer done) {
  return Send("GET", PathOf(kind, ns, name), "", std::move(done));
}

Client::Call Client::List(const config::Kind& kind, const std::string& ns, Answer done) {
  return Send("GET", PathOf(kind, ns), "", std::move(done));
}

Client::Call Client::Create(const config::Kind& kind, const Json& object, Answer done) {
  return Send("POST", PathOf(kind, MetadataOf(object, "namespace")), Text(object), std::move(done));
}

Client::Call Client::Update(const config::Kind& kind, const Json& object, Answer done) {
  return Send("PUT", PathOf(kind, MetadataOf(object, "namespace"), MetadataOf(object, "name")),
              Text(object), std::move(done));
}

Client::Call Client::UpdateStatus(const config::Kind& kind, const Json& object, Answer done) {
  return Send("PUT",
              PathOf(kind, MetadataOf(object, "namespace"), MetadataOf(object, "name")) + "/status",
              Text(object), std::move(done));
}

Client::Call Client::Patch(const config::Kind& kind, const std::string& ns, const std::string& name,
                           const Json& patch, Answer done) {
  return Send("PATCH", PathOf(kind, ns, name), Text(patch), std::move(done),
              "application/merge-patch+json");
}

Client::Call Client::Delete(const config::Kind& kind, const std::string& ns,
                            const std::string& name, Answer done) {
  return Send("DELETE", PathOf(kind, ns, name), "", std::move(done));
}

Client::Call Client::ApplyAll(const std::vector<Json>& objects, Answer done) {
  return Send("POST", "/apis/meltemi.io/v1/apply", Text({{"objects", objects}}), std::move(done));
}

Client::Call Client::DeleteAll(const std::vector<Json>& objects, Answer done) {
  return Send("POST", "/apis/meltemi.io/v1/delete", Text({{"objects", objects}}), std::move(done));
}

Client::Call Client::RequestToken(const std::string& ns, const std::string& service_account,
                                  const std::string& audience, Duration lifetime, Answer done) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(lifetime).count();
  const Json request = {
      {"apiVersion", "authentication.k8s.io/v1"},
      {"kind", "TokenRequest"},
      {"spec", {{"audiences", Json::array({audience})}, {"expirationSeconds", seconds}}}};
  return Send("POST", PathOf(config::kinds::kServiceAccount, ns, service_account) + "/token",
              Text(request), std::move(done));
}

}  // namespace meltemi::kube
