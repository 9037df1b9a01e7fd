// SPDX-License-Identifier: Apache-2.0
// One worker thread as the data path sees it: its loop, memory, upstream pools, randomness, clock
// and the snapshot it runs on. Worker-local; outlives every connection it carries.
#pragma once

#include <cstdint>
#include <memory>

#include "lib/base/clock.h"
#include "lib/net/buffer.h"
#include "lib/runtime/loop.h"
#include "proxy/overload/overload_levels.h"

namespace meltemi::telemetry {
class Recorder;
}

namespace meltemi::proxy {

class ActiveConnection;
class Upstreams;
class WorkerHttp;
struct Snapshot;

// xoshiro256++ (Blackman, Vigna 2019): fast, not for secrets. Seeded once per worker from the
// system.
class Random final {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {  // splitmix64, as its authors advise for seeding
      seed += 0x9e3779b97f4a7c15;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = z ^ (z >> 31);
    }
  }
  uint64_t Next() {
    const uint64_t result = Rotate(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound); 0 when bound is 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

 private:
  static uint64_t Rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }
  uint64_t state_[4];
};

class Worker {
 public:
  virtual uint32_t index() const = 0;
  virtual runtime::Loop& loop() = 0;
  virtual net::BlockPool& blocks() = 0;
  virtual Upstreams& upstreams() = 0;
  virtual WorkerHttp& http() = 0;  // what HTTP connections share; proxy/http
  virtual Random& random() = 0;
  virtual const Clock& clock() const = 0;
  // What new connections and streams begin with; a stream that needs its parts later keeps the
  // pointer.
  virtual const std::shared_ptr<const Snapshot>& snapshot() const = 0;
  // Destroys `connection` at the end of this pass. Callable from inside its own callbacks, once.
  virtual void End(ActiveConnection& connection) = 0;
  // This worker's way into the metrics registry; nullptr in tests without telemetry.
  virtual telemetry::Recorder* recorder() = 0;
  const OverloadLevels& overload() const { return overload_; }

 protected:
  ~Worker() = default;
  OverloadLevels overload_;
};

}  // namespace meltemi::proxy
