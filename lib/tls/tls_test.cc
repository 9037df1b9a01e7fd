// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <functional>

#include "lib/net/connection.h"
#include "lib/tls/context.h"
#include "lib/tls/testing/certificates.h"

namespace meltemi::tls {
namespace {

using net::CloseReason;
using net::Connection;
using std::chrono::milliseconds;
using testing::CertificateAuthority;

constexpr char kApp[] = "spiffe://cluster.local/ns/default/sa/app";

void UsePair(SSL_CTX* context, const CertificateKey& pair) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> chain(BIO_new_mem_buf(pair.chain_pem.data(), -1),
                                                        BIO_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> key(BIO_new_mem_buf(pair.key_pem.data(), -1),
                                                      BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> leaf(
      PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr), X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> secret(
      PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  ASSERT_EQ(1, SSL_CTX_use_certificate(context, leaf.get()));
  ASSERT_EQ(1, SSL_CTX_use_PrivateKey(context, secret.get()));
}

struct Side final : net::ConnectionCallbacks {
  void OnConnected() override { is_connected = true; }
  void OnInput() override {
    if (!is_consuming) return;
    got.append(connection->input().view());
    connection->input().Consume(connection->input().size());
  }
  void OnClosed(CloseReason why) override {
    closed = why;
    failure = connection->tls_failure();
  }
  std::string failure_now() const { return std::string(connection->tls_failure()); }

  std::unique_ptr<Connection> connection;
  bool is_connected = false;
  bool is_consuming = true;
  std::string got;
  std::optional<CloseReason> closed;
  std::string failure;
};

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() : loop_(*runtime::Loop::Create()) {}

  ServerSettings Server() {
    return {.certificates = {ca_.Issue()},
            .client_certificate = ClientCertificate::kRequired,
            .verification = {.trusted_pem = {ca_.pem()}},
            .alpn = {"istio", "h2"}};
  }
  ClientSettings Client() {
    return {.certificate = ca_.Issue(),
            .verification = {.trusted_pem = {ca_.pem()},
                             .subject_alt_names = {{SanMatcher::Kind::kExact, kApp}}},
            .alpn = {"istio"},
            .server_name = "outbound_.80_._.app.default.svc.cluster.local"};
  }

  static void Pair(int type, Fd* a, Fd* b) {
    int fds[2];
    ASSERT_EQ(0, socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    a->Reset(fds[0]);
    b->Reset(fds[1]);
  }
  void Put(Side* side, Fd socket, std::unique_ptr<net::RecordLayer> records,
           std::string_view prefix = {}) {
    *side = Side();
    side->connection = std::make_unique<Connection>(
        *loop_, pool_, std::move(socket), std::move(records), net::ConnectionLimits{}, prefix);
    side->connection->SetCallbacks(side);
  }
  void Start(const std::shared_ptr<const ServerContext>& server,
             const std::shared_ptr<const ClientContext>& client) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&server_, std::move(a), server->NewSession());
    Put(&client_, std::move(b), client->NewSession());
  }
  void Start(const ServerSettings& server, const ClientSettings& client) {
    auto server_context = ServerContext::Build(server);
    auto client_context = ClientContext::Build(client);
    ASSERT_TRUE(server_context.ok()) << server_context.status();
    ASSERT_TRUE(client_context.ok()) << client_context.status();
    Start(*server_context, *client_context);
  }
  // `wait`: no event of ours comes while the peer alone has something to do.
  void RunUntil(const std::function<bool()>& done, Duration wait = milliseconds(200)) {
    for (int passes = 0; passes < 100'000 && !done(); ++passes) loop_->RunOnce(wait);
    EXPECT_TRUE(done());
  }
  void RunToConnected() {
    RunUntil([&] { return server_.is_connected && client_.is_connected; });
  }
  // TLS 1.3 clients finish before the server judges them: the verdict comes as a closed connection.
  void RunToClosed() {
    RunUntil([&] { return server_.closed.has_value() || client_.closed.has_value(); });
    for (int i = 0; i < 5; ++i) loop_->RunOnce(Duration::zero());
  }
  void Echo(std::string_view text) {
    client_.connection->output().Append(text);
    client_.connection->Flush();
    RunUntil([&] { return server_.got.size() >= text.size(); });
    EXPECT_EQ(text, server_.got);
    server_.got.clear();
  }

  std::unique_ptr<runtime::Loop> loop_;
  net::BlockPool pool_;
  CertificateAuthority ca_;
  Side server_, client_;
};

TEST_F(TlsTest, MutualHandshakeOnBothVersions) {
  for (const int version : {12, 13}) {
    ClientSettings client = Client();
    client.version_min = client.version_max = version;
    Start(Server(), client);
    RunToConnected();
    Echo("hello");
    const net::TlsPeer& seen = *server_.connection->tls_peer();
    EXPECT_EQ(kApp, seen.uri_san);
    EXPECT_EQ("istio", seen.alpn);
    EXPECT_EQ(client.server_name, seen.server_name);
    EXPECT_EQ(version == 12 ? "TLSv1.2" : "TLSv1.3", seen.version);
    EXPECT_FALSE(seen.certificate_der.empty());
    EXPECT_EQ(kApp, client_.connection->tls_peer()->uri_san);
    EXPECT_EQ(version == 12 ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256",
              seen.cipher);
  }
}

TEST_F(TlsTest, SubjectAndDnsNamesOfThePeer) {
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.san = "DNS:*.example.com", .common_name = "a+b"})};
  ClientSettings client = Client();
  client.verification.subject_alt_names = {{SanMatcher::Kind::kExact, "www.example.com"}};
  Start(server, client);
  RunToConnected();
  EXPECT_EQ("*.example.com", client_.connection->tls_peer()->dns_san);
  EXPECT_EQ("CN=a\\+b,O=Meltemi\\, tests", client_.connection->tls_peer()->subject);
}

