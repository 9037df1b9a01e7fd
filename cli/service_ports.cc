// SPDX-License-Identifier: Apache-2.0
#include "cli/service_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>

#include "cli/nearest.h"

namespace meltemi::cli {
namespace {

// What Istio reads from the name of a port (its protocol selection), most used first.
const std::vector<std::string> kProtocols = {"http", "grpc",  "tcp",   "http2", "https",
                                             "tls",  "mongo", "mysql", "redis", "grpc-web"};

}  // namespace

StatusOr<std::vector<ServicePort>> ReadPorts(const std::vector<std::string>& texts) {
  std::vector<ServicePort> ports;
  for (const std::string& text : texts) {
    ServicePort port;
    const size_t slash = text.find('/');
    const std::string number = text.substr(0, slash);
    port.protocol = slash == std::string::npos ? "http" : text.substr(slash + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), port.number);
    if (error != std::errc() || end != number.data() + number.size() || port.number == 0)
      return absl::InvalidArgumentError(
          fmt::format("\"{}\" is no port\nwrite it as 9080 or 9000/tcp", text));
    if (std::find(kProtocols.begin(), kProtocols.end(), port.protocol) == kProtocols.end()) {
      const std::string nearest = Nearest(port.protocol, kProtocols);
      return absl::InvalidArgumentError(
          fmt::format("{} is no protocol of a port\n{}", port.protocol,
                      nearest.empty() ? "use http, http2, grpc, tcp, tls or https"
                                      : fmt::format("did you mean {}?", nearest)));
    }
    port.name = ports.empty() ? port.protocol : fmt::format("{}-{}", port.protocol, port.number);
    ports.push_back(std::move(port));
  }
  return ports;
}

bool IsServiceName(const std::string& name) {
  return !name.empty() && name.size() <= 63 && name.front() >= 'a' && name.front() <= 'z' &&
         name.back() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

nlohmann::json ServiceFor(const std::string& ns, const std::string& name,
                          const std::vector<ServicePort>& ports) {
  nlohmann::json list = nlohmann::json::array();
  for (const ServicePort& port : ports)
    list.push_back({{"name", port.name}, {"port", port.number}, {"targetPort", port.number}});
  return {{"apiVersion", "v1"},
          {"kind", "Service"},
          {"metadata", {{"name", name}, {"namespace", ns}, {"labels", {{"app", name}}}}},
          {"spec", {{"selector", {{"app", name}}}, {"ports", list}}}};
}

}  // namespace meltemi::cli
