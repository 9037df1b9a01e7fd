// SPDX-License-Identifier: Apache-2.0
#include "proxy/upstream/preamble.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace meltemi::proxy {
namespace {

std::vector<net::ProxyTlv> CollectTlvs(const ProxyProtocolOut& settings,
                                       const net::ProxyHeader* received) {
  std::vector<net::ProxyTlv> tlvs = settings.added;
  if (received == nullptr) return tlvs;
  const auto& passed = settings.passed_tlvs;
  const auto is_added = [&](uint8_t type) {
    return std::any_of(settings.added.begin(), settings.added.end(),
                       [&](const net::ProxyTlv& added) { return added.type == type; });
  };
  for (const net::ProxyTlv& tlv : received->tlvs) {
    const bool is_passed = settings.passes_all_tlvs ||
                           std::find(passed.begin(), passed.end(), tlv.type) != passed.end();
    if (is_passed && !is_added(tlv.type)) tlvs.push_back(tlv);
  }
  return tlvs;
}

class PreambleLayer final : public net::RecordLayer {
 public:
  PreambleLayer(std::string preamble, std::unique_ptr<net::RecordLayer> inner)
      : preamble_(std::move(preamble)), inner_(std::move(inner)) {}

  net::IoState Handshake(int fd) override {
    while (!preamble_.empty()) {
      const ssize_t count = ::send(fd, preamble_.data(), preamble_.size(), MSG_NOSIGNAL);
      if (count >= 0) {
        preamble_.erase(0, static_cast<size_t>(count));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return net::IoState::kWouldBlock;
      } else if (errno != EINTR) {
        return net::IoState::kError;
      }
    }
    return inner_->Handshake(fd);
  }
  void AddPrefix(std::string_view bytes) override { inner_->AddPrefix(bytes); }
  net::IoResult Read(int fd, char* to, size_t bytes) override {
    return inner_->Read(fd, to, bytes);
  }
  net::IoResult Write(int fd, std::string_view bytes) override { return inner_->Write(fd, bytes); }
  bool has_read_all() const override { return inner_->has_read_all(); }
  bool has_pending_output() const override { return inner_->has_pending_output(); }
  void ShutdownWrite(int fd) override { inner_->ShutdownWrite(fd); }
  const net::TlsPeer& peer() const override { return inner_->peer(); }
  std::string_view failure() const override { return inner_->failure(); }
  net::TlsFailure failure_kind() const override { return inner_->failure_kind(); }

 private:
  std::string preamble_;
  const std::unique_ptr<net::RecordLayer> inner_;
};

}  // namespace

std::optional<std::string> MakePreamble(const ProxyProtocolOut& settings, const OnBehalf& of) {
  const bool is_known = of.source != nullptr && of.source->is_ip() && of.destination != nullptr &&
                        of.destination->is_ip();
  const net::Address nobody;
  const net::Address& source = is_known ? *of.source : nobody;
  const net::Address& destination = is_known ? *of.destination : nobody;
  if (settings.version == 1) return net::EncodeProxyText(source, destination);
  if (!is_known && !settings.allows_unspecified) return net::EncodeProxyLocal();
  return net::EncodeProxyBinary(source, destination, CollectTlvs(settings, of.received));
}

std::unique_ptr<net::RecordLayer> NewPreambleLayer(std::string preamble,
                                                   std::unique_ptr<net::RecordLayer> inner) {
  return std::make_unique<PreambleLayer>(std::move(preamble), std::move(inner));
}

}  // namespace meltemi::proxy
