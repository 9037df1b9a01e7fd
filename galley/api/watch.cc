// SPDX-License-Identifier: Apache-2.0
#include "galley/api/watch.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "galley/api/errors.h"
#include "galley/api/render.h"
#include "galley/api/selectors.h"

namespace meltemi::galley {
namespace {

using config::Event;
using config::EventType;
using config::ObjectPtr;
using nlohmann::json;

constexpr size_t kChunkBytes = 64 * 1024;  // of the initial state, which may be large

struct WatchRequest {
  Selector selector;
  std::optional<uint64_t> from;  // absent = begin with what is there
  bool sends_initial = false;
  bool wants_bookmarks = false;
  bool marks_initial_end = false;
  std::chrono::seconds time_max{0};  // 0 = none
};

bool IsTrue(const http::ServiceRequest& request, const char* name) {
  const std::string value = request.Query(name);
  return value == "true" || value == "1";
}

StatusOr<uint64_t> ParseNumber(const std::string& text, std::string_view what) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end) return number;
  return BadRequest(std::string(what) + ": \"" + text + "\" is not a number");
}

StatusOr<WatchRequest> ParseWatch(const http::ServiceRequest& request) {
  WatchRequest watch;
  MELTEMI_ASSIGN_OR_RETURN(watch.selector, Selector::Parse(request.Query("labelSelector"),
                                                           request.Query("fieldSelector")));
  const std::string version = request.Query("resourceVersion");
  if (!version.empty() && version != "0") {
    MELTEMI_ASSIGN_OR_RETURN(watch.from, ParseNumber(version, "resourceVersion"));
  }
  watch.wants_bookmarks = IsTrue(request, "allowWatchBookmarks");
  // A list streamed over the watch (KEP-3157); a version given with it is a lower bound.
  const std::string initial = request.Query("sendInitialEvents");
  watch.sends_initial = initial == "true" || (initial.empty() && !watch.from.has_value());
  watch.marks_initial_end = initial == "true" && watch.wants_bookmarks;
  if (const std::string seconds = request.Query("timeoutSeconds"); !seconds.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(const uint64_t number, ParseNumber(seconds, "timeoutSeconds"));
    watch.time_max = std::chrono::seconds(std::min<uint64_t>(number, 24 * 3600));
  }
  return watch;
}

}  // namespace

class WatchStreams::Stream final {
 public:
  Stream(WatchStreams& owner, Route route, WatchRequest request,
         std::shared_ptr<http::Responder> responder)
      : owner_(owner),
        route_(std::move(route)),
        request_(std::move(request)),
        responder_(std::move(responder)),
        bookmark_(owner.loop_, [this] { PostBookmark(); }),
        end_(owner.loop_, [this] { End(); }),
        self_(std::make_shared<Stream*>(this)) {}
  ~Stream() { *self_ = nullptr; }

  void Begin() {
    responder_->OnCancelled([self = self_] {
      if (*self != nullptr) (*self)->owner_.Remove(*self);
    });
    responder_->StartStream({.content_type = "application/json"});
    const uint64_t from =
        request_.sends_initial ? SendInitial() : request_.from.value_or(owner_.store_.version());
    auto watch =
        owner_.store_.StartWatch({.kind = route_.kind, .ns = route_.ns, .from_version = from},
                                 [this](const std::vector<Event>& events) { OnEvents(events); });
    if (!watch.ok()) {
      Send("{\"type\":\"ERROR\",\"object\":" + Dump(ErrorObject(watch.status())) + "}\n");
      return End();
    }
    watch_ = *std::move(watch);
    if (request_.marks_initial_end) SendBookmark(from, /*is_initial_end=*/true);
    if (request_.wants_bookmarks) bookmark_.Arm(kBookmarkInterval);
    if (request_.time_max.count() > 0) end_.Arm(request_.time_max);
    if (is_cut_) End();
  }

  // Hears nothing more; may be called inside its own callbacks.
  void Stop() {
    watch_.reset();
    bookmark_.Disarm();
    end_.Disarm();
  }