TEST_F(TlsTest, SanMatchers) {
  const struct {
    SanMatcher::Kind kind;
    const char* value;
    bool is_match;
  } cases[] = {{SanMatcher::Kind::kExact, "spiffe://cluster.local/ns/default/sa/other", false},
               {SanMatcher::Kind::kExact, "spiffe://cluster.local/ns/default/sa/ap", false},
               {SanMatcher::Kind::kPrefix, "spiffe://cluster.local/", true},
               {SanMatcher::Kind::kPrefix, "spiffe://cluster.locale/", false},
               {SanMatcher::Kind::kSuffix, "/sa/app", true},
               {SanMatcher::Kind::kContains, "/ns/default/", true},
               {SanMatcher::Kind::kContains, "/ns/prod/", false}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.verification.subject_alt_names = {{c.kind, c.value}};
    Start(Server(), client);
    if (c.is_match) {
      RunToConnected();
      continue;
    }
    RunToClosed();
    EXPECT_EQ(CloseReason::kTlsFailed, *client_.closed) << c.value;
    EXPECT_EQ("SAN mismatch: got spiffe://cluster.local/ns/default/sa/app", client_.failure);
  }
}

TEST_F(TlsTest, TheServerJudgesItsClient) {
  const CertificateAuthority stranger("stranger");
  const struct {
    std::optional<CertificateKey> certificate;
    const char* server_says;
    const char* client_hears;
  } cases[] = {{std::nullopt, "no client certificate", "peer requires a client certificate"},
               {stranger.Issue(), "unknown issuer", "peer does not know our issuer"},
               {ca_.Issue({.starts_in_seconds = -100, .ends_in_seconds = -10}),
                "certificate expired", "peer finds our certificate expired"},
               {ca_.Issue({.starts_in_seconds = 100, .ends_in_seconds = 200}),
                "certificate not valid yet", nullptr},
               {ca_.Issue({.san = "URI:spiffe://elsewhere/x"}),
                "SAN mismatch: got spiffe://elsewhere/x", nullptr}};
  ServerSettings server = Server();
  server.verification.subject_alt_names = {{SanMatcher::Kind::kPrefix, "spiffe://cluster.local/"}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.certificate = c.certificate;
    Start(server, client);
    RunUntil([&] { return server_.closed.has_value() && client_.closed.has_value(); });
    EXPECT_EQ(CloseReason::kTlsFailed, *server_.closed);
    EXPECT_EQ(c.server_says, server_.failure);
    if (c.client_hears != nullptr) {
      EXPECT_EQ(c.client_hears, client_.failure);
    }
    EXPECT_FALSE(server_.is_connected);
  }
}

