// SPDX-License-Identifier: Apache-2.0
#include "pilot/graph/graph.h"

#include <gtest/gtest.h>

#include <string>

#include "pilot/graph/collection.h"

namespace meltemi::pilot {
namespace {

struct Count final : Observer {
  void OnChanged() override { ++changes; }
  int changes = 0;
};

std::shared_ptr<const int> Int(int value) {
  return std::make_shared<const int>(value);
}

// Numbers by name; their parity; a sentence about the parity.
struct Numbers {
  ~Numbers() { graph.Close(); }
  Graph graph;
  Input<std::string, int> numbers{graph, "numbers"};
  Derived<std::string, int> parity{graph, "parity", [this](const std::string& key) {
                                     const auto number = numbers.Get(key);
                                     return number == nullptr ? nullptr : Int(*number % 2);
                                   }};
  Derived<std::string, std::string> text{
      graph, "text", [this](const std::string& key) {
        const auto bit = parity.Get(key);
        return std::make_shared<const std::string>(bit == nullptr ? "none"
                                                   : *bit == 0    ? "even"
                                                                  : "odd");
      }};
};

TEST(Graph, ComputesOnlyWhatDependsOnAChange) {
  Numbers n;
  Count a, b;
  n.numbers.Set("a", Int(1));
  n.numbers.Set("b", Int(2));
  const Observation on_a = n.text.Observe("a", a);
  const Observation on_b = n.text.Observe("b", b);
  EXPECT_EQ(n.text.computed(), 2u);
  n.numbers.Set("a", Int(4));
  n.graph.Commit();
  EXPECT_EQ(a.changes, 1);
  EXPECT_EQ(b.changes, 0);
  EXPECT_EQ(*n.text.Get("a"), "even");
  EXPECT_EQ(n.text.computed(), 3u);
}

TEST(Graph, StopsWhereAValueComesOutEqual) {
  Numbers n;
  Count a;
  n.numbers.Set("a", Int(1));
  const Observation on_a = n.text.Observe("a", a);
  n.numbers.Set("a", Int(3));
  n.graph.Commit();
  EXPECT_EQ(n.parity.computed(), 2u);
  EXPECT_EQ(n.text.computed(), 1u);
  EXPECT_EQ(a.changes, 0);
}

TEST(Graph, ReadsOfAbsentValuesAreDependencies) {
  Numbers n;
  Count a;
  const Observation on_a = n.text.Observe("a", a);
  EXPECT_EQ(*n.text.Get("a"), "none");
  n.numbers.Set("a", Int(7));
  n.graph.Commit();
  EXPECT_EQ(*n.text.Get("a"), "odd");
  n.numbers.Set("a", nullptr);
  n.graph.Commit();
  EXPECT_EQ(*n.text.Get("a"), "none");
  EXPECT_EQ(a.changes, 2);
}

TEST(Graph, InputsAreNeverComputed) {
  Numbers n;
  EXPECT_EQ(*n.text.Get("absent"), "none");
  EXPECT_EQ(n.numbers.computed(), 0u);
}

TEST(Graph, ABatchIsOnePass) {
  Numbers n;
  Count a;
  n.numbers.Set("a", Int(1));
  const Observation on_a = n.text.Observe("a", a);
  for (int i = 2; i <= 10; ++i) n.numbers.Set("a", Int(i));
  n.graph.Commit();
  EXPECT_EQ(n.parity.computed(), 2u);
  EXPECT_EQ(a.changes, 1);
}

TEST(Graph, DependenciesFollowWhatWasReadLast) {
  Graph graph;
  Input<std::string, int> in(graph, "in");
  in.Set("which", Int(0));
  in.Set("x", Int(10));
  in.Set("y", Int(20));
  Derived<int, int> chosen(graph, "chosen",
                           [&](int) { return *in.Get("which") == 0 ? in.Get("x") : in.Get("y"); });
  Count count;
  Observation observation = chosen.Observe(0, count);
  in.Set("y", Int(21));
  graph.Commit();
  EXPECT_EQ(chosen.computed(), 1u);
  in.Set("which", Int(1));
  graph.Commit();
  EXPECT_EQ(*chosen.Get(0), 21);
  in.Set("x", Int(11));
  graph.Commit();
  EXPECT_EQ(chosen.computed(), 2u);
  observation = {};
  graph.Close();
}

TEST(Graph, DropsWhatNothingNeeds) {
  Numbers n;
  Count a;
  n.numbers.Set("a", Int(1));
  n.graph.Commit();
  EXPECT_EQ(n.graph.node_count(), 1u);
  {
    const Observation on_a = n.text.Observe("a", a);
    n.graph.Commit();
    EXPECT_EQ(n.graph.node_count(), 3u);
  }
  n.graph.Commit();
  EXPECT_EQ(n.graph.node_count(), 1u);
  EXPECT_EQ(*n.text.Get("a"), "odd");  // computed again on demand
}

TEST(Graph, ReadBeforeCommitIsAlreadyNewAndStillReported) {
  Numbers n;
  Count a;
  n.numbers.Set("a", Int(1));
  const Observation on_a = n.text.Observe("a", a);
  n.numbers.Set("a", Int(2));
  EXPECT_EQ(*n.text.Get("a"), "even");
  n.graph.Commit();
  EXPECT_EQ(a.changes, 1);
}

}  // namespace
}  // namespace meltemi::pilot
