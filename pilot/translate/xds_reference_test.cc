// SPDX-License-Identifier: Apache-2.0
// The comparison of testing/xds_reference.h, and tests that it can tell a difference.
#include "pilot/translate/testing/xds_reference.h"

#include <fmt/format.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <fstream>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "pilot/translate/messages.h"

namespace meltemi::pilot {
namespace {

using google::protobuf::Message;
using nlohmann::json;

constexpr const char* kDescriptors = "build/xds/all.pb";
constexpr const char* kBytesType = "google.protobuf.BytesValue";
constexpr size_t kPathsMax = 12;  // of one resource, in the output

// All of Envoy's API, also what no code is generated for.
class Types {
 public:
  static const Types* Get() {
    static const std::unique_ptr<Types> kTypes = Make();
    return kTypes.get();
  }
  bool Knows(const std::string& url) const {
    return pool_->FindMessageTypeByName(url.substr(url.rfind('/') + 1)) != nullptr;
  }
  // Serialized message → JSON, with the names that .proto files have.
  json ToJson(const std::string& type, const std::string& bytes) const {
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string text;
    const auto status = google::protobuf::util::BinaryToJsonString(
        resolver_.get(), "type.googleapis.com/" + type, OpenAnys(type, bytes), &text, options);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return json::parse(text, nullptr, false);
  }

 private:
  static std::unique_ptr<Types> Make() {
    std::ifstream file(kDescriptors, std::ios::binary);
    google::protobuf::FileDescriptorSet set;
    if (!file || !set.ParseFromIstream(&file)) return nullptr;
    auto types = std::make_unique<Types>();
    for (const auto& proto : set.file()) types->database_.Add(proto);
    types->pool_ = std::make_unique<google::protobuf::DescriptorPool>(&types->database_);
    types->resolver_.reset(google::protobuf::util::NewTypeResolverForDescriptorPool(
        "type.googleapis.com", types->pool_.get()));
    return types;
  }
  // JSON has no form for an Any of a type nobody knows: such ones become wrapped bytes.
  std::string OpenAnys(const std::string& type, const std::string& bytes) const {
    google::protobuf::DynamicMessageFactory factory(pool_.get());
    const auto* descriptor = pool_->FindMessageTypeByName(type);
    EXPECT_NE(descriptor, nullptr) << type;
    if (descriptor == nullptr) return bytes;
    const std::unique_ptr<Message> message(factory.GetPrototype(descriptor)->New());
    EXPECT_TRUE(message->ParseFromString(bytes)) << type;
    OpenAnys(*message);
    return message->SerializeAsString();
  }
  void OpenAnys(Message& message) const {
    if (message.GetDescriptor()->full_name() == "google.protobuf.Any") return OpenAny(message);
    const auto* reflection = message.GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    reflection->ListFields(message, &fields);
    for (const auto* field : fields) {
      if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
      if (!field->is_repeated()) {
        OpenAnys(*reflection->MutableMessage(&message, field));
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        OpenAnys(*reflection->MutableRepeatedMessage(&message, field, i));
      }
    }
  }
  void OpenAny(Message& any) const {
    google::protobuf::Any plain;
    plain.ParseFromString(any.SerializeAsString());
    const std::string url = plain.type_url();
    if (Knows(url)) {
      plain.set_value(OpenAnys(url.substr(url.rfind('/') + 1), plain.value()));
    } else {
      google::protobuf::BytesValue bytes;
      bytes.set_value(plain.value());
      plain.set_type_url(std::string("type.googleapis.com/") + kBytesType);
      plain.set_value(bytes.SerializeAsString());
    }
    any.ParseFromString(plain.SerializeAsString());
  }