TEST_F(TlsTest, AnOptionalClientCertificateMayBeAbsentButNotWrong) {
  ServerSettings server = Server();
  server.client_certificate = ClientCertificate::kOptional;
  ClientSettings client = Client();
  client.certificate.reset();
  Start(server, client);
  RunToConnected();
  EXPECT_TRUE(server_.connection->tls_peer()->certificate_der.empty());
  client.certificate = CertificateAuthority("stranger").Issue();
  Start(server, client);
  RunToClosed();
  EXPECT_EQ("unknown issuer", server_.failure);
}

TEST_F(TlsTest, AServerOfAnUnknownIssuerIsRefusedUnlessVerificationIsOff) {
  ServerSettings server = Server();
  server.client_certificate = ClientCertificate::kNone;
  server.certificates = {CertificateAuthority("stranger").Issue()};
  ClientSettings client = Client();
  Start(server, client);
  RunToClosed();
  EXPECT_EQ("unknown issuer", client_.failure);
  client.verification = {.is_disabled = true};
  Start(server, client);
  RunToConnected();
  Echo("accepted anyway");
}

// As BoringSSL and OpenSSL servers have it: an Envoy offers "istio" to a port that speaks "h2".
TEST_F(TlsTest, WithoutACommonProtocolTheConnectionHasNone) {
  ClientSettings client = Client();
  client.alpn = {"http/1.1"};
  Start(Server(), client);
  RunToConnected();
  EXPECT_EQ("", server_.connection->tls_peer()->alpn);
  EXPECT_EQ("", client_.connection->tls_peer()->alpn);
  Echo("no protocol was chosen");
}

TEST_F(TlsTest, ChoosesTheCertificateByServerName) {
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.san = "DNS:a.test"}), ca_.Issue({.san = "DNS:b.test"})};
  ClientSettings client = Client();
  client.verification.subject_alt_names.clear();
  for (const char* name : {"a.test", "b.test", "unknown.test"}) {
    client.server_name = name;
    Start(server, client);
    RunToConnected();
    EXPECT_EQ(std::string_view(name) == "b.test" ? "b.test" : "a.test",
              client_.connection->tls_peer()->dns_san);
  }
}

TEST_F(TlsTest, ASecondConnectionResumesTheFirst) {
  const auto server = *ServerContext::Build(Server());
  const auto client = *ClientContext::Build(Client());
  Start(server, client);
  RunToConnected();
  EXPECT_FALSE(client_.connection->tls_peer()->resumed);
  server_.connection->output().Append("the tickets come before this");
  server_.connection->Flush();
  RunUntil([&] { return !client_.got.empty(); });
  Start(server, client);
  RunToConnected();
  EXPECT_TRUE(client_.connection->tls_peer()->resumed);
  EXPECT_TRUE(server_.connection->tls_peer()->resumed);
  EXPECT_EQ(kApp, server_.connection->tls_peer()->uri_san);
  Echo("resumed");
}

TEST_F(TlsTest, RotationLeavesOpenConnectionsAlone) {
  auto server = *ServerContext::Build(Server());
  auto client = *ClientContext::Build(Client());
  Start(server, client);
  RunToConnected();
  server.reset();
  client.reset();
  Echo("on the old context, whose last reference is this connection");
}

TEST_F(TlsTest, TenMegabytesBothWays) {
  Start(Server(), Client());
  RunToConnected();
  std::string text;
  for (int i = 0; text.size() < 10'000'000; ++i) text += std::to_string(i);
  for (Side* side : {&server_, &client_}) {
    side->connection->output().Append(text);
    side->connection->Flush();
  }
  RunUntil([&] { return server_.got.size() == text.size() && client_.got.size() == text.size(); });
  EXPECT_TRUE(server_.got == text);
  EXPECT_TRUE(client_.got == text);
  EXPECT_EQ(0u, pool_.blocks_in_use());
}

