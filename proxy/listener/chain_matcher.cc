// SPDX-License-Identifier: Apache-2.0
#include "proxy/listener/chain_matcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace meltemi::proxy {
namespace {

enum Level : int {
  kDestinationPort,
  kDestinationPrefix,
  kServerName,
  kTransport,
  kApplication,
  kDirectSource,
  kSourceType,
  kSource,
  kSourcePort,
  kLevels
};

// A prefix as a key that sorts and compares: length, then bytes.
std::string PrefixKey(const IpPrefix& prefix) {
  return std::string(1, static_cast<char>(prefix.bytes.size())) + static_cast<char>(prefix.length) +
         prefix.bytes;
}

std::vector<std::string> PrefixKeys(const std::vector<IpPrefix>& prefixes) {
  std::vector<std::string> keys;
  for (const IpPrefix& prefix : prefixes) keys.push_back(PrefixKey(prefix));
  return keys;
}

std::vector<std::string> PortKeys(const std::vector<uint32_t>& ports) {
  std::vector<std::string> keys;
  for (uint32_t port : ports) keys.push_back(std::to_string(port));
  return keys;
}

std::vector<std::string> SourceTypeKeys(SourceType type) {
  if (type == SourceType::kAny) return {};
  return {type == SourceType::kExternal ? "external" : "local"};
}

std::vector<std::string> ServerNameKeys(const std::vector<std::string>& names) {
  std::vector<std::string> keys;
  for (const std::string& name : names) {
    if (name == "*") return {};  // the same as none
    keys.push_back(name.starts_with("*.") ? name.substr(1) : name);
  }
  return keys;
}

// Values a match asks for at each level; none = any, whose key is "".
std::vector<std::string> KeysAt(const ChainMatch& match, int level) {
  switch (level) {
    case kDestinationPort:
      return match.destination_port == 0
                 ? std::vector<std::string>{}
                 : std::vector<std::string>{std::to_string(match.destination_port)};
    case kDestinationPrefix:
      return PrefixKeys(match.destination_prefixes);
    case kServerName:
      return ServerNameKeys(match.server_names);
    case kTransport:
      return match.transport_protocol.empty() ? std::vector<std::string>{}
                                              : std::vector<std::string>{match.transport_protocol};
    case kApplication:
      return match.application_protocols;
    case kDirectSource:
      return PrefixKeys(match.direct_source_prefixes);
    case kSourceType:
      return SourceTypeKeys(match.source_type);
    case kSource:
      return PrefixKeys(match.source_prefixes);
    default:
      return PortKeys(match.source_ports);
  }
}

bool IsLocal(const net::Address& source, const net::Address& destination) {
  if (!source.is_ip()) return true;  // a Unix socket
  const std::string_view bytes = source.ip_bytes();
  if (bytes == destination.ip_bytes()) return true;
  if (bytes.size() == 4) return bytes[0] == 127;
  return bytes == std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
}

}  // namespace

StatusOr<IpPrefix> IpPrefix::Parse(std::string_view ip, uint32_t length) {
  MELTEMI_ASSIGN_OR_RETURN(const net::Address address, net::Address::ParseIp(ip, 0));
  std::string bytes(address.ip_bytes());
  if (length > bytes.size() * 8) {
    return absl::InvalidArgumentError(
        fmt::format("prefix length {} of {} is more than the address has bits", length, ip));
  }
  for (size_t i = 0; i < bytes.size(); ++i) {  // bits beyond the prefix mean nothing
    const int kept = std::clamp(static_cast<int>(length) - static_cast<int>(i) * 8, 0, 8);
    bytes[i] =
        static_cast<char>(static_cast<uint8_t>(bytes[i]) & static_cast<uint8_t>(0xff00 >> kept));
  }
  return IpPrefix{std::move(bytes), length};
}

bool IpPrefix::Contains(std::string_view ip_bytes) const {
  if (ip_bytes.size() != bytes.size()) return false;
  const size_t whole = length / 8;
  if (ip_bytes.substr(0, whole) != std::string_view(bytes).substr(0, whole)) return false;
  if (length % 8 == 0) return true;
  const uint8_t mask = static_cast<uint8_t>(0xff00 >> (length % 8));
  return (static_cast<uint8_t>(ip_bytes[whole]) & mask) == static_cast<uint8_t>(bytes[whole]);
}

struct ChainMatcher::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
  std::vector<uint32_t> prefix_lengths;  // of children, longest first; prefix levels only
  int chain = -1;

  const Node* Child(std::string_view key) const {
    const auto found = children.find(key);
    return found == children.end() ? nullptr : found->second.get();
  }
  const Node* ByPrefix(std::string_view ip) const;
  const Node* ByServerName(std::string_view name) const;
  const Node* ByAny(std::span<const std::string> values) const;
};

