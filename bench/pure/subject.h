// SPDX-License-Identifier: Apache-2.0
// The pure functions whose cost is guarded: each with a fixed input, so that the same code takes
// the same instructions every time. No clock, no randomness, no sockets in what is measured.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace meltemi::bench {

struct Subject {
  std::string name;
  // Makes what the function needs; the result runs it once.
  std::function<std::function<void()>()> prepare;
};

// `Work` is made from the arguments and called once per round. It checks what it computes: a
// refusal is quick, and must not pass for a fast answer.
template <typename Work, typename... Arguments>
Subject Measure(std::string name, Arguments... arguments) {
  return {std::move(name),
          [=] { return [work = std::make_shared<Work>(arguments...)] { (*work)(); }; }};
}

std::vector<Subject> Http1Subjects();
std::vector<Subject> Http2Subjects();
std::vector<Subject> DecisionSubjects();    // paths, routes, load balancing
std::vector<Subject> ConnectionSubjects();  // what a connection begins with, TLS records
std::vector<Subject> ControlSubjects();     // configuration, logs, metrics

}  // namespace meltemi::bench
