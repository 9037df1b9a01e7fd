// SPDX-License-Identifier: Apache-2.0
#include "galley/api/cluster_ips.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "galley/api/json_fields.h"
#include "galley/store/uid.h"

namespace meltemi::galley {
namespace {

using nlohmann::json;

// Left for hand-picked addresses, as Kubernetes leaves the lower part of its range (KEP-3070).
constexpr uint32_t kReserved = 256;

std::optional<uint32_t> ParseIpv4(const std::string& text) {
  in_addr address;
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

std::string Ipv4Text(uint32_t ip) {
  return fmt::format("{}.{}.{}.{}", ip >> 24, (ip >> 16) & 255, (ip >> 8) & 255, ip & 255);
}

Status CompletePorts(json& spec) {
  const auto ports = spec.find("ports");
  if (ports == spec.end() || !ports->is_array()) return absl::OkStatus();
  const bool is_headless = TextAt(spec, "clusterIP") == "None";
  for (json& port : *ports) {
    if (!port.is_object()) continue;
    if (!port.contains("protocol")) port["protocol"] = "TCP";
    const auto number = port.find("port");
    if (number == port.end()) {
      return absl::InvalidArgumentError("spec.ports: a port without its number; write port: 80");
    }
    if (!port.contains("targetPort") && !is_headless) port["targetPort"] = *number;
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<ServiceRange> ServiceRange::Parse(const std::string& cidr) {
  const size_t slash = cidr.find('/');
  const auto ip = ParseIpv4(cidr.substr(0, slash));
  unsigned bits = 0;
  if (slash != std::string::npos) {
    const char* end = cidr.data() + cidr.size();
    const auto parsed = std::from_chars(cidr.data() + slash + 1, end, bits);
    if (parsed.ec != std::errc() || parsed.ptr != end) bits = 0;
  }
  // From 512 addresses, of which half are reserved, to a whole class A.
  if (!ip.has_value() || bits < 8 || bits > 23) {
    return absl::InvalidArgumentError(
        "the service range " + cidr +
        " is no IPv4 network of /8 to /23\nWrite one as 10.96.0.0/12");
  }
  const uint32_t size = uint32_t{1} << (32 - bits);
  return ServiceRange{.first = *ip & ~(size - 1), .size = size};
}

Status ClusterIps::Complete(json& service, const config::Object* stored) {
  json& spec = service["spec"];
  if (spec.is_null()) spec = json::object();
  if (!spec.is_object()) return absl::OkStatus();  // the decoder tells what is wrong
  if (!spec.contains("type")) spec["type"] = "ClusterIP";
  if (TextAt(spec, "type") == "ExternalName") {
    spec.erase("clusterIP");
    spec.erase("clusterIPs");
    return absl::OkStatus();
  }
  const std::string own_ip =
      stored != nullptr ? TextAt(ObjectAt(*stored->document, "spec"), "clusterIP") : "";
  std::string ip = TextAt(spec, "clusterIP");
  if (ip.empty()) ip = own_ip;
  if (ip.empty()) {
    const json& metadata = ObjectAt(service, "metadata");
    MELTEMI_ASSIGN_OR_RETURN(
        ip, Choose(TextAt(metadata, "namespace") + "/" + TextAt(metadata, "name")));
  } else if (ip != "None") {
    MELTEMI_RETURN_IF_ERROR(CheckGiven(ip, own_ip));
  }
  if (!own_ip.empty() && ip != own_ip) {
    return absl::InvalidArgumentError(
        "spec.clusterIP: field is immutable; delete the Service to give it another address");
  }
  spec["clusterIP"] = ip;
  spec["clusterIPs"] = json::array({ip});
  return CompletePorts(spec);
}

Status ClusterIps::CheckGiven(const std::string& ip, const std::string& own_ip) {
  if (ip == own_ip) return absl::OkStatus();
  const auto number = ParseIpv4(ip);
  if (!number.has_value() || *number - range_.first >= range_.size) {
    return absl::InvalidArgumentError(
        fmt::format("spec.clusterIP: {} is not in the range {}-{}; leave it out to get one", ip,
                    Ipv4Text(range_.first), Ipv4Text(range_.first + range_.size - 1)));
  }
  FindTaken();
  if (!taken_.insert(*number).second) {
    return absl::InvalidArgumentError("spec.clusterIP: " + ip +
                                      " is another Service's already; leave it out to get one");
  }
  return absl::OkStatus();
}

void ClusterIps::FindTaken() {
  if (std::exchange(is_known_, true)) return;
  for (const auto& object : store_.List(&config::kinds::kService, "").objects) {
    const json& spec = ObjectAt(*object->document, "spec");
    if (const auto ip = ParseIpv4(TextAt(spec, "clusterIP"))) taken_.insert(*ip);
  }
}

// Begins at a place the name gives: a Service that is made again mostly gets its old address back,
// which helps whoever remembers it.
StatusOr<std::string> ClusterIps::Choose(const std::string& place) {
  FindTaken();
  const uint32_t usable = range_.size - kReserved - 1;  // without the broadcast address
  const uint32_t start =
      static_cast<uint32_t>(std::stoul(Sha256Hex(place).substr(0, 8), nullptr, 16)) % usable;
  for (uint32_t step = 0; step < usable; ++step) {
    const uint32_t ip = range_.first + kReserved + (start + step) % usable;
    if (taken_.insert(ip).second) return Ipv4Text(ip);
  }
  return absl::ResourceExhaustedError(
      "no service address is left in the range\nDelete Services, or "
      "start meltemid with a larger service range");
}

}  // namespace meltemi::galley
