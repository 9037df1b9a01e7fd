// SPDX-License-Identifier: Apache-2.0
// A Kubernetes-shaped API in memory, small enough to read: for tests of its clients. Loop thread
// only.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lib/config/kind.h"
#include "lib/http/service.h"
#include "lib/kube/client.h"

namespace meltemi::kube::testing {

class FakeApi final {
 public:
  explicit FakeApi(runtime::Loop& loop,
                   const net::Address& at = *net::Address::ParseIp("127.0.0.1", 0))
      : service_(
            *http::Service::Listen(loop, at, [this](http::ServiceRequest request, auto responder) {
              Serve(request, std::move(responder));
            })) {}

  const net::Address& address() const { return service_->address(); }

  // What somebody else does.
  void Put(Json object) {
    const std::string key = KeyOfObject(object);
    const bool is_new = !stored.contains(key);
    object["metadata"]["resourceVersion"] = std::to_string(++version);
    stored[key] = object;
    Tell(is_new ? "ADDED" : "MODIFIED", key, object);
  }
  bool Remove(const std::string& key) {
    const auto found = stored.find(key);
    if (found == stored.end()) return false;
    Json object = std::move(found->second);
    stored.erase(found);
    object["metadata"]["resourceVersion"] = std::to_string(++version);
    Tell("DELETED", key, object);
    return true;
  }
  // Ends every watch, as a restart does.
  void DropWatches() {
    for (auto& watch : std::exchange(watches_, {})) watch.responder->EndStream();
  }
  // Forgets the past: watches from before now are answered 410.
  void Compact() { history_.clear(), oldest_ = version; }
  void SendToWatches(const std::string& line) {
    for (auto& watch : watches_) watch.responder->SendChunk(line);
  }
  size_t watch_count() const { return watches_.size(); }

  std::map<std::string, Json> stored;  // "pods/NAMESPACE/NAME"
  std::vector<std::string> requests;   // "METHOD path"
  uint64_t version = 10;
  bool is_unavailable = false;
  std::string token = "a token";
  std::string last_authorization;

 private:
  struct Watch {
    std::string collection;
    std::shared_ptr<http::Responder> responder;
  };
  struct Past {
    uint64_t version;
    std::string collection, line;
  };

  static std::string KeyOfObject(const Json& object) {
    const config::Kind* kind =
        config::FindKind(object.value("apiVersion", ""), object.value("kind", ""));
    return fmt::format("{}/{}/{}", kind == nullptr ? "?" : kind->plural,
                       MetadataOf(object, "namespace"), MetadataOf(object, "name"));
  }
  void Tell(const std::string& type, const std::string& key, const Json& object) {
    const std::string line = Json{{"type", type}, {"object", object}}.dump() + "\n";
    const std::string collection = key.substr(0, key.find('/'));
    history_.push_back({version, collection, line});
    for (auto& watch : watches_)
      if (watch.collection == collection) watch.responder->SendChunk(line);
  }
  static void Answer(http::Responder& responder, int status, const Json& body) {
    responder.Send({.status = status, .content_type = "application/json", .body = body.dump()});
  }
  static void Refuse(http::Responder& responder, int status, const std::string& reason) {
    Answer(responder, status,
           {{"kind", "Status"}, {"code", status}, {"reason", reason}, {"message", reason + "!"}});
  }

