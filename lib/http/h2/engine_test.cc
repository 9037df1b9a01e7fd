// SPDX-License-Identifier: Apache-2.0
// The protocol engine alone: bytes in, bytes out, and an owner that writes down what it is told.
#include "lib/http/h2/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace meltemi::http::h2 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Frame(FrameType type, uint8_t flags, int32_t stream, std::string_view payload) {
  std::string frame(kFrameHeadBytes, '\0');
  WriteFrameHead(frame.data(), {static_cast<uint32_t>(payload.size()), type, flags, stream});
  return frame.append(payload);
}

std::string Number(uint32_t value) {
  std::string text(4, '\0');
  WriteUint32(text.data(), value);
  return text;
}

std::string Settings(std::vector<std::pair<Setting, uint32_t>> entries) {
  std::string payload;
  for (const auto& [setting, value] : entries) {
    payload += {'\0', static_cast<char>(setting)};
    payload += Number(value);
  }
  return Frame(FrameType::kSettings, 0, 0, payload);
}

// Blocks of the static table: GET or POST of http://…/, authority "a".
const std::string kGet =
    "\x82\x86\x84\x41\x01"
    "a";
const std::string kPost =
    "\x83\x86\x84\x41\x01"
    "a";
const std::string kOk = "\x88";
constexpr uint8_t kEnd = kFlagEndStream, kWhole = kFlagEndHeaders;

std::string Literal(std::string_view name, std::string_view value) {
  std::string field(1, '\0');
  for (const std::string_view text : {name, value}) {
    field += static_cast<char>(text.size());
    field += text;
  }
  return field;
}

class EngineTest : public ::testing::Test, public EngineOwner {
 protected:
  void Start(EngineOptions options = {}) {
    engine_ = std::make_unique<Engine>(*this, options, output_);
    engine_->Begin();
    TakeOutput();
    if (options.is_server) Receive(std::string(kPreface));
    Receive(Settings({}));
    TakeOutput();
  }
  void StartClient() {
    EngineOptions options;
    options.is_server = false;
    Start(options);
  }
  ErrorCode Receive(std::string_view bytes) { return engine_->Receive(bytes); }
  StreamState& Ask(bool ends = true) {
    StreamState& stream = NewStream();
    EXPECT_TRUE(engine_->Open(stream));
    engine_->BeginHead();
    engine_->AddField(HeaderId::kOther, ":method", "GET");
    engine_->EndHead(stream, ends, false);
    return stream;
  }
  void Answer(int32_t id, bool ends) {
    engine_->BeginHead();
    engine_->AddField(HeaderId::kOther, ":status", "200");
    engine_->EndHead(*streams_[id], ends, false);
  }
  // What was written since: one text per frame.
  std::vector<std::string> TakeOutput() {
    std::vector<std::string> frames;
    std::string_view left = output_.view();
    if (left.starts_with(kPreface)) left.remove_prefix(kPreface.size());
    while (left.size() >= kFrameHeadBytes) {
      const FrameHead head = ReadFrameHead(left.data());
      static constexpr const char* kNames[] = {"data", "headers", "priority", "reset",  "settings",
                                               "push", "ping",    "goaway",   "window", "more"};
      std::string text = kNames[static_cast<int>(head.type)];
      text += " " + std::to_string(head.stream);
      const char* const payload = left.data() + kFrameHeadBytes;
      switch (head.type) {
        case FrameType::kRstStream:
        case FrameType::kWindowUpdate:
          text += " " + std::to_string(ReadUint32(payload));
          break;
        case FrameType::kGoAway:
          text += " " + std::to_string(ReadUint32(payload)) + " " +
                  std::to_string(ReadUint32(payload + 4));
          break;
        case FrameType::kData:
          text += " " + std::to_string(head.length);
          [[fallthrough]];
        case FrameType::kHeaders:
          if (head.has(kEnd)) text += " end";
          break;
        default:
          break;
      }
      frames.push_back(text);
      left.remove_prefix(kFrameHeadBytes + head.length);
    }
    EXPECT_TRUE(left.empty());
    output_.Clear();
    return frames;
  }

