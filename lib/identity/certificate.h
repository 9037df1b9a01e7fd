// SPDX-License-Identifier: Apache-2.0
// X.509: reading certificates and signing requests, and issuing. Immutable values, thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/identity/key.h"

struct x509_st;

namespace meltemi::identity {

struct AltNames {
  std::vector<std::string> uris;
  std::vector<std::string> dns;
  std::vector<std::string> ips;  // textual
};

class Certificate final {
 public:
  static StatusOr<Certificate> Parse(std::string_view pem);  // the first in the text
  static StatusOr<std::vector<Certificate>> ParseAll(std::string_view pem);  // at least one

  std::string ToPem() const;
  WallTime not_before() const;
  WallTime not_after() const;
  AltNames alt_names() const;
  std::string subject() const;        // "O=cluster.local"
  std::string serial_number() const;  // lower-case hexadecimal, as Envoy and istioctl show it
  bool is_ca() const;
  PublicKey public_key() const;
  // True when `issuer`'s key made the signature and its subject is named as issuer.
  bool IsIssuedBy(const Certificate& issuer) const;
  bool operator==(const Certificate& other) const;
  x509_st* native() const { return x509_.get(); }

 private:
  friend class Issuing;
  explicit Certificate(std::shared_ptr<x509_st> x509) : x509_(std::move(x509)) {}
  std::shared_ptr<x509_st> x509_;
};

// Text of several certificates, in order.
std::string ToPem(const std::vector<Certificate>& chain);

// A PKCS#10 request for `key`. `uri` is a courtesy: an authority names what it authenticated.
StatusOr<std::string> MakeCsr(const PrivateKey& key, const std::string& uri);
// The key that asks, when the request proves that it holds it and the key is strong enough.
StatusOr<PublicKey> ReadCsr(std::string_view pem);

struct IssueSpec {
  AltNames names;
  std::string organization;  // subject "O=…"; empty subject makes the alternative names critical
  WallTime not_before;
  WallTime not_after;
  bool is_ca = false;
};
StatusOr<Certificate> SelfSign(const PrivateKey& key, const IssueSpec& spec);
StatusOr<Certificate> Issue(const Certificate& issuer, const PrivateKey& issuer_key,
                            const PublicKey& subject, const IssueSpec& spec);

}  // namespace meltemi::identity
