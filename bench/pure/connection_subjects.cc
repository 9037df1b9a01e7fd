// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include <string>
#include <string_view>

#include "bench/pure/subject.h"
#include "lib/base/check.h"
#include "lib/base/fd.h"
#include "lib/net/proxy_header.h"
#include "lib/tls/context.h"
#include "lib/tls/testing/certificates.h"
#include "proxy/listener/client_hello.h"
#include "proxy/listener/testing/client_hello_bytes.h"

namespace meltemi::bench {
namespace {

// The two ends of a handshake over a socket pair, driven in turns.
struct TlsPair {
  TlsPair() {
    int fds[2];
    MELTEMI_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    client_socket = Fd(fds[0]);
    server_socket = Fd(fds[1]);
    const tls::testing::CertificateAuthority authority;
    server = (*tls::ServerContext::Build(
                  {.certificates = {authority.Issue()}, .alpn = {"h2", "http/1.1"}, .tickets = 0}))
                 ->NewSession();
    client = (*tls::ClientContext::Build({.verification = {.trusted_pem = {authority.pem()}},
                                          .alpn = {"h2", "http/1.1"},
                                          .server_name = "reviews.default.svc.cluster.local"}))
                 ->NewSession();
  }
  void Shake() {
    using net::IoState;
    IoState ours = IoState::kWouldBlock, theirs = IoState::kWouldBlock;
    while (ours != IoState::kOk || theirs != IoState::kOk) {
      if (ours != IoState::kOk) ours = client->Handshake(client_socket.get());
      if (theirs != IoState::kOk) theirs = server->Handshake(server_socket.get());
      MELTEMI_CHECK(ours != IoState::kError && theirs != IoState::kError);
    }
  }
  Fd client_socket, server_socket;
  std::unique_ptr<net::RecordLayer> client, server;
};

// One message sealed by the client's record layer and opened by the server's; the kernel's part
// does not count.
struct PassRecords {
  explicit PassRecords(size_t bytes) : message(bytes, 'm'), got(bytes + 1024, '\0') {
    pair.Shake();
  }
  void operator()() {
    MELTEMI_CHECK(pair.client->Write(pair.client_socket.get(), message).bytes == message.size());
    size_t bytes = 0;
    while (bytes < message.size()) {
      const net::IoResult result =
          pair.server->Read(pair.server_socket.get(), got.data() + bytes, got.size() - bytes);
      MELTEMI_CHECK(result.state == net::IoState::kOk);
      bytes += result.bytes;
    }
  }
  TlsPair pair;
  std::string message, got;
};

struct InspectClientHello {
  void operator()() {
    const proxy::ClientHello parsed = proxy::ParseClientHello(hello);
    MELTEMI_CHECK(parsed.state == proxy::ClientHello::State::kTls && parsed.alpn.size() == 2);
  }
  // With the key share of a hybrid exchange, as browsers send it.
  const std::string hello = proxy::testing::Record(proxy::testing::Message(
      proxy::testing::Extension(51, std::string(1216, 'k')) +
      proxy::testing::ServerName("reviews.default.svc.cluster.local") +
      proxy::testing::Extension(43, "\x02\x03\x04") + proxy::testing::Alpn({"h2", "http/1.1"})));
};

struct ParseProxy {
  explicit ParseProxy(bool is_text) {
    const auto source = *net::Address::Parse("10.1.2.3:43210");
    const auto destination = *net::Address::Parse("10.96.0.7:443");
    const std::vector<net::ProxyTlv> tlvs = {{0x02, "reviews.test"}, {0xea, "vpce-0123456789"}};
    header = is_text ? net::EncodeProxyText(source, destination)
                     : *net::EncodeProxyBinary(source, destination, tlvs);
  }
  void operator()() {
    const net::ParsedProxyHeader parsed = net::ParseProxyHeader(header);
    MELTEMI_CHECK(parsed.state == net::ParsedProxyHeader::State::kWhole);
  }
  std::string header;
};

}  // namespace

std::vector<Subject> ConnectionSubjects() {
  return {
      Measure<InspectClientHello>("tls_inspect_client_hello"),
      Measure<PassRecords>("tls_seal_open_100", size_t{100}),
      Measure<PassRecords>("tls_seal_open_16384", size_t{16384}),
      Measure<ParseProxy>("proxy_header_text", true),
      Measure<ParseProxy>("proxy_header_binary", false),
  };
}

}  // namespace meltemi::bench