  ErrorCode OnFrame(const FrameHead&, bool) override { return ErrorCode::kNoError; }
  StreamState& OnNewRequest(int32_t id) override { return *(streams_[id] = &NewStream()); }
  void OnBlock(StreamState&) override {}
  void OnField(StreamState&, const Field& field) override {
    fields_ += std::string(field.name) + "=" + std::string(field.value) + ";";
  }
  void OnBlockEnd(StreamState& stream) override { Note("block", stream); }
  void OnData(StreamState&, std::string_view bytes) override { data_ += bytes; }
  void OnRemoteEnd(StreamState& stream) override { Note("end", stream); }
  void OnStreamClosed(StreamState& stream, ErrorCode code, bool is_peers_reset) override {
    Note("closed", stream);
    if (code != ErrorCode::kNoError) told_.back() += " " + std::to_string(static_cast<int>(code));
    if (is_peers_reset) told_.back() += " by peer";
  }
  void OnStreamViolation() override { told_.emplace_back("violation"); }
  void OnSettings() override {}
  void OnGoAway() override { told_.emplace_back("goaway"); }
  void OnPong() override { told_.emplace_back("pong"); }
  void OnSent(StreamState&) override {}
  void OnFrameSent(FrameType) override {}
  bool is_output_full() const override { return is_full_; }

  StreamState& NewStream() { return states_.emplace_back(pool_); }
  void Note(const char* what, const StreamState& stream) {
    told_.push_back(std::string(what) + " " + std::to_string(stream.id));
  }
  std::vector<std::string> Told() { return std::exchange(told_, {}); }

  net::BlockPool pool_;
  net::Buffer output_{pool_};
  std::deque<StreamState> states_;
  std::map<int32_t, StreamState*> streams_;
  std::vector<std::string> told_;
  std::string fields_;
  std::string data_;
  bool is_full_ = false;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, AnExchangeInPiecesOfOneByte) {
  Start();
  const std::string bytes = Frame(FrameType::kHeaders, 0, 1, kPost.substr(0, 4)) +
                            Frame(FrameType::kContinuation, kWhole, 1, kPost.substr(4)) +
                            Frame(FrameType::kData, kFlagPadded, 1, std::string("\3abc\0\0\0", 7)) +
                            Frame(static_cast<FrameType>(0x42), 0xff, 1, "unknown") +
                            Frame(FrameType::kData, 0, 1, "def") +
                            Frame(FrameType::kHeaders, kWhole | kEnd, 1, Literal("x-sum", "1"));
  for (const char c : bytes) ASSERT_EQ(ErrorCode::kNoError, Receive({&c, 1}));
  EXPECT_EQ(":method=POST;:scheme=http;:path=/;:authority=a;x-sum=1;", fields_);
  EXPECT_EQ("abcdef", data_);
  EXPECT_THAT(Told(), ElementsAre("block 1", "end 1", "block 1"));
  Answer(1, false);
  engine_->Send(*streams_[1], "hello", true, 100);
  EXPECT_THAT(TakeOutput(), ElementsAre("headers 1", "data 1 5 end"));
  EXPECT_THAT(Told(), ElementsAre("closed 1"));
}

