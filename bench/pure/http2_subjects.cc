// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>

#include "bench/pure/subject.h"
#include "lib/base/check.h"
#include "lib/http/h2/engine.h"
#include "lib/http/h2/huffman.h"

namespace meltemi::bench {
namespace {

using namespace http::h2;

constexpr std::string_view kText =
    "session=eyJ1c2VyIjoiamFzb24ifQ.XyZ12345.abcdefghijklmnopqrstuvwxyz012345; theme=dark; "
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";

struct EncodeHuffman {
  void operator()() {
    char coded[kText.size() * 4];
    MELTEMI_CHECK(HuffmanEncode(kText, coded) > coded + 50);
  }
};

struct DecodeHuffman {
  DecodeHuffman() {
    coded.resize(HuffmanSize(kText));
    HuffmanEncode(kText, coded.data());
    text.resize(HuffmanDecodedMax(coded.size()));
  }
  void operator()() { MELTEMI_CHECK(HuffmanDecode(coded, text.data()) == kText.size()); }
  std::string coded, text;
};

// A request's fields: what repeats, a credential, and an id and a path that never come again.
class Request {
 public:
  template <typename Add>  // (id, name, value)
  void ForEachField(Add add) {
    std::memset(path_ + 10, '0', 8);
    std::to_chars(path_ + 10, path_ + 18, ++number_);
    using http::HeaderId;
    add(HeaderId::kOther, ":method", "GET");
    add(HeaderId::kOther, ":scheme", "http");
    add(HeaderId::kOther, ":authority", "reviews.default.svc.cluster.local:9080");
    add(HeaderId::kOther, ":path", std::string_view(path_, 18));
    add(HeaderId::kUserAgent, "user-agent", "python-requests/2.32.0");
    add(HeaderId::kAccept, "accept", "application/json");
    add(HeaderId::kAuthorization, "authorization", kText);
    add(HeaderId::kXRequestId, "x-request-id", std::string_view(path_ + 1, 17));
    add(HeaderId::kXForwardedProto, "x-forwarded-proto", "http");
  }
  static constexpr size_t kFields = 9;

 private:
  char path_[19] = "/reviews/x00000000";
  uint32_t number_ = 0;
};

// Blocks of a connection that has gone on for a while: what can be indexed is.
struct EncodeRequest {
  EncodeRequest() {
    for (int i = 0; i < 3; ++i) Encode();
  }
  void operator()() { MELTEMI_CHECK(Encode().size() > 100); }
  std::string_view Encode() {
    out.Clear();
    encoder.BeginBlock(out);
    request.ForEachField([this](http::HeaderId id, std::string_view name, std::string_view value) {
      encoder.Encode(id, name, value, out);
    });
    return out.view();
  }
  Request request;
  net::BlockPool pool;
  net::Buffer out{pool};
  HpackEncoder encoder;
};

struct CountingSink final : FieldSink {
  void OnField(const Field&) override { ++fields; }
  size_t fields = 0;
};

struct DecodeRequest {
  DecodeRequest() {
    EncodeRequest peer;
    peer.encoder = HpackEncoder();
    for (int i = 0; i < 4; ++i) {
      block = peer.Encode();
      CountingSink sink;
      MELTEMI_CHECK(decoder.Decode(block, true, sink));
    }
  }
  void operator()() {
    CountingSink sink;
    MELTEMI_CHECK(decoder.Decode(block, true, sink));
    MELTEMI_CHECK(sink.fields == Request::kFields);
  }
  std::string block;
  HpackDecoder decoder;
};

// One end of a connection that has one stream at a time.
class End final : public EngineOwner {
 public:
  explicit End(bool is_server) : engine(*this, {.is_server = is_server}, output) { engine.Begin(); }
  // Gives the peer what was written.
  void SendTo(End& peer) {
    MELTEMI_CHECK(peer.engine.Receive(output.view()) == ErrorCode::kNoError);
    output.Clear();
    engine.WriteWaiting();
  }

