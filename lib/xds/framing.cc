// SPDX-License-Identifier: Apache-2.0
// Field numbers are those of envoy/service/discovery/v3/discovery.proto and
// google/protobuf/any.proto.
#include "lib/xds/framing.h"

#include <fmt/format.h>

namespace meltemi::xds {
namespace {

// Below this a copy costs less than a slice of its own (a control block and an entry in writev).
constexpr size_t kCopyBytesMax = 256;

enum Field : uint32_t {
  kVersionInfo = 1,
  kResources = 2,
  kTypeUrlField = 4,
  kNonce = 5,
  kRemovedResources = 6,
  kResourceVersion = 1,
  kResourceAny = 2,
  kResourceName = 3,
  kAnyTypeUrl = 1,
  kAnyValue = 2,
};

size_t VarintBytes(uint64_t value) {
  size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

// Size of a length-delimited field; every field number here fits one tag byte.
size_t FieldBytes(size_t length) {
  return 1 + VarintBytes(length) + length;
}

class SliceWriter final {
 public:
  void Tag(uint32_t field, size_t length) {
    text_ += static_cast<char>(field << 3 | 2);
    uint64_t rest = length;
    while (rest >= 0x80) {
      text_ += static_cast<char>(rest | 0x80);
      rest >>= 7;
    }
    text_ += static_cast<char>(rest);
  }
  void Text(uint32_t field, std::string_view value) {
    Tag(field, value.size());
    text_ += value;
  }
  void Any(std::string_view type_url, const grpc::Slice& message) {
    if (!type_url.empty()) Text(kAnyTypeUrl, type_url);
    Tag(kAnyValue, message->size());
    if (message->size() <= kCopyBytesMax) {
      text_ += *message;
      return;
    }
    Cut();
    slices_.push_back(message);
  }
  std::vector<grpc::Slice> Take() {
    Cut();
    return std::move(slices_);
  }

 private:
  void Cut() {
    if (text_.empty()) return;
    slices_.push_back(std::make_shared<const std::string>(std::move(text_)));
    text_.clear();
  }
  std::string text_;
  std::vector<grpc::Slice> slices_;
};

size_t AnyBytes(std::string_view type_url, const grpc::Slice& message) {
  return FieldBytes(type_url.size()) + FieldBytes(message->size());
}

void WriteHead(SliceWriter& writer, const ResponseHead& head) {
  writer.Text(kVersionInfo, head.version);
  writer.Text(kTypeUrlField, head.type_url);
  writer.Text(kNonce, head.nonce);
}

}  // namespace

std::vector<grpc::Slice> FrameSotw(const ResponseHead& head,
                                   std::span<const ResourcePtr> resources) {
  SliceWriter writer;
  WriteHead(writer, head);
  for (const ResourcePtr& resource : resources) {
    writer.Tag(kResources, AnyBytes(head.type_url, resource->message));
    writer.Any(head.type_url, resource->message);
  }
  return writer.Take();
}

std::vector<grpc::Slice> FrameDelta(const ResponseHead& head,
                                    std::span<const ResourcePtr> resources,
                                    std::span<const std::string> removed) {
  SliceWriter writer;
  WriteHead(writer, head);
  for (const std::string& name : removed) writer.Text(kRemovedResources, name);
  for (const ResourcePtr& resource : resources) {
    const std::string version = VersionText(resource->version);
    const size_t any_bytes = AnyBytes(head.type_url, resource->message);
    writer.Tag(kResources, FieldBytes(version.size()) + FieldBytes(resource->name.size()) +
                               FieldBytes(any_bytes));
    writer.Text(kResourceVersion, version);
    writer.Text(kResourceName, resource->name);
    writer.Tag(kResourceAny, any_bytes);
    writer.Any(head.type_url, resource->message);
  }
  return writer.Take();
}

std::string VersionText(uint64_t version) {
  return fmt::format("{:x}", version);
}

}  // namespace meltemi::xds