// What ends a connection, and with which code (RFC 9113).
TEST_F(EngineTest, ErrorsOfAConnection) {
  const std::string get = Frame(FrameType::kHeaders, kWhole | kEnd, 1, kGet);
  const std::string post = Frame(FrameType::kHeaders, kWhole, 1, kPost);
  const auto too_long = std::string(kFrameBytesMax + 1, 'x');
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {Frame(FrameType::kData, 0, 0, "x"), ErrorCode::kProtocolError},
      {Frame(FrameType::kData, 0, 1, "x"), ErrorCode::kProtocolError},  // idle
      {post + Frame(FrameType::kData, kFlagPadded, 1, "\5abcd"), ErrorCode::kProtocolError},
      {post + Frame(FrameType::kData, 0, 1, too_long), ErrorCode::kFrameSizeError},
      {get + Frame(FrameType::kData, 0, 1, "x"), ErrorCode::kStreamClosed},
      {get + get, ErrorCode::kStreamClosed},
      {Frame(FrameType::kHeaders, kWhole, 0, kGet), ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole, 2, kGet), ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole, 1, "\xff"), ErrorCode::kCompressionError},
      {Frame(FrameType::kHeaders, kWhole | kFlagPadded, 1, "\5"), ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole | kFlagPriority, 1, "abcd"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kHeaders, kEnd, 1, kGet) + get, ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kEnd, 1, kGet) + Frame(FrameType::kContinuation, kWhole, 3, ""),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kContinuation, kWhole, 1, kGet), ErrorCode::kProtocolError},
      {post + Frame(FrameType::kPriority, 0, 1, "abcd"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kPriority, 0, 0, "abcde"), ErrorCode::kProtocolError},
      {post + Frame(FrameType::kPriority, 0, 1, Number(1) + "x"), ErrorCode::kProtocolError},
      {Frame(FrameType::kRstStream, 0, 1, Number(8)), ErrorCode::kProtocolError},  // idle
      {post + Frame(FrameType::kRstStream, 0, 1, "abc"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kSettings, 0, 1, ""), ErrorCode::kProtocolError},
      {Frame(FrameType::kSettings, 0, 0, "abc"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kSettings, kFlagAck, 0, "abcdef"), ErrorCode::kFrameSizeError},
      {Settings({{Setting::kEnablePush, 2}}), ErrorCode::kProtocolError},
      {Settings({{Setting::kInitialWindowSize, 0x80000000}}), ErrorCode::kFlowControlError},
      {Settings({{Setting::kMaxFrameSize, 16383}}), ErrorCode::kProtocolError},
      {Settings({{Setting::kMaxFrameSize, 1 << 24}}), ErrorCode::kProtocolError},
      {Settings({{Setting::kEnableConnectProtocol, 2}}), ErrorCode::kProtocolError},
      {post + Frame(FrameType::kWindowUpdate, 0, 1, Number(1)) +
           Settings({{Setting::kInitialWindowSize, 0x7fffffff}}),
       ErrorCode::kFlowControlError},
      {Frame(FrameType::kPushPromise, kWhole, 1, "abcd"), ErrorCode::kProtocolError},
      {Frame(FrameType::kPing, 0, 1, "12345678"), ErrorCode::kProtocolError},
      {Frame(FrameType::kPing, 0, 0, "1234567"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kGoAway, 0, 1, "12345678"), ErrorCode::kProtocolError},
      {Frame(FrameType::kGoAway, 0, 0, "1234567"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kGoAway, 0, 0, Number(1) + Number(0)) +
           Frame(FrameType::kGoAway, 0, 0, Number(3) + Number(0)),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kWindowUpdate, 0, 0, Number(0)), ErrorCode::kProtocolError},
      {Frame(FrameType::kWindowUpdate, 0, 0, "abc"), ErrorCode::kFrameSizeError},
      {Frame(FrameType::kWindowUpdate, 0, 0, Number(0x7fffffff)), ErrorCode::kFlowControlError},
      {Frame(FrameType::kWindowUpdate, 0, 1, Number(1)), ErrorCode::kProtocolError},  // idle
      {Frame(static_cast<FrameType>(99), 0, 1, too_long), ErrorCode::kFrameSizeError},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    Start();
    EXPECT_EQ(cases[i].second, Receive(cases[i].first)) << "case " << i;
  }
}

