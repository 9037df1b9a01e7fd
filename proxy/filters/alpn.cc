// SPDX-License-Identifier: Apache-2.0
// istio.alpn: the ALPN offered upstream follows the protocol the client speaks, so that a sidecar
// at the other end knows both the application's protocol and that metadata may be exchanged.
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <array>
#include <vector>

#include "proxy/filters/registry.h"

namespace meltemi::proxy {
namespace {

class AlpnFilter final : public HttpFilter {
 public:
  using Lists = std::array<std::vector<std::string>, 3>;  // by http::Protocol
  explicit AlpnFilter(Lists lists) : lists_(std::move(lists)) {}
  uint8_t hooks() const override { return kRequest; }
  Verdict OnRequest(FilterStream& stream) const override {
    StreamInfo& info = stream.info();
    info.upstream_alpn = lists_[static_cast<size_t>(info.request->protocol)];
    return Verdict::kContinue;
  }

 private:
  Lists lists_;
};

// The message is Istio's (istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig) and not among
// the generated ones; its wire form is small: repeated AlpnOverride (1) {upstream_protocol (1),
// alpn (2)}.
StatusOr<std::shared_ptr<const HttpFilter>> Create(std::string_view serialized,
                                                   const FilterContext&) {
  google::protobuf::UnknownFieldSet fields;
  const auto invalid = [] {
    return absl::InvalidArgumentError("not an ALPN FilterConfig message");
  };
  if (!fields.ParseFromArray(serialized.data(), static_cast<int>(serialized.size())))
    return invalid();
  AlpnFilter::Lists lists;
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = fields.field(i);
    using Field = google::protobuf::UnknownField;
    if (field.number() != 1 || field.type() != Field::TYPE_LENGTH_DELIMITED) return invalid();
    google::protobuf::UnknownFieldSet entry;
    if (!entry.ParseFromString(field.length_delimited())) return invalid();
    uint64_t protocol = 0;
    std::vector<std::string> alpn;
    for (int j = 0; j < entry.field_count(); ++j) {
      const auto& part = entry.field(j);
      if (part.number() == 1 && part.type() == Field::TYPE_VARINT) protocol = part.varint();
      if (part.number() == 2 && part.type() == Field::TYPE_LENGTH_DELIMITED) {
        alpn.push_back(part.length_delimited());
      }
    }
    if (protocol >= lists.size()) return absl::InvalidArgumentError("unknown upstream_protocol");
    lists[protocol] = std::move(alpn);
  }
  return std::make_shared<const AlpnFilter>(std::move(lists));
}

}  // namespace

extern const FilterKind kAlpnFilter;
const FilterKind kAlpnFilter = {
    "istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", "", Create, nullptr,
};

}  // namespace meltemi::proxy
