// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/client_compiler.h"

#include <fmt/format.h>

#include "envoy/extensions/http/original_ip_detection/xff/v3/xff.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"

namespace meltemi::proxy {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
using From = hcm::HttpConnectionManager;

namespace {

template <typename Ranges>
Status CompileRanges(const Ranges& from, std::string_view field, std::vector<IpRange>& to) {
  for (const auto& range : from) {
    auto address = net::Address::ParseIp(range.address_prefix(), 0);
    if (!address.ok()) return WithContext(address.status(), field);
    IpRange compiled{std::string(address->ip_bytes()), range.prefix_len().value()};
    if (compiled.prefix_bits > compiled.bytes.size() * 8) {
      return absl::InvalidArgumentError(fmt::format("{}: a prefix longer than its address", field));
    }
    to.push_back(std::move(compiled));
  }
  return absl::OkStatus();
}

// Envoy's rules: no mixing with the older fields, and one extension says it all.
Status CompileDetection(const From& from, HttpOptions& to) {
  constexpr std::string_view kField = "original_ip_detection_extensions";
  if (from.original_ip_detection_extensions_size() == 0) return absl::OkStatus();
  if (to.uses_remote_address || to.xff_trusted_hops > 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: not together with use_remote_address or xff_num_trusted_hops", kField));
  }
  if (from.original_ip_detection_extensions_size() > 1) {
    return absl::InvalidArgumentError(fmt::format("{}: only one is supported", kField));
  }
  const auto& any = from.original_ip_detection_extensions(0).typed_config();
  envoy::extensions::http::original_ip_detection::xff::v3::XffConfig xff;
  if (!any.Is<decltype(xff)>() || !any.UnpackTo(&xff)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: \"{}\" is not supported, XffConfig is", kField, any.type_url()));
  }
  to.xff_trusted_hops = xff.xff_num_trusted_hops();
  to.appends_xff_without_remote =
      xff.has_skip_xff_append() && !xff.skip_xff_append().value() && !from.skip_xff_append();
  if (!xff.has_xff_trusted_cidrs()) return absl::OkStatus();
  if (to.xff_trusted_hops > 0) {
    return absl::InvalidArgumentError(
        fmt::format("{}: give xff_num_trusted_hops or xff_trusted_cidrs", kField));
  }
  return CompileRanges(xff.xff_trusted_cidrs().cidrs(), kField, to.xff_trusted_ranges);
}

Status CompileRequestId(const From& from, HttpOptions& to) {
  to.generates_request_id = !from.has_generate_request_id() || from.generate_request_id().value();
  to.preserves_external_request_id = from.preserve_external_request_id();
  to.sets_request_id_in_response = from.always_set_request_id_in_response();
  if (!from.has_request_id_extension()) return absl::OkStatus();
  envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig uuid;
  const auto& any = from.request_id_extension().typed_config();
  if (!any.Is<decltype(uuid)>() || !any.UnpackTo(&uuid)) {
    return absl::InvalidArgumentError(
        fmt::format("request_id_extension: \"{}\" is not supported", any.type_url()));
  }
  to.packs_trace_reason = !uuid.has_pack_trace_reason() || uuid.pack_trace_reason().value();
  return absl::OkStatus();
}

void CompileCertificate(const From& from, HttpOptions& to) {
  using Mode = HttpOptions::ClientCert;
  switch (from.forward_client_cert_details()) {
    case From::FORWARD_ONLY:
      to.client_cert = Mode::kForwardOnly;
      break;
    case From::APPEND_FORWARD:
      to.client_cert = Mode::kAppendForward;
      break;
    case From::SANITIZE_SET:
      to.client_cert = Mode::kSanitizeSet;
      break;
    case From::ALWAYS_FORWARD_ONLY:
      to.client_cert = Mode::kAlwaysForwardOnly;
      break;
    default:
      to.client_cert = Mode::kSanitize;
  }
  const auto& details = from.set_current_client_cert_details();
  to.cert_has_subject = details.subject().value();
  to.cert_has_uri = details.uri();
  to.cert_has_dns = details.dns();
  to.cert_has_pem = details.cert();
}

}  // namespace

Status CompileClient(const From& from, HttpOptions& to) {
  to.uses_remote_address = from.use_remote_address().value();
  to.skips_xff_append = from.skip_xff_append();
  to.appends_forwarded_port = from.append_x_forwarded_port();
  to.xff_trusted_hops = from.xff_num_trusted_hops();
  MELTEMI_RETURN_IF_ERROR(CompileRanges(from.internal_address_config().cidr_ranges(),
                                        "internal_address_config", to.internal_ranges));
  MELTEMI_RETURN_IF_ERROR(CompileDetection(from, to));
  MELTEMI_RETURN_IF_ERROR(CompileRequestId(from, to));
  if (from.set_current_client_cert_details().chain()) {
    return absl::InvalidArgumentError("set_current_client_cert_details.chain is not supported");
  }
  CompileCertificate(from, to);
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