TEST_F(EngineTest, TheFirstFrameHasToBeSettings) {
  for (const bool is_server : {true, false}) {
    EngineOptions options;
    options.is_server = is_server;
    Engine engine(*this, options, output_);
    if (is_server) {
      Engine other(*this, options, output_);
      EXPECT_EQ(ErrorCode::kProtocolError, other.Receive("PRI * HTTP/1"));
      EXPECT_EQ(ErrorCode::kNoError, engine.Receive(kPreface));
    }
    EXPECT_EQ(ErrorCode::kProtocolError, engine.Receive(Frame(FrameType::kPing, 0, 0, "12345678")));
  }
}

// What ends a stream and leaves the others alone.
TEST_F(EngineTest, ErrorsOfAStream) {
  const std::string post = Frame(FrameType::kHeaders, kWhole, 1, kPost);
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {post + Frame(FrameType::kWindowUpdate, 0, 1, Number(0)), ErrorCode::kProtocolError},
      {post + Frame(FrameType::kWindowUpdate, 0, 1, Number(0x7fffffff)),
       ErrorCode::kFlowControlError},
      {Frame(FrameType::kHeaders, kWhole | kEnd, 1, kGet + Literal("X", "y")),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole | kEnd, 1, kGet + Literal("a", "b") + "\x82"),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole | kEnd, 1, kPost + Literal("content-length", "2")),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole, 1, kPost + Literal("content-length", "2")) +
           Frame(FrameType::kData, 0, 1, "abc"),
       ErrorCode::kProtocolError},
      {Frame(FrameType::kHeaders, kWhole, 1, kPost + Literal("content-length", "4")) +
           Frame(FrameType::kData, kEnd, 1, "abc"),
       ErrorCode::kProtocolError},
      {post + Frame(FrameType::kHeaders, kWhole, 1, Literal("x-sum", "1")),
       ErrorCode::kProtocolError},
      {post + Frame(FrameType::kHeaders, kWhole | kEnd, 1, "\x82"), ErrorCode::kProtocolError},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "case " << i);
    Start();
    EXPECT_EQ(ErrorCode::kNoError, Receive(cases[i].first));
    EXPECT_THAT(TakeOutput(),
                ElementsAre("reset 1 " + std::to_string(static_cast<int>(cases[i].second))));
    Told();
    // Ignored: it was under way.
    EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kData, kEnd, 1, "late")));
    EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kHeaders, kWhole | kEnd, 3, kGet)));
    EXPECT_THAT(Told(), ElementsAre("end 3", "block 3"));
  }
}

TEST_F(EngineTest, TheWindowsOfThePeerBindUs) {
  Start();
  Receive(Settings({{Setting::kInitialWindowSize, 10}}));
  for (const int32_t id : {1, 3}) Receive(Frame(FrameType::kHeaders, kWhole | kEnd, id, kGet));
  TakeOutput();
  Told();
  for (const int32_t id : {1, 3}) {
    Answer(id, false);
    EXPECT_EQ(25u, engine_->Send(*streams_[id], std::string(25, 'x'), true, 100));
  }
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("headers 1", "data 1 10", "headers 3", "data 3 10"));
  Receive(Frame(FrameType::kWindowUpdate, 0, 3, Number(3)));
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("data 3 3"));
  // All move, by as much as the setting did; below zero nothing goes.
  Receive(Settings({{Setting::kInitialWindowSize, 5}}));
  Receive(Frame(FrameType::kWindowUpdate, 0, 3, Number(5)));
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("settings 0"));
  Receive(Settings({{Setting::kInitialWindowSize, 20}}));
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("settings 0", "data 1 10", "data 3 12 end"));
  EXPECT_THAT(Told(), ElementsAre("closed 3"));
}

