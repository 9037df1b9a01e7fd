// SPDX-License-Identifier: Apache-2.0
#include "pilot/source/encode.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <xxhash.h>

namespace meltemi::pilot {
namespace {

std::string Serialize(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  // Maps in the order of their keys: equal messages must give equal bytes.
  coded.SetSerializationDeterministic(true);
  message.SerializeWithCachedSizes(&coded);
  return bytes;
}

}  // namespace

bool Encoded::operator==(const Encoded& other) const {
  if (resource == nullptr || other.resource == nullptr) return resource == other.resource;
  return resource->version == other.resource->version && resource->name == other.resource->name &&
         *resource->message == *other.resource->message;
}

std::shared_ptr<const Encoded> Encode(const std::string& name,
                                      const google::protobuf::Message* message) {
  auto encoded = std::make_shared<Encoded>();
  if (message == nullptr) return encoded;
  message->ByteSizeLong();  // fills the cached sizes that serialization uses
  auto bytes = std::make_shared<const std::string>(Serialize(*message));
  const uint64_t version = XXH64(bytes->data(), bytes->size(), 0);
  encoded->resource =
      std::make_shared<const xds::Resource>(xds::Resource{name, version, std::move(bytes)});
  return encoded;
}

}  // namespace meltemi::pilot
