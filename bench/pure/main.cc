// SPDX-License-Identifier: Apache-2.0
// The pure functions under Google Benchmark; with --count, under callgrind, a fixed number of
// rounds of each, whose instructions instructions.py reads from callgrind's dumps.
#include <benchmark/benchmark.h>
#include <valgrind/callgrind.h>

#include <cstdlib>
#include <string_view>

#include "bench/pure/subject.h"

namespace meltemi::bench {
namespace {

std::vector<Subject> AllSubjects() {
  std::vector<Subject> all;
  for (const auto subjects :
       {Http1Subjects, Http2Subjects, DecisionSubjects, ConnectionSubjects, ControlSubjects}) {
    for (Subject& subject : subjects()) all.push_back(std::move(subject));
  }
  return all;
}

void CountInstructions(int rounds) {
  for (const Subject& subject : AllSubjects()) {
    const auto run = subject.prepare();
    for (int i = 0; i < rounds; ++i) run();  // buffers and tables have grown, statics are made
    CALLGRIND_START_INSTRUMENTATION;
    for (int i = 0; i < rounds; ++i) run();
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(subject.name.c_str());
  }
}

void RunBenchmarks(int argc, char** argv) {
  for (const Subject& subject : AllSubjects()) {
    benchmark::RegisterBenchmark(subject.name.c_str(), [subject](benchmark::State& state) {
      const auto run = subject.prepare();
      for (auto _ : state) run();
    });
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

}  // namespace
}  // namespace meltemi::bench

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--count") {
    meltemi::bench::CountInstructions(std::atoi(argv[2]));
  } else {
    meltemi::bench::RunBenchmarks(argc, argv);
  }
}