TEST_F(EngineTest, TheWindowOfTheConnectionIsSharedInTurns) {
  Start();
  Receive(Settings({{Setting::kInitialWindowSize, 1'000'000}}));
  for (const int32_t id : {1, 3, 5}) Receive(Frame(FrameType::kHeaders, kWhole | kEnd, id, kGet));
  is_full_ = true;
  for (const int32_t id : {1, 3}) {
    Answer(id, false);
    engine_->Send(*streams_[id], std::string(50'000, 'x'), true, 100'000);
  }
  Answer(5, false);
  engine_->Send(*streams_[5], {}, true, 100);
  TakeOutput();
  is_full_ = false;
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("data 1 16384", "data 3 16384", "data 5 0 end",
                                        "data 1 16384", "data 3 16383"));
  Receive(Frame(FrameType::kWindowUpdate, 0, 0, Number(100'000)));
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(),
              ElementsAre("data 1 16384", "data 3 16384", "data 1 848 end", "data 3 849 end"));
}

TEST_F(EngineTest, OurWindowsBindThePeer) {
  EngineOptions options;
  options.stream_window_bytes = 100;
  Start(options);
  // The initial size holds until ours is acknowledged.
  Receive(Frame(FrameType::kHeaders, kWhole, 1, kPost));
  EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kData, 0, 1, std::string(200, 'x'))));
  EXPECT_THAT(TakeOutput(), IsEmpty());
  Receive(Frame(FrameType::kSettings, kFlagAck, 0, ""));
  Receive(Frame(FrameType::kHeaders, kWhole, 3, kPost));
  Receive(Frame(FrameType::kData, 0, 3, std::string(60, 'x')));
  engine_->Consume(*streams_[3], 49);
  EXPECT_THAT(TakeOutput(), IsEmpty());
  engine_->Consume(*streams_[3], 1);
  EXPECT_THAT(TakeOutput(), ElementsAre("window 3 50"));
  Receive(Frame(FrameType::kData, 0, 3, std::string(90, 'x')));
  EXPECT_THAT(TakeOutput(), IsEmpty());
  Receive(Frame(FrameType::kData, 0, 3, "x"));
  EXPECT_THAT(TakeOutput(), ElementsAre("reset 3 3"));
  // The first stream has had more than it may by now; what comes on it is given back at once.
  const std::string block(16'000, 'x');
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kData, 0, 1, block)));
  }
  EXPECT_THAT(TakeOutput(), ElementsAre("reset 1 3", "window 0 48051"));
}

TEST_F(EngineTest, TheConnectionsWindowIsAllThatMayCome) {
  Start();
  for (const int32_t id : {1, 3}) Receive(Frame(FrameType::kHeaders, kWhole, id, kPost));
  const std::string block(16'000, 'x');
  for (const int32_t id : {1, 3, 1, 3}) {
    EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kData, 0, id, block)));
  }
  EXPECT_EQ(ErrorCode::kFlowControlError, Receive(Frame(FrameType::kData, 0, 1, block)));
}

TEST_F(EngineTest, AClientsGoAwayReturnsWhatWasNotLookedAt) {
  StartClient();
  StreamState& first = Ask();
  Ask();
  EXPECT_THAT(TakeOutput(), ElementsAre("headers 1 end", "headers 3 end"));
  Receive(Frame(FrameType::kGoAway, 0, 0, Number(1) + Number(0)));
  EXPECT_THAT(Told(), ElementsAre("closed 3 7 by peer", "goaway"));
  EXPECT_FALSE(engine_->can_open());
  EXPECT_FALSE(engine_->is_finished());
  Receive(Frame(FrameType::kHeaders, kWhole | kEnd, 1, kOk));
  EXPECT_THAT(Told(), ElementsAre("end 1", "block 1", "closed 1"));
  EXPECT_TRUE(first.is_remote_done && engine_->is_finished());
}

