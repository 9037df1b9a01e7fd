// SPDX-License-Identifier: Apache-2.0
// The API over an embedded store, reached through real sockets, and objects to send to it. For
// tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "galley/api/api.h"
#include "galley/store/embedded_store.h"
#include "galley/testing/temporary_directory.h"

namespace meltemi::galley {

using nlohmann::json;

inline constexpr char kPods[] = "/api/v1/namespaces/default/pods";
inline constexpr char kMaps[] = "/api/v1/namespaces/default/configmaps";
inline constexpr char kServices[] = "/api/v1/namespaces/default/services";
inline constexpr char kRoutes[] = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
inline constexpr char kMerge[] = "application/merge-patch+json";

struct Answer {
  int status = 0;
  json body;
};

inline json Map(const std::string& name, const std::string& value = "1") {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"name", name}}},
          {"data", {{"value", value}}}};
}

inline json Route(const std::string& name, const std::string& host = "reviews") {
  return json::parse(R"({"apiVersion":"networking.istio.io/v1","kind":"VirtualService",
    "metadata":{"name":")" +
                     name + R"("},"spec":{"hosts":[")" + host + R"("],"http":[{"route":[
    {"destination":{"host":")" +
                     host + R"("}}]}]}})");
}

inline json Service(const std::string& name) {
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", {{"name", name}}},
          {"spec", {{"ports", {{{"name", "http"}, {"port", 9080}}}}}}};
}

class ApiTest : public ::testing::Test {
 protected:
  ApiTest() {
    store_ = *EmbeddedStore::Open(*loop_, directory_ / "state");
    options_.addresses = {*net::Address::Unix(directory_ / "api.sock"),
                          *net::Address::ParseIp("127.0.0.1", 0)};
    options_.bearer_token = "open sesame";
    Start();
  }
  void Start() {
    api_.reset();
    auto api = Api::Start(*loop_, *store_, store_.get(), options_);
    ASSERT_TRUE(api.ok()) << api.status().ToString();
    api_ = *std::move(api);
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 20'000 && !done(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(done());
  }
  StatusOr<http::ClientResponse> Fetch(const net::Address& to, http::ClientRequest request) {
    std::optional<StatusOr<http::ClientResponse>> result;
    auto call = http::Fetch(*loop_, to, std::move(request), [&](auto answer) { result = answer; });
    RunUntil([&] { return result.has_value(); });
    return *std::move(result);
  }
  Answer Send(const std::string& method, const std::string& path, const std::string& body = "",
              const std::string& type = "application/json") {
    const auto answer =
        Fetch(api_->addresses()[0],
              {.method = method, .path = path, .headers = {{"content-type", type}}, .body = body});
    EXPECT_TRUE(answer.ok()) << answer.status().ToString();
    return {answer->status, json::parse(answer->body, nullptr, false)};
  }
  Answer Get(const std::string& path) { return Send("GET", path); }
  Answer Post(const std::string& path, const json& body) { return Send("POST", path, body.dump()); }
  Answer Apply(const std::vector<json>& objects, const std::string& query = "") {
    return Post("/apis/meltemi.io/v1/apply" + query, {{"objects", objects}});
  }

  testing::TemporaryDirectory directory_;
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<EmbeddedStore> store_;
  ApiOptions options_;
  std::unique_ptr<Api> api_;
};

}  // namespace meltemi::galley
