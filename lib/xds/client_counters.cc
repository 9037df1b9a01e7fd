// SPDX-License-Identifier: Apache-2.0
#include "lib/xds/client.h"

namespace meltemi::xds {
namespace {

void AddTo(TypeCounters& to, const TypeCounters& from) {
  to.updates += from.updates;
  to.acknowledged += from.acknowledged;
  to.refused += from.refused;
}

}  // namespace

TypeCounters ClientCounters::sum() const {
  TypeCounters sum;
  for (const TypeCounters& one : types) AddTo(sum, one);
  return sum;
}

void ClientCounters::Add(const ClientCounters& other) {
  streams += other.streams;
  failures += other.failures;
  for (size_t i = 0; i < types.size(); ++i) AddTo(types[i], other.types[i]);
}

}  // namespace meltemi::xds
