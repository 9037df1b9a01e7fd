// SPDX-License-Identifier: Apache-2.0
// TLS towards the control plane: its certificate must chain to the roots in a file and name the
// expected server; our own certificate is shown once there is one and for as long as it is valid:
// a server refuses the whole connection for an expired one, and then nothing could renew it.
// Control thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/grpc/client.h"
#include "lib/tls/context.h"

namespace meltemi::proxy {

class ControlTls final {
 public:
  ControlTls(const Clock& clock, std::string root_cert_path, std::string server_name)
      : clock_(clock),
        root_cert_path_(std::move(root_cert_path)),
        server_name_(std::move(server_name)) {}

  // Shown to the control plane on connections made from now on until `not_after`.
  void SetCertificate(tls::CertificateKey certificate, WallTime not_after);
  // For a new connection. The file is read each time, so that a rotated root is found.
  StatusOr<std::shared_ptr<const tls::ClientContext>> Context();
  // The same with the server's address, for channels. No connection without a checked server: a
  // token would go to whoever listens there.
  grpc::TargetSource TargetOf(const net::Address& server) {
    return [this, server]() -> StatusOr<grpc::Target> {
      MELTEMI_ASSIGN_OR_RETURN(auto context, Context());
      return grpc::Target{server, std::move(context)};
    };
  }
  // The roots as they were read last.
  const std::string& roots_pem() const { return roots_pem_; }

 private:
  const Clock& clock_;
  const std::string root_cert_path_, server_name_;
  std::string roots_pem_;
  std::optional<tls::CertificateKey> certificate_;
  WallTime not_after_{};
  std::shared_ptr<const tls::ClientContext> context_;
};

}  // namespace meltemi::proxy
