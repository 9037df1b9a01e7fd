// SPDX-License-Identifier: Apache-2.0
// The names of a mesh and their addresses, as Pilot's name table gives them. Immutable once handed
// to the server; built on the control thread for each version.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/dns/message.h"

namespace meltemi::proxy::dns {

class NameTable final {
 public:
  // `ns` is the workload's namespace: services of it are known by their bare name too.
  explicit NameTable(std::string ns = "default", std::string domain = "cluster.local")
      : ns_(std::move(ns)), domain_(std::move(domain)) {}

  // Fields of istio.networking.nds.v1.NameTable.NameInfo. Addresses that are none are left out.
  // `host` may start with "*."; a later addition of the same name replaces the earlier.
  void Add(const std::string& host, const std::vector<std::string>& ips,
           const std::string& short_name = "", const std::string& service_ns = "",
           const std::vector<std::string>& other_hosts = {});

  // The addresses of `name` (lower case, no trailing dot): the name itself, a wildcard over it, or
  // the name with one suffix of the search list taken away. nullptr = not ours.
  const std::vector<Ip>* Find(std::string_view name) const;
  // True for names below the mesh's own domain: nobody else may be asked for them.
  bool IsOwn(std::string_view name) const;

  size_t size() const { return hosts_.size(); }

 private:
  const std::vector<Ip>* FindExactOrWildcard(std::string_view name) const;

  std::string ns_;
  std::string domain_;
  std::unordered_map<std::string, std::vector<Ip>> hosts_;
};

}  // namespace meltemi::proxy::dns
