// SPDX-License-Identifier: Apache-2.0
// Watches over real sockets, as clients use them.
#include "galley/api/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "galley/api/api.h"
#include "galley/store/embedded_store.h"
#include "galley/testing/temporary_directory.h"
#include "lib/config/parse.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

constexpr char kMaps[] = "/api/v1/namespaces/default/configmaps";

config::ObjectPtr Map(const std::string& name, const std::string& value,
                      const std::string& label = "x") {
  return *config::DecodeObject(
      {{"apiVersion", "v1"},
       {"kind", "ConfigMap"},
       {"metadata", {{"name", name}, {"namespace", "default"}, {"labels", {{"app", label}}}}},
       {"data", {{"value", value}}}},
      "default");
}

config::ObjectKey Key(const std::string& name) {
  return {&config::kinds::kConfigMap, "default", name};
}

// The lines of one watch.
class Client {
 public:
  Client(runtime::Loop& loop, const net::Address& api, const std::string& path) {
    call_ = http::FetchStream(loop, api, {.path = path},
                              {.on_head = [this](int status) { status_ = status; },
                               .on_chunk = [this](std::string_view bytes) { Take(bytes); },
                               .on_end = [this](Status) { has_ended_ = true; }},
                              {.timeout = Duration(0)});
  }
  // "ADDED a 1" and so on; a bookmark has no name.
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    for (const json& event : events_) {
      const json& object = event["object"];
      lines.push_back(event["type"].get<std::string>() + " " +
                      object.value("/metadata/name"_json_pointer, "-") + " " +
                      object.value("/data/value"_json_pointer, "-"));
    }
    return lines;
  }
  const std::vector<json>& events() const { return events_; }
  int status() const { return status_; }
  bool has_ended() const { return has_ended_; }

 private:
  void Take(std::string_view bytes) {
    text_ += bytes;
    for (size_t end; (end = text_.find('\n')) != std::string::npos; text_.erase(0, end + 1)) {
      events_.push_back(json::parse(text_.substr(0, end)));
    }
  }
  std::unique_ptr<http::ClientCall> call_;
  std::string text_;
  std::vector<json> events_;
  int status_ = 0;
  bool has_ended_ = false;
};

class WatchTest : public ::testing::Test {
 protected:
  void Open(size_t history_events_max = kHistoryEventsMax) {
    store_ = *EmbeddedStore::Open(*loop_, directory_ / "state",
                                  {.history_events_max = history_events_max});
    api_ = *Api::Start(*loop_, *store_, store_.get(),
                       {.addresses = {*net::Address::Unix(directory_ / "api.sock")}});
  }
  void Put(const std::string& name, const std::string& value, const std::string& label = "x") {
    ASSERT_TRUE(store_->ApplyAll({Map(name, value, label)}).ok());
  }
  std::unique_ptr<Client> Watch(const std::string& query, const std::string& path = kMaps) {
    return std::make_unique<Client>(*loop_, api_->addresses()[0], path + "?watch=true" + query);
  }
  void RunUntil(const std::function<bool()>& done) {
    for (int passes = 0; passes < 20'000 && !done(); ++passes) {
      loop_->RunOnce(std::chrono::milliseconds(100));
    }
    ASSERT_TRUE(done());
  }
  void Expect(const Client& client, const std::vector<std::string>& lines) {
    RunUntil([&] { return client.events().size() >= lines.size(); });
    EXPECT_EQ(lines, client.Lines());
  }
  std::string Version() const { return std::to_string(store_->version()); }

  testing::TemporaryDirectory directory_;
  std::unique_ptr<runtime::Loop> loop_ = *runtime::Loop::Create();
  std::unique_ptr<EmbeddedStore> store_;
  std::unique_ptr<Api> api_;
};

TEST_F(WatchTest, BeginsWithWhatIsThere) {
  Open();
  Put("a", "1");
  const auto client = Watch("");
  Expect(*client, {"ADDED a 1"});
  Put("a", "2");
  Put("b", "1");
  ASSERT_TRUE(store_->Delete(Key("a"), "").ok());
  Expect(*client, {"ADDED a 1", "MODIFIED a 2", "ADDED b 1", "DELETED a 2"});
  // A client goes on from the version in the last object, of a deletion too.
  EXPECT_EQ(json(Version()), client->events().back()["object"]["metadata"]["resourceVersion"]);
}

TEST_F(WatchTest, GoesOnFromAVersion) {
  Open();
  Put("a", "1");
  const std::string version = Version();
  Put("a", "2");
  const auto client = Watch("&resourceVersion=" + version);
  Expect(*client, {"MODIFIED a 2"});
}

TEST_F(WatchTest, TellsWhatIsTooOld) {
  Open(4);
  for (int i = 0; i < 10; ++i) Put("a", std::to_string(i));
  const auto client = Watch("&resourceVersion=1");
  RunUntil([&] { return client->has_ended(); });
  EXPECT_EQ(200, client->status());
  ASSERT_EQ(1u, client->events().size());
  EXPECT_EQ("ERROR", client->events()[0]["type"]);
  EXPECT_EQ(410, client->events()[0]["object"]["code"]);
  EXPECT_EQ("Expired", client->events()[0]["object"]["reason"]);
}