TEST_F(TlsTest, APausedReaderLosesNothing) {
  Start(Server(), Client());
  RunToConnected();
  server_.is_consuming = false;
  const std::string text(200'000, 'p');
  client_.connection->output().Append(text);
  client_.connection->Flush();
  RunUntil([&] { return server_.connection->input().size() >= net::BlockPool::kBlockBytes; });
  loop_->RunOnce(Duration::zero());
  EXPECT_EQ(net::BlockPool::kBlockBytes, server_.connection->input().size());
  server_.is_consuming = true;
  server_.OnInput();
  server_.connection->ResumeReading();
  RunUntil([&] { return server_.got.size() == text.size(); });
}

TEST_F(TlsTest, CloseNotifyEndsTheInput) {
  Start(Server(), Client());
  RunToConnected();
  client_.connection->output().Append("last words");
  client_.connection->EndOutput();
  RunUntil([&] { return server_.connection->input_ended(); });
  EXPECT_EQ("last words", server_.got);
  server_.connection->output().Append("answer");
  server_.connection->EndOutput();
  RunUntil([&] { return client_.closed.has_value() && server_.closed.has_value(); });
  EXPECT_EQ("answer", client_.got);
  EXPECT_EQ(CloseReason::kRemoteEnd, *client_.closed);
  EXPECT_EQ(CloseReason::kRemoteEnd, *server_.closed);
}

TEST_F(TlsTest, WhatIsNoTlsIsNamed) {
  const struct {
    std::string bytes;
    const char* failure;
  } cases[] = {{"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "peer spoke plain HTTP"},
               {std::string(64, '\0'), "peer spoke no TLS, or a broken one"},
               {std::string("\x16\x03\x01\xff\xff", 5), "peer spoke no TLS, or a broken one"}};
  const auto context = *ServerContext::Build(Server());
  for (const auto& c : cases) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&server_, std::move(a), context->NewSession());
    ASSERT_EQ(static_cast<ssize_t>(c.bytes.size()), write(b.get(), c.bytes.data(), c.bytes.size()));
    RunUntil([&] { return server_.closed.has_value(); });
    EXPECT_EQ(CloseReason::kTlsFailed, *server_.closed);
    EXPECT_EQ(c.failure, server_.failure);
  }
}

TEST_F(TlsTest, APlainHttpServerIsNamed) {
  Fd a, b;
  Pair(SOCK_STREAM, &a, &b);
  Put(&client_, std::move(a), (*ClientContext::Build(Client()))->NewSession());
  ASSERT_LT(0, write(b.get(), "HTTP/1.1 400 Bad Request\r\n\r\n", 28));
  RunUntil([&] { return client_.closed.has_value(); });
  EXPECT_EQ("peer spoke plain HTTP", client_.failure);
}

TEST_F(TlsTest, APeerThatLeavesDuringTheHandshakeIsNamed) {
  Fd a, b;
  Pair(SOCK_STREAM, &a, &b);
  Put(&server_, std::move(a), (*ServerContext::Build(Server()))->NewSession());
  b.Reset();
  RunUntil([&] { return server_.closed.has_value(); });
  EXPECT_EQ("peer ended the connection during the handshake", server_.failure);
}

TEST_F(TlsTest, AClientHelloReadByAnInspectorComesFirst) {
  for (const size_t cut : {size_t{1}, size_t{100}, size_t{100'000}}) {
    Fd a, b;
    Pair(SOCK_STREAM, &a, &b);
    Put(&client_, std::move(b), (*ClientContext::Build(Client()))->NewSession());
    loop_->RunOnce(milliseconds(200));
    std::string hello(cut, '\0');
    const ssize_t count = read(a.get(), hello.data(), hello.size());
    ASSERT_GT(count, 0);
    hello.resize(count);
    Put(&server_, std::move(a), (*ServerContext::Build(Server()))->NewSession(), hello);
    RunToConnected();
    Echo("after the prefix");
  }
}

TEST_F(TlsTest, RecordsThatComeByteByByte) {
  Fd server_end, server_wire, client_end, client_wire;
  Pair(SOCK_STREAM, &server_end, &server_wire);
  Pair(SOCK_STREAM, &client_end, &client_wire);
  Put(&server_, std::move(server_end), (*ServerContext::Build(Server()))->NewSession());
  Put(&client_, std::move(client_end), (*ClientContext::Build(Client()))->NewSession());
  client_.connection->output().Append("slow");
  const auto pump = [](const Fd& from, const Fd& to) {
    char byte;
    if (read(from.get(), &byte, 1) == 1) {
      EXPECT_EQ(1, write(to.get(), &byte, 1));
    }
  };
  for (int passes = 0; passes < 20'000 && server_.got.size() < 4; ++passes) {
    pump(client_wire, server_wire);
    pump(server_wire, client_wire);
    loop_->RunOnce(Duration::zero());
  }
  EXPECT_EQ("slow", server_.got);
}

// OpenSSL as the other side: another implementation's view of the protocol.
TEST_F(TlsTest, TalksWithOpenSsl) {
  const CertificateKey pair = ca_.Issue();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool is_server : {false, true}) {
      const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()),
                                                                      SSL_CTX_free);
      SSL_CTX_set_min_proto_version(context.get(), version);
      SSL_CTX_set_max_proto_version(context.get(), version);
      UsePair(context.get(), pair);
      const std::unique_ptr<SSL, decltype(&SSL_free)> peer(SSL_new(context.get()), SSL_free);
      Fd ours, theirs;
      Pair(SOCK_STREAM, &ours, &theirs);
      SSL_set_fd(peer.get(), theirs.get());
      is_server ? SSL_set_accept_state(peer.get()) : SSL_set_connect_state(peer.get());
      Put(&server_, std::move(ours),
          is_server ? (*ClientContext::Build(Client()))->NewSession()
                    : (*ServerContext::Build(Server()))->NewSession());
      char bytes[16];
      int got = 0;
      for (int i = 0; i < 100 && got != 5; ++i) {
        loop_->RunOnce(milliseconds(1));
        if (SSL_do_handshake(peer.get()) == 1 && server_.got.empty()) {
          EXPECT_EQ(5, SSL_write(peer.get(), "hello", 5));
        }
        if (server_.got == "hello" && server_.connection->bytes_sent() == 0) {
          server_.connection->output().Append("world");
          server_.connection->Flush();
        }
        got = SSL_read(peer.get(), bytes, sizeof bytes);
      }
      EXPECT_EQ("world", std::string(bytes, std::max(got, 0)));
      EXPECT_EQ(kApp, server_.connection->tls_peer()->uri_san);
    }
  }
}

