// SPDX-License-Identifier: Apache-2.0
// The two kinds of collections in a graph: inputs, which are set, and derived values. Model-thread
// only.
//
// Values are immutable and shared; a null pointer is the value "there is none", and reading it is a
// dependency like any other.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "pilot/graph/graph.h"

namespace meltemi::pilot {

template <typename V>
bool IsSameValue(const std::shared_ptr<const V>& a, const std::shared_ptr<const V>& b) {
  if (a == b) return true;
  if constexpr (std::equality_comparable<V>) {
    return a != nullptr && b != nullptr && *a == *b;
  } else {
    return false;
  }
}

template <typename K, typename V>
class Input final : public Family {
 public:
  using Value = std::shared_ptr<const V>;
  Input(Graph& graph, std::string name) : Family(graph, std::move(name)) {}

  Value Get(const K& key) {
    Slot& slot = FindSlot(key);
    graph().Read(slot);
    return slot.value;
  }
  // Another pointer is another value, unless the values compare equal.
  void Set(const K& key, Value value) {
    Slot& slot = FindSlot(key);
    if (IsSameValue<V>(slot.value, value)) return;
    slot.value = std::move(value);
    graph().loose_.insert(&slot);
    graph().OnSet(slot);
  }
  Observation Observe(const K& key, Observer& observer) {
    return Observation(graph(), FindSlot(key), observer);
  }

 private:
  struct Slot final : Node {
    Slot(Input& owner, K k) : Node(owner), input(owner), key(std::move(k)) {}
    bool Recompute() override { return false; }
    bool is_droppable() const override { return value == nullptr; }
    void Drop() override {
      const K own_key = key;  // the entry dies while it is erased
      input.slots_.erase(own_key);
    }
    Input& input;
    const K key;
    Value value;
  };
  Slot& FindSlot(const K& key) {
    std::unique_ptr<Slot>& slot = slots_[key];
    if (slot == nullptr) {
      slot = std::make_unique<Slot>(*this, key);
      graph().AdoptInput(*slot);
    }
    return *slot;
  }
  absl::flat_hash_map<K, std::unique_ptr<Slot>> slots_;
};

template <typename K, typename V>
class Derived final : public Family {
 public:
  using Value = std::shared_ptr<const V>;
  using Function = std::function<Value(const K&)>;
  // `function` reads other collections and nothing else that changes.
  Derived(Graph& graph, std::string name, Function function)
      : Family(graph, std::move(name)), function_(std::move(function)) {}

  Value Get(const K& key) {
    Slot& slot = FindSlot(key);
    graph().Read(slot);
    return slot.value;
  }
  Observation Observe(const K& key, Observer& observer) {
    Slot& slot = FindSlot(key);
    graph().Validate(slot);
    return Observation(graph(), slot, observer);
  }

 private:
  struct Slot final : Node {
    Slot(Derived& owner, K k) : Node(owner), derived(owner), key(std::move(k)) {}
    bool Recompute() override {
      Value next = derived.function_(key);
      if (IsSameValue<V>(value, next)) return false;  // keeps the old pointer
      value = std::move(next);
      return true;
    }
    void Drop() override {
      const K own_key = key;
      derived.slots_.erase(own_key);
    }
    Derived& derived;
    const K key;
    Value value;
  };
  Slot& FindSlot(const K& key) {
    std::unique_ptr<Slot>& slot = slots_[key];
    if (slot == nullptr) {
      slot = std::make_unique<Slot>(*this, key);
      graph().Adopt(*slot);
    }
    return *slot;
  }
  const Function function_;
  absl::flat_hash_map<K, std::unique_ptr<Slot>> slots_;
};

}  // namespace meltemi::pilot