TEST_F(WatchTest, SelectorsTurnChangesIntoComingAndGoing) {
  Open();
  const auto client = Watch("&labelSelector=app%3Dyes");
  RunUntil([&] { return client->status() == 200; });
  Put("a", "1", "no");
  Put("a", "2", "yes");
  Put("a", "3", "yes");
  Put("a", "4", "no");
  Put("a", "5", "no");
  Put("b", "1", "yes");
  Expect(*client, {"ADDED a 2", "MODIFIED a 3", "DELETED a 4", "ADDED b 1"});
}

TEST_F(WatchTest, KeepsToItsKindNamespaceAndName) {
  Open();
  const auto named = Watch("&fieldSelector=metadata.name%3Db");
  const auto other = Watch("", "/api/v1/namespaces/istio-system/configmaps");
  const auto everywhere = Watch("", "/api/v1/configmaps");
  RunUntil([&] {
    return named->status() == 200 && other->status() == 200 && everywhere->status() == 200;
  });
  Put("a", "1");
  Put("b", "1");
  Expect(*named, {"ADDED b 1"});
  Expect(*everywhere, {"ADDED a 1", "ADDED b 1"});
  EXPECT_TRUE(other->events().empty());
}

TEST_F(WatchTest, StreamsListsWithABookmarkAtTheirEnd) {
  Open();
  Put("a", "1");
  const auto client =
      Watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan");
  Expect(*client, {"ADDED a 1", "BOOKMARK - -"});
  const json& bookmark = client->events()[1]["object"];
  EXPECT_EQ("true", bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"]);
  EXPECT_EQ(json(Version()), bookmark["metadata"]["resourceVersion"]);
  EXPECT_EQ("ConfigMap", bookmark["kind"]);
}

TEST_F(WatchTest, EndsWhenAskedTo) {
  Open();
  const auto client = Watch("&timeoutSeconds=1");
  RunUntil([&] { return client->has_ended(); });
  EXPECT_EQ(0u, api_->watches());
  const auto wrong = Watch("&resourceVersion=abc");
  RunUntil([&] { return wrong->status() != 0; });
  EXPECT_EQ(400, wrong->status());
}

TEST_F(WatchTest, ClientsThatLeaveAreForgotten) {
  Open();
  auto client = Watch("");
  RunUntil([&] { return api_->watches() == 1; });
  client.reset();
  RunUntil([&] { return api_->watches() == 0; });
  Put("a", "1");
  auto last = Watch("");
  RunUntil([&] { return api_->watches() == 1; });
  api_.reset();  // with a watch open
  Put("a", "2");
  loop_->RunOnce(Duration(0));
}

// Random writes while a client drops its connection and goes on from the version it last saw: what
// it is told is exactly what happened.
TEST_F(WatchTest, ReconnectsNeitherMissNorRepeat) {
  Open();
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  std::vector<std::string> happened, told;
  auto log = *store_->StartWatch(
      {.kind = &config::kinds::kConfigMap, .from_version = store_->version()},
      [&](const std::vector<config::Event>& events) {
        for (const config::Event& event : events) {
          const char* type = event.type == config::EventType::kAdded      ? "ADDED "
                             : event.type == config::EventType::kModified ? "MODIFIED "
                                                                          : "DELETED ";
          happened.push_back(type + event.object->meta.name + " " + std::to_string(event.version));
        }
      });
  std::string seen = Version();
  std::unique_ptr<Client> client;
  size_t taken = 0, reconnects = 0;
  const auto take = [&] {
    if (client == nullptr) return;
    for (; taken < client->events().size(); ++taken) {
      const json& event = client->events()[taken];
      ASSERT_NE("ERROR", event["type"]) << event;
      seen = event["object"]["metadata"]["resourceVersion"];
      told.push_back(event["type"].get<std::string>() + " " +
                     event["object"]["metadata"]["name"].get<std::string>() + " " + seen);
    }
  };
  for (int step = 0; step < 600; ++step) {
    std::map<std::string, Write> writes;
    for (unsigned i = 0, count = 1 + below(4); i < count; ++i) {
      const std::string name = "m" + std::to_string(below(6));
      Write write{.verb = Write::Verb::kApply, .object = Map(name, std::to_string(step))};
      if (below(3) == 0) write = {.verb = Write::Verb::kDeleteIfPresent, .key = Key(name)};
      writes.insert_or_assign(name, std::move(write));
    }
    std::vector<Write> batch;
    for (auto& [name, write] : writes) batch.push_back(std::move(write));
    ASSERT_TRUE(store_->WriteAll(std::move(batch)).ok());
    if (below(2) == 0) loop_->RunOnce(std::chrono::milliseconds(1));
    take();
    if (client == nullptr || below(8) == 0) {
      client.reset();
      if (below(3) == 0) continue;  // away for a while
      client = Watch("&resourceVersion=" + seen);
      taken = 0;
      ++reconnects;
    }
  }
  client = Watch("&resourceVersion=" + seen);
  taken = 0;
  RunUntil([&] {
    take();
    return !happened.empty() && seen == Version();
  });
  EXPECT_EQ(happened, told);
  EXPECT_GT(happened.size(), 500u);
  EXPECT_GT(reconnects, 20u);
}

}  // namespace
}  // namespace meltemi::galley
