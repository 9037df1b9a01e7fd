// SPDX-License-Identifier: Apache-2.0
// A Source filled by hand, and a call that keeps what it was sent.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/grpc/server.h"
#include "lib/xds/source.h"

namespace meltemi::xds {

class FakeSource final : public Source {
 public:
  using OnChange = std::function<void(const std::vector<Change>&, uint64_t)>;

  // Takes effect at once; Publish tells the views.
  void Set(Type type, const std::string& name, uint64_t version, std::string message = "m") {
    auto resource = std::make_shared<Resource>();
    resource->name = name;
    resource->version = version;
    resource->message = std::make_shared<const std::string>(std::move(message));
    resources_[{type, name}] = std::move(resource);
    pending_[type].push_back(name);
  }
  void Remove(Type type, const std::string& name) {
    resources_.erase({type, name});
    pending_[type].push_back(name);
  }
  void Publish() {
    ++version_;
    std::vector<Change> changes;
    for (auto& [type, names] : pending_) changes.push_back({type, false, std::move(names)});
    pending_.clear();
    for (auto& [view, on_change] : views_) on_change(changes, version_);
  }

  StatusOr<std::unique_ptr<View>> Connect(const NodeInfo& node, OnChange on_change) override {
    node_ = node;
    auto view = std::make_unique<FakeView>(*this);
    views_[view.get()] = std::move(on_change);
    return view;
  }
  uint64_t snapshot_version() const override { return version_; }

  NodeInfo node_;
  std::vector<std::pair<Type, uint64_t>> acks_;
  std::vector<std::pair<Type, std::string>> nacks_;
  size_t views() const { return views_.size(); }

 private:
  class FakeView final : public View {
   public:
    explicit FakeView(FakeSource& source) : source_(source) {}
    ~FakeView() override { source_.views_.erase(this); }
    std::vector<ResourcePtr> All(Type type) override {
      std::vector<ResourcePtr> all;
      for (const auto& [key, resource] : source_.resources_) {
        if (key.first == type) all.push_back(resource);
      }
      return all;
    }
    ResourcePtr Find(Type type, const std::string& name) override {
      const auto found = source_.resources_.find({type, name});
      return found == source_.resources_.end() ? nullptr : found->second;
    }
    void OnAck(Type type, uint64_t version) override { source_.acks_.emplace_back(type, version); }
    void OnNack(Type type, const std::string& error) override {
      source_.nacks_.emplace_back(type, error);
    }

   private:
    FakeSource& source_;
  };

  uint64_t version_ = 1;
  std::map<std::pair<Type, std::string>, ResourcePtr> resources_;
  std::map<Type, std::vector<std::string>> pending_;
  std::map<View*, OnChange> views_;
};

class FakeCall final : public grpc::ServerCall {
 public:
  const grpc::PeerInfo& peer() const override { return peer_; }
  bool Send(std::vector<grpc::Slice> message) override {
    std::string text;
    for (const grpc::Slice& slice : message) text += *slice;
    sent_.push_back(std::move(text));
    slices_.push_back(std::move(message));
    return true;
  }
  size_t queued_bytes() const override { return queued_bytes_; }
  void Finish(grpc::CallStatus status) override {
    is_finished_ = true;
    status_ = std::move(status);
  }

  grpc::PeerInfo peer_;
  std::vector<std::string> sent_;
  std::vector<std::vector<grpc::Slice>> slices_;
  size_t queued_bytes_ = 0;
  bool is_finished_ = false;
  grpc::CallStatus status_;
};

}  // namespace meltemi::xds