  google::protobuf::SimpleDescriptorDatabase database_;
  std::unique_ptr<google::protobuf::DescriptorPool> pool_;
  std::unique_ptr<google::protobuf::util::TypeResolver> resolver_;
};

// The dump's form of an Any of unknown type, as ours.
void OpenTheirs(const Types& types, json& value) {
  if (value.is_object() && value.contains("@type")) {
    if (!types.Knows(value["@type"].get<std::string>())) {
      value["@type"] = std::string("type.googleapis.com/") + kBytesType;
    }
  }
  if (!value.is_structured()) return;  // a scalar would be its own only item
  for (auto& item : value) OpenTheirs(types, item);
}

// Without meaning: where an object came from is a service of ours too, but not its spelling; the
// name of a runtime key that nothing sets.
bool IsIgnored(const std::string& key) {
  return key == "runtime_key";
}

// Istio emits these as a map of its own gives them, in another order each time.
json Ordered(const std::string& key, const json& value) {
  if (key != "query_parameters" || !value.is_array()) return value;
  json sorted = value;
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// The dumps have 64-bit numbers as numbers, protobuf's JSON has them as text.
bool IsSameNumber(const json& number, const json& text) {
  return number.is_number_integer() && text.is_string() &&
         number.dump() == text.get_ref<const std::string&>();
}

void Compare(const std::string& path, const json& theirs, const json& ours,
             std::vector<std::string>& out) {
  if (theirs == ours || IsSameNumber(theirs, ours)) return;
  if (theirs.is_object() && ours.is_object()) {
    for (const auto& [key, value] : theirs.items()) {
      if (IsIgnored(key)) continue;
      const auto found = ours.find(key);
      if (found == ours.end()) {
        out.push_back(
            fmt::format("{}.{}: only theirs: {}", path, key, value.dump().substr(0, 160)));
      } else {
        Compare(path + "." + key, Ordered(key, value), Ordered(key, *found), out);
      }
    }
    for (const auto& [key, value] : ours.items()) {
      if (theirs.contains(key) || IsIgnored(key)) continue;
      out.push_back(fmt::format("{}.{}: only ours: {}", path, key, value.dump().substr(0, 160)));
    }
    return;
  }
  if (theirs.is_array() && ours.is_array() && theirs.size() == ours.size()) {
    for (size_t i = 0; i < theirs.size(); ++i) {
      Compare(fmt::format("{}[{}]", path, i), theirs[i], ours[i], out);
    }
    return;
  }
  out.push_back(fmt::format("{}: theirs {}, ours {}", path, theirs.dump().substr(0, 160),
                            ours.dump().substr(0, 160)));
}

}  // namespace

std::unique_ptr<XdsReference> XdsReference::Load(const std::string& scenario,
                                                 const std::string& proxy) {
  std::ifstream file(fmt::format("{}/{}/{}.json", kReferenceFolder, scenario, proxy));
  if (!file || Types::Get() == nullptr) return nullptr;
  std::unique_ptr<XdsReference> reference(new XdsReference());
  reference->dump_ = json::parse(file, nullptr, false);
  if (!reference->dump_.is_object()) return nullptr;
  OpenTheirs(*Types::Get(), reference->dump_["resources"]);
  return reference;
}

const json& XdsReference::node() const {
  return dump_["node"];
}

const json& XdsReference::Resources(const std::string& type) const {
  static const json kNone = json::object();
  const json& all = dump_["resources"];
  return all.contains(type) ? all[type] : kNone;
}

std::vector<std::string> XdsReference::Differences(const json& theirs, const Message& ours) const {
  std::string bytes;
  Serialize(ours, bytes);
  std::vector<std::string> out;
  Compare("", theirs, Types::Get()->ToJson(ours.GetDescriptor()->full_name(), bytes), out);
  return out;
}

std::string ReferenceScore::Text(const std::string& title) const {
  std::string text = fmt::format("{}: {} of {} equal\n", title, equal, total());
  for (const std::string& name : only_theirs) text += fmt::format("  only theirs: {}\n", name);
  for (const std::string& name : only_ours) text += fmt::format("  only ours: {}\n", name);
  for (const auto& [name, paths] : different) {
    text += fmt::format("  different: {}\n", name);
    for (size_t i = 0; i < std::min(paths.size(), kPathsMax); ++i) {
      text += fmt::format("    {}\n", paths[i]);
    }
  }
  return text;
}

TEST(XdsReferenceTest, NamesWhatDiffers) {
  const auto reference = XdsReference::Load("plain", "web");
  if (reference == nullptr) GTEST_SKIP() << kReferenceFolder << " is absent";
  const json& clusters = reference->Resources("envoy.config.cluster.v3.Cluster");
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("BlackHoleCluster");
  cluster.set_alt_stat_name("BlackHoleCluster;");
  cluster.set_type(envoy::config::cluster::v3::Cluster::STATIC);
  cluster.mutable_connect_timeout()->set_seconds(10);
  EXPECT_TRUE(reference->Differences(clusters["BlackHoleCluster"], cluster).empty());
  cluster.mutable_connect_timeout()->set_seconds(11);
  const auto paths = reference->Differences(clusters["BlackHoleCluster"], cluster);
  ASSERT_EQ(paths.size(), 1U);
  EXPECT_NE(paths[0].find(".connect_timeout"), std::string::npos);
}

}  // namespace meltemi::pilot