TEST_F(TlsTest, SettingsThatMakeNoContextAreRefused) {
  ServerSettings server = Server();
  server.certificates.clear();
  EXPECT_FALSE(ServerContext::Build(server).ok());
  server = Server();
  server.certificates[0].key_pem = ca_.Issue().key_pem;
  EXPECT_EQ("TLS server: private key does not belong to the certificate",
            Message(ServerContext::Build(server).status()));
  server = Server();
  server.certificates[0].key_pem = "nonsense";
  EXPECT_FALSE(ServerContext::Build(server).ok());
  server = Server();
  server.verification.trusted_pem = {"nonsense"};
  EXPECT_FALSE(ServerContext::Build(server).ok());
  ClientSettings client = Client();
  client.version_min = 13;
  client.version_max = 12;
  EXPECT_FALSE(ClientContext::Build(client).ok());
}

// A handshake with OpenSSL, then what the test does with both ends.
class OpenSslTest : public TlsTest {
 protected:
  void Connect(int version, bool is_openssl_server) {
    context_.reset(SSL_CTX_new(TLS_method()));
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    UsePair(context_.get(), ca_.Issue());
    peer_.reset(SSL_new(context_.get()));
    Fd ours;
    Pair(SOCK_STREAM, &ours, &theirs_);
    SSL_set_fd(peer_.get(), theirs_.get());
    is_openssl_server ? SSL_set_accept_state(peer_.get()) : SSL_set_connect_state(peer_.get());
    Put(&server_, std::move(ours),
        is_openssl_server ? (*ClientContext::Build(Client()))->NewSession()
                          : (*ServerContext::Build(Server()))->NewSession());
    RunUntil([&] { return SSL_do_handshake(peer_.get()) == 1 && server_.is_connected; },
             milliseconds(1));
    Exchange("first");
  }
  // Both ways; a read makes OpenSSL take in what is no data.
  void Exchange(const std::string& text) {
    server_.got.clear();
    EXPECT_EQ(static_cast<int>(text.size()),
              SSL_write(peer_.get(), text.data(), static_cast<int>(text.size())));
    RunUntil([&] { return server_.got.size() >= text.size(); });
    EXPECT_EQ(text, server_.got);
    server_.connection->output().Append(text);
    server_.connection->Flush();
    std::string heard;
    RunUntil([&] { return Hear(&heard) >= text.size(); }, milliseconds(1));
    EXPECT_EQ(text, heard);
  }

  // Adds what has come; how much there is now.
  size_t Hear(std::string* heard) {
    char bytes[4096];
    const int got = SSL_read(peer_.get(), bytes, sizeof bytes);
    if (got > 0) heard->append(bytes, static_cast<size_t>(got));
    return heard->size();
  }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> peer_{nullptr, SSL_free};
  Fd theirs_;
};