  void Serve(const http::ServiceRequest& request, std::shared_ptr<http::Responder> responder) {
    requests.push_back(request.method + " " + request.path);
    last_authorization = request.Header("authorization");
    if (is_unavailable) return Refuse(*responder, 503, "ServiceUnavailable");
    const Json body = Json::parse(request.body.empty() ? "{}" : request.body, nullptr, false);
    if (request.path.starts_with("/apis/meltemi.io/v1/"))
      return Batch(request.path.ends_with("/delete"), body, *responder);
    std::vector<std::string> parts;  // after the version: [namespaces NS] PLURAL [NAME [SUB]]
    for (size_t at = request.path.starts_with("/api/") ? 8 : request.path.find('/', 6) + 1;
         at < request.path.size();) {
      const size_t end = std::min(request.path.find('/', at), request.path.size());
      parts.push_back(request.path.substr(at, end - at));
      at = end + 1;
    }
    if (request.path.starts_with("/apis/")) parts.erase(parts.begin());
    std::string ns;
    if (parts.size() > 2 && parts[0] == "namespaces") {
      ns = parts[1];
      parts.erase(parts.begin(), parts.begin() + 2);
    }
    parts.resize(3);
    const std::string key = parts[0] + "/" + ns + "/" + parts[1];
    if (parts[2] == "token") return Token(key, *responder);
    if (!parts[1].empty()) return One(request.method, key, parts[2], body, *responder);
    if (request.Query("watch") == "true") return StartWatch(request, parts[0], responder);
    if (request.method == "POST") return Post(body, *responder);
    Json list = {{"kind", "List"}, {"metadata", {{"resourceVersion", std::to_string(version)}}}};
    list["items"] = Json::array();
    for (const auto& [at, object] : stored)
      if (at.starts_with(parts[0] + "/" + (ns.empty() ? "" : ns + "/")))
        list["items"].push_back(object);
    Answer(*responder, 200, list);
  }
  void Token(const std::string& account, http::Responder& responder) {
    if (!stored.contains(account)) return Refuse(responder, 404, "NotFound");
    Answer(responder, 201, {{"kind", "TokenRequest"}, {"status", {{"token", token}}}});
  }
  void Post(Json object, http::Responder& responder) {
    if (stored.contains(KeyOfObject(object))) return Refuse(responder, 409, "AlreadyExists");
    Put(object);
    Answer(responder, 201, stored[KeyOfObject(object)]);
  }
  void One(const std::string& method, const std::string& key, const std::string& sub,
           const Json& body, http::Responder& responder) {
    const auto found = stored.find(key);
    if (found == stored.end()) return Refuse(responder, 404, "NotFound");
    Json object = found->second;
    if (method == "DELETE") {
      Remove(key);
    } else if (method == "PATCH") {
      object.merge_patch(body);
      Put(object);
    } else if (method == "PUT") {
      const std::string held = MetadataOf(body, "resourceVersion");
      if (!held.empty() && held != MetadataOf(object, "resourceVersion"))
        return Refuse(responder, 409, "Conflict");
      if (sub == "status")
        object["status"] = body.value("status", Json::object());
      else
        object = body;
      Put(object);
    }
    Answer(responder, 200, stored.contains(key) ? stored[key] : object);
  }
  void Batch(bool is_delete, const Json& body, http::Responder& responder) {
    const Json objects = body.value("objects", Json::array());
    for (const Json& object : objects)
      if (object.value("spec", Json::object()).contains("bad"))
        return Refuse(responder, 422, "Invalid");
    Json results = Json::array();
    for (Json object : objects) {
      const std::string key = KeyOfObject(object);
      std::string action = is_delete ? (Remove(key) ? "deleted" : "not found")
                                     : (stored.contains(key) ? "configured" : "created");
      if (!is_delete) {
        // The status is not the applier's to write.
        object.erase("status");
        if (stored.contains(key) && stored[key].contains("status"))
          object["status"] = stored[key]["status"];
        Put(object);
      }
      results.push_back({{"kind", object.value("kind", "")},
                         {"namespace", MetadataOf(object, "namespace")},
                         {"name", MetadataOf(object, "name")},
                         {"action", action}});
    }
    Answer(responder, 200, {{"resourceVersion", std::to_string(version)}, {"results", results}});
  }
  void StartWatch(const http::ServiceRequest& request, const std::string& collection,
                  const std::shared_ptr<http::Responder>& responder) {
    const uint64_t from = std::stoull(request.Query("resourceVersion", "0"));
    if (from < oldest_) return Refuse(*responder, 410, "Expired");
    responder->StartStream({.content_type = "application/json"});
    for (const Past& past : history_)
      if (past.version > from && past.collection == collection) responder->SendChunk(past.line);
    watches_.push_back({collection, responder});
  }

  std::unique_ptr<http::Service> service_;
  std::vector<Watch> watches_;
  std::vector<Past> history_;
  uint64_t oldest_ = 0;
};

}  // namespace meltemi::kube::testing