  ErrorCode OnFrame(const FrameHead&, bool) override { return ErrorCode::kNoError; }
  StreamState& OnNewRequest(int32_t) override {
    stream.Recycle();
    return stream;
  }
  void OnBlock(StreamState&) override {}
  void OnField(StreamState&, const Field&) override { ++fields; }
  void OnBlockEnd(StreamState&) override {}
  void OnData(StreamState& from, std::string_view bytes) override {
    body_bytes += bytes.size();
    engine.Consume(from, bytes.size());
  }
  void OnRemoteEnd(StreamState&) override {}
  void OnStreamClosed(StreamState&, ErrorCode code, bool) override {
    MELTEMI_CHECK(code == ErrorCode::kNoError);
    ++closed;
  }
  void OnStreamViolation() override { MELTEMI_CHECK(false); }
  void OnSettings() override {}
  void OnGoAway() override {}
  void OnPong() override {}
  void OnSent(StreamState&) override {}
  void OnFrameSent(FrameType) override {}
  bool is_output_full() const override { return false; }

  net::BlockPool pool;
  net::Buffer output{pool};
  StreamState stream{pool};
  Engine engine;
  size_t fields = 0, body_bytes = 0, closed = 0;
};

struct Connection {
  Connection() {
    for (int i = 0; i < 2; ++i) {
      client.SendTo(server);
      server.SendTo(client);
    }
  }
  void Ask(bool end_stream) {
    client.stream.Recycle();
    MELTEMI_CHECK(client.engine.Open(client.stream));
    client.engine.BeginHead();
    request.ForEachField([this](http::HeaderId id, std::string_view name, std::string_view value) {
      client.engine.AddField(id, name, value);
    });
    client.engine.EndHead(client.stream, end_stream, false);
    client.SendTo(server);
  }
  Request request;
  End client{false}, server{true};
};

constexpr std::string_view kBody =
    R"({"id":"0","reviews":[{"reviewer":"Reviewer1","text":"An extremely entertaining play"}]})";

// A GET and its answer with a short body, all that both ends do for it.
struct Exchange : Connection {
  void operator()() {
    using http::HeaderId;
    Ask(true);
    Engine& engine = server.engine;
    engine.BeginHead();
    engine.AddField(HeaderId::kOther, ":status", "200");
    engine.AddField(HeaderId::kContentType, "content-type", "application/json");
    engine.AddNumber(HeaderId::kContentLength, "content-length", kBody.size());
    engine.AddField(HeaderId::kServer, "server", "istio-envoy");
    engine.EndHead(server.stream, false, false);
    MELTEMI_CHECK(engine.Send(server.stream, kBody, true, 0) == kBody.size());
    server.SendTo(client);
    client.SendTo(server);
    MELTEMI_CHECK(++rounds == client.closed && rounds == server.closed);
  }
  size_t rounds = 0;
};

// Eight DATA frames of 1 KB of an upload, and the windows given back.
struct Upload : Connection {
  Upload() { Ask(false); }
  void operator()() {
    for (int i = 0; i < 8; ++i) {
      MELTEMI_CHECK(client.engine.Send(client.stream, piece, false, 0) == piece.size());
    }
    server.body_bytes = 0;
    client.SendTo(server);
    server.SendTo(client);
    MELTEMI_CHECK(server.body_bytes == 8 * piece.size());
  }
  std::string piece = std::string(1024, 'x');
};

}  // namespace

std::vector<Subject> Http2Subjects() {
  return {
      Measure<EncodeHuffman>("h2_huffman_encode"),
      Measure<DecodeHuffman>("h2_huffman_decode"),
      Measure<EncodeRequest>("h2_hpack_encode"),
      Measure<DecodeRequest>("h2_hpack_decode"),
      Measure<Exchange>("h2_exchange"),
      Measure<Upload>("h2_upload_8_frames"),
  };
}

}  // namespace meltemi::bench