TEST_F(OpenSslTest, KeysChangeUnderWay) {
  for (const bool is_openssl_server : {false, true}) {
    Connect(TLS1_3_VERSION, is_openssl_server);
    for (int round = 0; round < 3; ++round) {
      for (const int kind : {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED}) {
        ASSERT_EQ(1, SSL_key_update(peer_.get(), kind));
        Exchange("after a change of keys");
      }
    }
  }
}

TEST_F(OpenSslTest, KeysThatOnlyChangeEndTheConnection) {
  Connect(TLS1_3_VERSION, false);
  for (int i = 0; i < 100 && !server_.closed; ++i) {
    SSL_key_update(peer_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(peer_.get());
    loop_->RunOnce(Duration::zero());
  }
  RunUntil([&] { return server_.closed.has_value(); });
  EXPECT_EQ("too many records without data", server_.failure);
}

TEST_F(OpenSslTest, BrokenRecordsAreRefused) {
  const struct {
    std::string bytes;
    const char* failure12;
    const char* failure13;
  } cases[] = {
      {std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'), "record does not decrypt",
       "record does not decrypt"},
      {std::string("\x17\x03\x03\x00\x01x", 6), "record does not decrypt",
       "record does not decrypt"},
      {std::string("\x17\x03\x03\xff\xff", 5), "record too long", "record too long"},
      {std::string("\x14\x03\x03\x00\x01\x01", 6), "unexpected cipher change after the handshake",
       "unexpected cipher change after the handshake"},
      {std::string("\x15\x03\x03\x00\x02\x02\x28", 7), "record does not decrypt",
       "unexpected record after the handshake"},
      {"GET / HTTP/1.1\r\n", "unexpected record after the handshake",
       "unexpected record after the handshake"},
  };
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const auto& c : cases) {
      Connect(version, false);
      ASSERT_EQ(static_cast<ssize_t>(c.bytes.size()),
                send(theirs_.get(), c.bytes.data(), c.bytes.size(), 0));
      RunUntil([&] { return server_.closed.has_value(); });
      EXPECT_EQ(version == TLS1_2_VERSION ? c.failure12 : c.failure13, server_.failure);
    }
  }
}

TEST_F(OpenSslTest, MessagesOfEverySizeOnBothVersions) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool is_openssl_server : {false, true}) {
      Connect(version, is_openssl_server);
      for (const size_t size : {1, 15, 16, 17, 1000, 16383, 16384, 16385, 40000}) {
        const std::string text(size, 'm');
        server_.connection->output().Append(text);
        server_.connection->Flush();
        std::string heard;
        RunUntil([&] { return Hear(&heard) >= size; }, milliseconds(1));
        EXPECT_EQ(text, heard);
      }
    }
  }
}

TEST_F(TlsTest, ANulDoesNotEndAName) {
  using Kind = SanMatcher::Kind;
  ServerSettings server = Server();
  server.certificates = {ca_.Issue({.raw_dns = std::string("good.test\0.evil.test", 20)})};
  const struct {
    SanMatcher matcher;
    bool is_match;
  } cases[] = {{{Kind::kExact, "good.test", SanMatcher::Type::kDns}, false},
               {{Kind::kSuffix, "good.test"}, false},
               {{Kind::kRegex, "good\\.test"}, false},
               {{Kind::kSuffix, ".evil.test"}, true}};
  for (const auto& c : cases) {
    ClientSettings client = Client();
    client.verification.subject_alt_names = {c.matcher};
    Start(server, client);
    c.is_match ? RunToConnected() : RunToClosed();
    if (!c.is_match) {
      EXPECT_EQ("SAN mismatch: got good.test\\0.evil.test", client_.failure);
    }
  }
}

TEST_F(TlsTest, WhatIsNotVerifiedIsNoIdentity) {
  const CertificateAuthority stranger("stranger");
  ServerSettings server = Server();
  server.verification.accepts_untrusted = true;
  for (const bool is_known : {true, false}) {
    ClientSettings client = Client();
    client.certificate = is_known ? ca_.Issue() : stranger.Issue();
    Start(server, client);
    RunToConnected();
    const net::TlsPeer& seen = *server_.connection->tls_peer();
    EXPECT_EQ(is_known, seen.is_verified);
    EXPECT_EQ(is_known ? kApp : "", seen.uri_san);
    EXPECT_FALSE(seen.certificate_der.empty());
  }
}

}  // namespace
}  // namespace meltemi::tls