TEST_F(EngineTest, AnswersThatBreakTheRules) {
  const std::string head = Frame(FrameType::kHeaders, kWhole, 1, kOk);
  const std::vector<std::string> cases = {
      Frame(FrameType::kData, 0, 1, "x"),                        // before the head
      Frame(FrameType::kHeaders, kWhole, 1, "\x82"),             // a request
      Frame(FrameType::kHeaders, kWhole, 1, Literal("a", "b")),  // no status
      Frame(FrameType::kHeaders, kWhole, 1, Literal(":status", "20")),
      Frame(FrameType::kHeaders, kWhole | kEnd, 1, Literal(":status", "103")),
      head + Frame(FrameType::kHeaders, kWhole, 1, kOk),  // a second head
      Frame(FrameType::kHeaders, kWhole, 1, "\x89") + Frame(FrameType::kData, 0, 1, "x"),  // 204
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    StartClient();
    Ask();
    TakeOutput();
    EXPECT_EQ(ErrorCode::kNoError, Receive(cases[i])) << i;
    EXPECT_THAT(TakeOutput(), ElementsAre("reset 1 1")) << i;
  }
  StartClient();
  EXPECT_EQ(ErrorCode::kProtocolError, Receive(Frame(FrameType::kHeaders, kWhole, 1, kOk)));
  StartClient();
  Ask();
  EXPECT_EQ(ErrorCode::kProtocolError, Receive(Frame(FrameType::kPushPromise, kWhole, 1, "abcd")));
}

TEST_F(EngineTest, AnEarlyAnswerStopsTheRequest) {
  Start();
  Receive(Frame(FrameType::kHeaders, kWhole, 1, kPost));
  Told();
  Answer(1, true);
  EXPECT_THAT(TakeOutput(), ElementsAre("headers 1 end", "reset 1 0"));
  EXPECT_THAT(Told(), ElementsAre("closed 1"));
}

TEST_F(EngineTest, TrailersGoBehindTheBody) {
  Start();
  Receive(Settings({{Setting::kInitialWindowSize, 3}}));
  Receive(Frame(FrameType::kHeaders, kWhole | kEnd, 1, kGet));
  TakeOutput();
  Answer(1, false);
  Arena arena;
  HeaderMap trailers(arena);
  trailers.Add("grpc-status", "0");
  engine_->Send(*streams_[1], "body", false, 100);
  streams_[1]->trailers = &trailers;
  engine_->Send(*streams_[1], {}, true, 100);
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("headers 1", "data 1 3"));
  Receive(Frame(FrameType::kWindowUpdate, 0, 1, Number(9)));
  engine_->WriteWaiting();
  EXPECT_THAT(TakeOutput(), ElementsAre("data 1 1", "headers 1 end"));
}

TEST_F(EngineTest, LargeHeadsGoOnInContinuations) {
  Start();
  Receive(Frame(FrameType::kHeaders, kWhole | kEnd, 1, kGet));
  engine_->SendPing("12345678");
  engine_->BeginHead();
  engine_->AddField(HeaderId::kOther, ":status", "200");
  engine_->AddField(HeaderId::kOther, "x-large", std::string(40'000, '~'));
  engine_->EndHead(*streams_[1], true, false);
  EXPECT_THAT(TakeOutput(), ElementsAre("ping 0", "headers 1 end", "more 1", "more 1"));
}

TEST_F(EngineTest, AnswersNobodyReadsEndTheConnection) {
  EngineOptions options;
  options.answers_max = 10;
  Start(options);
  is_full_ = true;
  const std::string ping = Frame(FrameType::kPing, 0, 0, "12345678");
  for (int i = 0; i < 9; ++i) ASSERT_EQ(ErrorCode::kNoError, Receive(ping));
  engine_->WriteWaiting();
  EXPECT_EQ(ErrorCode::kNoError, Receive(Frame(FrameType::kPing, kFlagAck, 0, "12345678")));
  EXPECT_EQ(ErrorCode::kEnhanceYourCalm, Receive(ping + ping));
}

}  // namespace
}  // namespace meltemi::http::h2
