// SPDX-License-Identifier: Apache-2.0
// Objects that many users need for a while each, kept for the next user: what idle connections need
// not hold, and what no request after warm-up has to allocate. Belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace meltemi {

template <typename T>
class Spares final {
 public:
  explicit Spares(size_t kept_max) : kept_max_(kept_max) { kept_.reserve(kept_max); }
  Spares(const Spares&) = delete;
  Spares& operator=(const Spares&) = delete;

  // nullptr: there is none, make one.
  std::unique_ptr<T> Take() {
    if (kept_.empty()) return nullptr;
    std::unique_ptr<T> taken = std::move(kept_.back());
    kept_.pop_back();
    return taken;
  }
  // Back comes what is too much.
  std::unique_ptr<T> Give(std::unique_ptr<T> spare) {
    if (kept_.size() >= kept_max_) return spare;
    kept_.push_back(std::move(spare));
    return nullptr;
  }
  size_t size() const { return kept_.size(); }

 private:
  const size_t kept_max_;
  std::vector<std::unique_ptr<T>> kept_;
};

}  // namespace meltemi