const ChainMatcher::Node* ChainMatcher::Node::ByPrefix(std::string_view ip) const {
  for (uint32_t length : prefix_lengths) {
    if (length > ip.size() * 8) continue;
    IpPrefix prefix{std::string(ip), length};
    for (size_t i = 0; i < ip.size(); ++i) {
      const int kept = std::clamp(static_cast<int>(length) - static_cast<int>(i) * 8, 0, 8);
      prefix.bytes[i] =
          static_cast<char>(static_cast<uint8_t>(ip[i]) & static_cast<uint8_t>(0xff00 >> kept));
    }
    if (const Node* child = Child(PrefixKey(prefix))) return child;
  }
  return Child("");
}

// Exact, then the longest wildcard suffix, then none.
const ChainMatcher::Node* ChainMatcher::Node::ByServerName(std::string_view name) const {
  if (!name.empty() && name[0] != '.') {
    if (const Node* child = Child(name)) return child;
    for (size_t dot = name.find('.', 1); dot != std::string_view::npos;
         dot = name.find('.', dot + 1)) {
      if (const Node* child = Child(name.substr(dot))) return child;
    }
  }
  return Child("");
}

const ChainMatcher::Node* ChainMatcher::Node::ByAny(std::span<const std::string> values) const {
  for (const std::string& value : values) {
    if (value.empty()) continue;
    if (const Node* child = Child(value)) return child;
  }
  return Child("");
}

ChainMatcher::ChainMatcher() = default;
ChainMatcher::~ChainMatcher() = default;
ChainMatcher::ChainMatcher(ChainMatcher&&) noexcept = default;
ChainMatcher& ChainMatcher::operator=(ChainMatcher&&) noexcept = default;

StatusOr<ChainMatcher> ChainMatcher::Build(const std::vector<const ChainMatch*>& matches,
                                           const std::vector<std::string>& names) {
  ChainMatcher matcher;
  matcher.root_ = std::make_unique<Node>();
  int current = 0;
  int duplicate_of = -1;
  const std::function<void(Node&, int)> insert = [&](Node& node, int level) {
    if (level == kLevels) {
      if (node.chain >= 0) duplicate_of = node.chain;
      node.chain = current;
      return;
    }
    std::vector<std::string> keys = KeysAt(*matches[current], level);
    if (keys.empty()) keys.emplace_back();
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    const bool is_prefix =
        level == kDestinationPrefix || level == kDirectSource || level == kSource;
    for (const std::string& key : keys) {
      std::unique_ptr<Node>& child = node.children[key];
      if (child == nullptr) child = std::make_unique<Node>();
      if (is_prefix && !key.empty()) node.prefix_lengths.push_back(static_cast<uint8_t>(key[1]));
      insert(*child, level + 1);
    }
    std::sort(node.prefix_lengths.begin(), node.prefix_lengths.end(), std::greater<>());
    node.prefix_lengths.erase(std::unique(node.prefix_lengths.begin(), node.prefix_lengths.end()),
                              node.prefix_lengths.end());
  };
  for (; current < static_cast<int>(matches.size()); ++current) {
    if (matches[current] == nullptr) continue;
    insert(*matcher.root_, 0);
    if (duplicate_of >= 0) {
      return absl::InvalidArgumentError(fmt::format(
          "filter chains \"{}\" and \"{}\" have the same filter_chain_match: change or remove one",
          names[duplicate_of], names[current]));
    }
  }
  return matcher;
}

int ChainMatcher::Find(const ChainQuery& query) const {
  const Node* node = root_.get();
  const auto or_any = [&](std::string_view key) {
    const Node* child = key.empty() ? nullptr : node->Child(key);
    return child ? child : node->Child("");
  };
  for (int level = 0; level < kLevels && node != nullptr; ++level) {
    switch (level) {
      case kDestinationPort:
        node = or_any(std::to_string(query.destination.port()));
        break;
      case kDestinationPrefix:
        node = node->ByPrefix(query.destination.ip_bytes());
        break;
      case kServerName:
        node = node->ByServerName(query.server_name);
        break;
      case kTransport:
        node = or_any(query.transport_protocol);
        break;
      case kApplication:
        node = node->ByAny(query.application_protocols);
        break;
      case kDirectSource:
      case kSource:
        node = node->ByPrefix(query.source.ip_bytes());
        break;
      case kSourceType:
        node = or_any(IsLocal(query.source, query.destination) ? "local" : "external");
        break;
      default:
        node = or_any(std::to_string(query.source.port()));
    }
  }
  return node == nullptr ? -1 : node->chain;
}

}  // namespace meltemi::proxy
