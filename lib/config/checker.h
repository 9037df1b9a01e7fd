// SPDX-License-Identifier: Apache-2.0
// Checks that several kinds share. Each reports at the path it is given; that the path may name a
// field that is not there: then the nearest thing around it gives the position.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/map.h>
#include <google/protobuf/repeated_field.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/config/validate.h"

namespace meltemi::config {

using TextList = google::protobuf::RepeatedPtrField<std::string>;
using TextMap = google::protobuf::Map<std::string, std::string>;

class Checker final {
 public:
  // Paths given later begin at spec.path.
  Checker(const SpecPlace& spec, Problems& problems) : spec_(spec), problems_(problems) {}

  void Add(const FieldPath& path, std::string_view what) const;

  // Each reports when the value is not what it should be.
  void Port(const FieldPath& path, uint32_t port) const;
  void AtLeastZero(const FieldPath& path, int64_t value) const;
  void Percent(const FieldPath& path, double value) const;
  // A whole number of milliseconds, at least one.
  void Duration(const FieldPath& path, const google::protobuf::Duration& duration) const;
  void Labels(const FieldPath& path, const TextMap& labels) const;
  void LabelSelector(const FieldPath& path, const TextMap& labels) const;
  void Host(const FieldPath& path, std::string_view host) const;  // FQDN, first label may be wild
  void Regex(const FieldPath& path, const std::string& regex) const;
  void HeaderName(const FieldPath& path, std::string_view name) const;
  void ExportTo(const FieldPath& path, const TextList& values, std::string_view ns,
                bool may_be_nobody) const;
  void PortName(const FieldPath& path, std::string_view name) const;

 private:
  struct Found {
    const nlohmann::json* value;
    const Node* node;
  };
  Found Locate(const FieldPath& path) const;

  const SpecPlace& spec_;
  Problems& problems_;
};

bool IsFqdn(std::string_view text);
bool IsWildcardDomain(std::string_view text);  // FQDN, or "*" with or without more
bool IsIpAddress(std::string_view text);
bool IsCidr(std::string_view text);           // an address counts as one
bool IsHttpToken(std::string_view text);      // RFC 9110 section 5.6.2
bool IsKnownProtocol(std::string_view text);  // of a port, in any case
std::string UpperCase(std::string_view text);

}  // namespace meltemi::config