 private:
  // Returns the version it shows.
  uint64_t SendInitial() {
    const config::ObjectList list = owner_.store_.List(route_.kind, route_.ns);
    std::string chunk;
    for (const ObjectPtr& object : list.objects) {
      if (!request_.selector.Matches(*object)) continue;
      chunk +=
          "{\"type\":\"ADDED\",\"object\":" + RenderObject(*object, route_.api_version()) + "}\n";
      if (chunk.size() >= kChunkBytes) Send(std::exchange(chunk, {}));
    }
    if (!chunk.empty()) Send(chunk);
    return list.version;
  }

  void OnEvents(const std::vector<Event>& events) {
    std::string chunk;
    for (const Event& event : events) {
      last_sent_ = event.version;
      if (const char* type = TypeOf(event)) {
        chunk += RenderEvent(type, *event.object, route_.api_version(), event.version);
      }
    }
    if (!chunk.empty()) Send(chunk);
    if (is_cut_) End();
  }

  // nullptr = does not concern this client.
  const char* TypeOf(const Event& event) const {
    const Selector& selector = request_.selector;
    if (event.type != EventType::kModified || event.previous == nullptr) {
      if (!selector.Matches(*event.object)) return nullptr;
      if (event.type == EventType::kModified) return "MODIFIED";
      return event.type == EventType::kAdded ? "ADDED" : "DELETED";
    }
    const bool matched = selector.Matches(*event.previous);
    const bool matches = selector.Matches(*event.object);
    if (matched && matches) return "MODIFIED";
    if (matches) return "ADDED";
    return matched ? "DELETED" : nullptr;
  }

  // Events up to the present version may still wait for delivery, which was posted before this.
  void PostBookmark() {
    bookmark_.Arm(kBookmarkInterval);
    owner_.loop_.Post([self = self_, version = owner_.store_.version()] {
      if (*self == nullptr) return;
      Stream& stream = **self;
      stream.SendBookmark(std::max(version, stream.last_sent_), false);
      if (stream.is_cut_) stream.End();
    });
  }

  void SendBookmark(uint64_t version, bool is_initial_end) {
    json metadata = {{"resourceVersion", std::to_string(version)}, {"creationTimestamp", nullptr}};
    if (is_initial_end) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
    const json bookmark = {{"type", "BOOKMARK"},
                           {"object",
                            {{"kind", route_.kind->kind},
                             {"apiVersion", route_.api_version()},
                             {"metadata", std::move(metadata)}}}};
    Send(Dump(bookmark) + "\n");
  }

  void Send(const std::string& bytes) {
    if (!is_cut_ && !responder_->SendChunk(bytes)) is_cut_ = true;
  }

  void End() {
    responder_->EndStream();
    owner_.Remove(this);
  }

  WatchStreams& owner_;
  const Route route_;
  const WatchRequest request_;
  const std::shared_ptr<http::Responder> responder_;
  runtime::Timer bookmark_;
  runtime::Timer end_;
  const std::shared_ptr<Stream*> self_;
  std::unique_ptr<config::Watch> watch_;
  uint64_t last_sent_ = 0;
  bool is_cut_ = false;  // the client is gone, or too slow
};

WatchStreams::~WatchStreams() {
  while (!streams_.empty()) Remove(streams_.begin()->first);
}

void WatchStreams::Start(const Route& route, const http::ServiceRequest& request,
                         std::shared_ptr<http::Responder> responder) {
  auto watch = ParseWatch(request);
  if (!watch.ok()) return responder->Send(ErrorResponse(watch.status()));
  if (streams_.size() >= kWatchesMax) {
    return responder->Send(ErrorResponse(absl::UnavailableError(
        "too many watches: " + std::to_string(kWatchesMax) + " are the limit")));
  }
  auto stream = std::make_shared<Stream>(*this, route, *std::move(watch), std::move(responder));
  streams_.emplace(stream.get(), stream);
  stream->Begin();
}

void WatchStreams::Remove(Stream* stream) {
  const auto at = streams_.find(stream);
  if (at == streams_.end()) return;
  stream->Stop();
  // It may stand in a callback of its own timer or watch.
  loop_.DeferDelete(std::move(at->second));
  streams_.erase(at);
}

}  // namespace meltemi::galley
