// SPDX-License-Identifier: Apache-2.0
// Load balancing of a DestinationRule. Istio's documented rules.
#include <set>
#include <string>

#include "lib/config/validate_rules.h"

namespace meltemi::config {
namespace {

using namespace istio::networking::v1;

constexpr uint64_t kMaglevTableMax = 5000011;  // Envoy's limit

bool IsPrime(uint64_t number) {
  if (number < 2) return false;
  for (uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

void CheckHash(const LoadBalancerSettings::ConsistentHashLB& hash, const FieldPath& path,
               const Checker& check) {
  if (hash.has_http_cookie()) {
    const FieldPath cookie = path.Field("httpCookie");
    const FieldPath attributes = cookie.Field("attributes");
    if (hash.http_cookie().name().empty()) {
      check.Add(cookie.Field("name"), "missing; expected the cookie's name");
    }
    std::set<std::string_view> names;
    for (int i = 0; i < hash.http_cookie().attributes_size(); ++i) {
      const std::string& name = hash.http_cookie().attributes(i).name();
      if (name.empty() || !names.insert(name).second) {
        check.Add(attributes.Item(i), "no name, or one named twice; expected each once");
      }
    }
  }
  if (hash.has_maglev()) {
    const uint64_t size = hash.maglev().table_size();
    const FieldPath maglev = path.Field("maglev");
    if (size >= kMaglevTableMax || !IsPrime(size)) {
      check.Add(maglev.Field("tableSize"), "expected a prime number below 5000011");
    }
  }
  if (hash.minimum_ring_size() != 0 &&
      hash.hash_algorithm_case() !=
          LoadBalancerSettings::ConsistentHashLB::HASH_ALGORITHM_NOT_SET) {
    check.Add(path.Field("minimumRingSize"), "beside ringHash or maglev; expected one of them");
  }
}

bool IsLocality(std::string_view text) {
  const size_t star = text.find('*');
  return !text.empty() && text.front() != '/' && text.back() != '/' &&
         text.find("//") == std::string_view::npos &&
         (star == std::string_view::npos || star + 1 == text.size());
}

void CheckDistribute(const LocalityLoadBalancerSetting::Distribute& share, const FieldPath& path,
                     const Checker& check) {
  uint64_t sum = 0;
  const FieldPath to = path.Field("to");
  if (!IsLocality(share.from())) {
    check.Add(path.Field("from"), "no locality; expected region/zone/subzone, or * at its end");
  }
  for (const auto& [locality, weight] : share.to()) {
    const FieldPath at = to.Key(locality);
    sum += weight;
    if (!IsLocality(locality)) {
      check.Add(at, "no locality; expected region/zone/subzone, or * at its end");
    }
    if (weight < 1 || weight > 100) check.Add(at, "expected a weight from 1 to 100");
  }
  if (sum != 100) {
    check.Add(to, "weights add up to " + std::to_string(sum) + "; expected 100");
  }
}

void CheckLocality(const LocalityLoadBalancerSetting& setting, const FieldPath& path,
                   const Checker& check) {
  if (!setting.distribute().empty() &&
      !(setting.failover().empty() && setting.failover_priority().empty())) {
    check.Add(path.Field("distribute"), "beside failover; expected one of them");
  }
  const FieldPath distribute = path.Field("distribute"), failover = path.Field("failover");
  for (int i = 0; i < setting.distribute_size(); ++i) {
    CheckDistribute(setting.distribute(i), distribute.Item(i), check);
  }
  for (int i = 0; i < setting.failover_size(); ++i) {
    const auto& one = setting.failover(i);
    const FieldPath at = failover.Item(i);
    if (one.from() == one.to()) check.Add(at, "from is to; expected two regions");
    for (const auto& [name, region] : {std::pair("from", one.from()), std::pair("to", one.to())}) {
      if (region.empty() || region.find_first_of("*/") != std::string::npos) {
        check.Add(at.Field(name), "no region; expected its name, without / and *");
      }
    }
  }
}

void CheckWarmup(const LoadBalancerSettings& settings, const FieldPath& path,
                 const Checker& check) {
  if (!settings.has_warmup()) return;
  const FieldPath warmup = path.Field("warmup");
  if (settings.has_warmup_duration_secs()) {
    check.Add(warmup, "beside warmupDurationSecs; expected one of them");
  }
  if (!settings.warmup().has_duration()) {
    check.Add(warmup.Field("duration"), "missing; expected a duration such as 30s");
  }
  check.Percent(warmup.Field("minimumPercent"), settings.warmup().minimum_percent().value());
  if (settings.warmup().has_aggression() && settings.warmup().aggression().value() <= 0) {
    check.Add(warmup.Field("aggression"), "expected a number above 0");
  }
}

}  // namespace

void ValidateLoadBalancer(const LoadBalancerSettings& settings, const FieldPath& path,
                          const Checker& check) {
  if (settings.has_consistent_hash()) {
    CheckHash(settings.consistent_hash(), path.Field("consistentHash"), check);
  }
  if (settings.has_locality_lb_setting()) {
    CheckLocality(settings.locality_lb_setting(), path.Field("localityLbSetting"), check);
  }
  CheckWarmup(settings, path, check);
}

}  // namespace meltemi::config
