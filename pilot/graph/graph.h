// SPDX-License-Identifier: Apache-2.0
// A graph of values derived from values, in which a change costs what depends on it.
//
// Inputs are set; derived values are computed when first read and keep what they read as edges.
// Setting an input marks its dependents, without computing anything; Commit() then brings up to
// date those that somebody observes. A derived value that comes out equal stops the propagation
// there.
//
// Model-thread only. Invariants:
//  1. Between commits every clean value equals what its function would give now.
//  2. Within one commit a value is computed once at most, after everything it reads.
//  3. A value that nothing observes and nothing reads is dropped at the end of a commit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"

namespace meltemi::pilot {

class Graph;
class Node;

// Told, once per commit, that the value it observes is another one. Must not read the graph there:
// note the fact and act when Commit() has returned.
class Observer {
 public:
  virtual void OnChanged() = 0;

 protected:
  ~Observer() = default;
};

// All values of one derivation; for counters.
class Family {
 public:
  Family(Graph& graph, std::string name);
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  const std::string& name() const { return name_; }
  uint64_t computed() const { return computed_; }  // how often a value was computed

 protected:
  virtual ~Family() = default;
  Graph& graph() const { return graph_; }

 private:
  friend class Graph;
  friend class Node;
  Graph& graph_;
  const std::string name_;
  uint64_t computed_ = 0;
};

class Node {
 public:
  explicit Node(Family& family) : family_(family) {}
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

 protected:
  // Computes the value anew; true when it is another one. Inputs never get here.
  virtual bool Recompute() = 0;
  // Whether the value may go when nothing needs it; an input with a value may not.
  virtual bool is_droppable() const { return true; }
  virtual void Drop() = 0;  // removes the node from its collection; `this` is gone after it

 private:
  friend class Graph;
  friend class Observation;
  enum class State : uint8_t { kClean, kMaybeStale, kStale };
  void ForgetInputs();

  Family& family_;
  State state_ = State::kStale;
  bool is_computing_ = false;
  bool is_changed_ = false;  // since the last commit; kept only for observed nodes
  std::vector<Node*> inputs_;
  absl::flat_hash_set<Node*> dependents_;
  std::vector<Observer*> observers_;
};

// Keeps a node alive and up to date; tells the observer about changes until destroyed.
class Observation final {
 public:
  Observation() = default;
  Observation(Graph& graph, Node& node, Observer& observer);
  ~Observation();
  Observation(Observation&& other) noexcept;
  Observation& operator=(Observation&& other) noexcept;

 private:
  void End();
  Graph* graph_ = nullptr;
  Node* node_ = nullptr;
  Observer* observer_ = nullptr;
};

class Graph final {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Before the collections die: they do so in any order, and edges are not followed any more.
  void Close() { is_closing_ = true; }
  // Brings observed values up to date, tells the observers of those that changed, drops what
  // nothing needs any more.
  void Commit();
  const std::vector<Family*>& families() const { return families_; }
  size_t node_count() const { return node_count_; }

 private:
  friend class Family;
  friend class Node;
  friend class Observation;
  template <typename K, typename V>
  friend class Input;
  template <typename K, typename V>
  friend class Derived;

  void OnSet(Node& input);  // an input got another value
  void Read(Node& node);    // brings it up to date and notes who reads it
  void Validate(Node& node);
  void Compute(Node& node);
  void MarkDependents(Node& node, Node::State state);
  void Adopt(Node& node);       // a new node, not needed by anything yet
  void AdoptInput(Node& node);  // one that holds its value already: none
  void CollectGarbage();

  std::vector<Family*> families_;
  Node* reader_ = nullptr;            // whose function runs now
  std::vector<Node*> touched_;        // observed, marked since the last commit
  absl::flat_hash_set<Node*> loose_;  // perhaps needed by nothing
  size_t node_count_ = 0;
  bool is_closing_ = false;
};

}  // namespace meltemi::pilot
