// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "lib/tls/testing/tls_fixture.h"

namespace meltemi::tls {
namespace {

using namespace testing;

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

}  // namespace
}  // namespace meltemi::tls
