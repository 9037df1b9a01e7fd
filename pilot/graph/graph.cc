// SPDX-License-Identifier: Apache-2.0
#include "pilot/graph/graph.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::pilot {

Family::Family(Graph& graph, std::string name) : graph_(graph), name_(std::move(name)) {
  graph_.families_.push_back(this);
}

Node::~Node() {
  Graph& graph = family_.graph_;
  --graph.node_count_;
  if (graph.is_closing_) return;
  graph.loose_.erase(this);
  ForgetInputs();
}

void Node::ForgetInputs() {
  for (Node* input : inputs_) {
    input->dependents_.erase(this);
    if (input->dependents_.empty() && input->observers_.empty()) {
      family_.graph_.loose_.insert(input);
    }
  }
  inputs_.clear();
}

Observation::Observation(Graph& graph, Node& node, Observer& observer)
    : graph_(&graph), node_(&node), observer_(&observer) {
  if (node.observers_.empty()) node.is_changed_ = false;
  node.observers_.push_back(&observer);
}

Observation::~Observation() {
  End();
}

Observation::Observation(Observation&& other) noexcept
    : graph_(std::exchange(other.graph_, nullptr)),
      node_(std::exchange(other.node_, nullptr)),
      observer_(std::exchange(other.observer_, nullptr)) {}

Observation& Observation::operator=(Observation&& other) noexcept {
  if (this == &other) return *this;
  End();
  graph_ = std::exchange(other.graph_, nullptr);
  node_ = std::exchange(other.node_, nullptr);
  observer_ = std::exchange(other.observer_, nullptr);
  return *this;
}

void Observation::End() {
  if (node_ == nullptr || graph_->is_closing_) return;
  auto& observers = node_->observers_;
  observers.erase(std::find(observers.begin(), observers.end(), observer_));
  if (observers.empty() && node_->dependents_.empty()) graph_->loose_.insert(node_);
  node_ = nullptr;
}

void Graph::Adopt(Node& node) {
  ++node_count_;
  loose_.insert(&node);
}

void Graph::AdoptInput(Node& node) {
  node.state_ = Node::State::kClean;
  Adopt(node);
}

void Graph::OnSet(Node& input) {
  MELTEMI_CHECK(reader_ == nullptr);  // derivations have no effects
  input.state_ = Node::State::kClean;
  if (!input.observers_.empty()) {
    input.is_changed_ = true;
    touched_.push_back(&input);
  }
  MarkDependents(input, Node::State::kStale);
}

void Graph::MarkDependents(Node& node, Node::State state) {
  for (Node* dependent : node.dependents_) {
    const bool was_clean = dependent->state_ == Node::State::kClean;
    dependent->state_ = std::max(dependent->state_, state);
    if (!was_clean) continue;
    if (!dependent->observers_.empty()) touched_.push_back(dependent);
    MarkDependents(*dependent, Node::State::kMaybeStale);
  }
}

void Graph::Read(Node& node) {
  Validate(node);
  if (reader_ == nullptr) return;
  if (!node.dependents_.insert(reader_).second) return;
  reader_->inputs_.push_back(&node);
  loose_.erase(&node);
}

void Graph::Validate(Node& node) {
  if (node.state_ == Node::State::kClean) return;
  if (node.state_ == Node::State::kMaybeStale) {
    // In the order of reading: what was read later may hang on what was read before.
    for (size_t i = 0; i < node.inputs_.size() && node.state_ != Node::State::kStale; ++i) {
      Validate(*node.inputs_[i]);
    }
    if (node.state_ != Node::State::kStale) {
      node.state_ = Node::State::kClean;
      return;
    }
  }
  Compute(node);
}

void Graph::Compute(Node& node) {
  MELTEMI_CHECK(!node.is_computing_);  // a derivation reads itself
  node.is_computing_ = true;
  node.ForgetInputs();
  Node* const outer = std::exchange(reader_, &node);
  ++node.family_.computed_;
  const bool is_changed = node.Recompute();
  reader_ = outer;
  node.is_computing_ = false;
  node.state_ = Node::State::kClean;
  if (!is_changed) return;
  node.is_changed_ = true;
  for (Node* dependent : node.dependents_) {
    if (!dependent->is_computing_) dependent->state_ = Node::State::kStale;
  }
}

void Graph::Commit() {
  std::vector<Node*> touched = std::exchange(touched_, {});
  std::vector<Node*> changed;
  for (Node* node : touched) {
    if (node->observers_.empty()) continue;
    Validate(*node);
    if (std::exchange(node->is_changed_, false)) changed.push_back(node);
  }
  for (Node* node : changed) {
    for (Observer* observer : node->observers_) observer->OnChanged();
  }
  CollectGarbage();
}

void Graph::CollectGarbage() {
  while (!loose_.empty()) {
    const std::vector<Node*> batch(loose_.begin(), loose_.end());
    loose_.clear();
    for (Node* node : batch) {
      if (!node->dependents_.empty() || !node->observers_.empty()) continue;
      if (node->is_droppable()) node->Drop();
    }
  }
}

}  // namespace meltemi::pilot
