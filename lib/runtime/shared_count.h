// SPDX-License-Identifier: Apache-2.0
// A count with a limit that all workers share: connections of a process, of a filter. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace meltemi::runtime {

class SharedCount final {
 public:
  // One unit; given back when it is destroyed, on whichever thread.
  class Unit {
   public:
    explicit Unit(std::shared_ptr<SharedCount> of) : of_(std::move(of)) {}
    ~Unit() { of_->count_.fetch_sub(1, std::memory_order_relaxed); }
    Unit(const Unit&) = delete;
    Unit& operator=(const Unit&) = delete;

   private:
    const std::shared_ptr<SharedCount> of_;
  };

  // nullptr: `limit` units are out.
  static std::shared_ptr<Unit> Take(const std::shared_ptr<SharedCount>& of, uint64_t limit) {
    if (of->count_.fetch_add(1, std::memory_order_relaxed) < limit) {
      return std::make_shared<Unit>(of);
    }
    of->count_.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  uint64_t value() const { return count_.load(std::memory_order_relaxed); }
  // Units that their holder counts itself.
  void Add(uint64_t units) { count_.fetch_add(units, std::memory_order_relaxed); }
  void Subtract(uint64_t units) { count_.fetch_sub(units, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
};

}  // namespace meltemi::runtime
