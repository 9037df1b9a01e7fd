// SPDX-License-Identifier: Apache-2.0
#include "proxy/dns/name_table.h"

#include <algorithm>

namespace meltemi::proxy::dns {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (!text.empty() && text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

void NameTable::Add(const std::string& host, const std::vector<std::string>& ips,
                    const std::string& short_name, const std::string& service_ns,
                    const std::vector<std::string>& other_hosts) {
  std::vector<Ip> addresses;
  for (const std::string& text : ips)
    if (const auto ip = Ip::Parse(text)) addresses.push_back(*ip);
  if (!short_name.empty() && !service_ns.empty()) {
    const std::string qualified = short_name + "." + service_ns;
    hosts_[Lower(qualified)] = addresses;
    hosts_[Lower(qualified + ".svc")] = addresses;
    if (service_ns == ns_) hosts_[Lower(short_name)] = addresses;
  }
  for (const std::string& other : other_hosts) hosts_[Lower(other)] = addresses;
  hosts_[Lower(host)] = std::move(addresses);
}

const std::vector<Ip>* NameTable::FindExactOrWildcard(std::string_view name) const {
  if (const auto found = hosts_.find(std::string(name)); found != hosts_.end())
    return &found->second;
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const auto found = hosts_.find("*" + std::string(name.substr(dot)));
    if (found != hosts_.end()) return &found->second;
  }
  return nullptr;
}

const std::vector<Ip>* NameTable::Find(std::string_view name) const {
  if (const auto* found = FindExactOrWildcard(name)) return found;
  // The resolver inside appends each search suffix to any name with fewer than five dots before it
  // tries the name itself: answering then saves the round trips, as Istio's agent does.
  for (const std::string& suffix :
       {"." + ns_ + ".svc." + domain_, ".svc." + domain_, "." + domain_}) {
    if (name.size() <= suffix.size() || !name.ends_with(suffix)) continue;
    if (const auto* found = FindExactOrWildcard(name.substr(0, name.size() - suffix.size())))
      return found;
  }
  return nullptr;
}

bool NameTable::IsOwn(std::string_view name) const {
  return name == domain_ || (name.size() > domain_.size() && name.ends_with(domain_) &&
                             name[name.size() - domain_.size() - 1] == '.');
}

}  // namespace meltemi::proxy::dns
