// SPDX-License-Identifier: Apache-2.0
#include "pilot/pilot.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/identity/spiffe_id.h"
#include "pilot/model_reader.h"
#include "pilot/source/proxy_class.h"
#include "pilot/source/resources.h"

namespace meltemi::pilot {
namespace {

using OnChange = std::function<void(const std::vector<xds::Change>&, uint64_t)>;

// The part of a view that Pilot calls. A call may end the view: whoever calls keeps the link.
struct ViewLink {
  std::shared_ptr<ProxyClass> proxy_class;
  OnChange on_change;
  bool is_open = true;
};

struct Answers {
  uint64_t accepted = 0;
  uint64_t rejected = 0;
};

class ClassView final : public xds::View {
 public:
  ClassView(std::shared_ptr<ViewLink> link, Answers& answers, bool may_read_secrets)
      : link_(std::move(link)), answers_(answers), may_read_secrets_(may_read_secrets) {}
  ~ClassView() override {
    link_->is_open = false;
    link_->proxy_class.reset();
  }

  std::vector<xds::ResourcePtr> All(xds::Type type) override {
    return link_->proxy_class->All(type);
  }
  xds::ResourcePtr Find(xds::Type type, const std::string& name) override {
    if (type == xds::Type::kSecret && !may_read_secrets_) return nullptr;
    return link_->proxy_class->Find(type, name);
  }
  void OnAck(xds::Type, uint64_t) override { ++answers_.accepted; }
  void OnNack(xds::Type, const std::string&) override { ++answers_.rejected; }

 private:
  const std::shared_ptr<ViewLink> link_;
  Answers& answers_;
  const bool may_read_secrets_;
};

class GraphPilot final : public Pilot {
 public:
  explicit GraphPilot(Options options) : model_(std::move(options)), resources_(model_) {}
  ~GraphPilot() override { model_.graph().Close(); }

  void Apply(const std::vector<config::Event>& events, uint64_t version) override;
  StatusOr<std::unique_ptr<xds::View>> Connect(const xds::NodeInfo& node,
                                               OnChange on_change) override;
  uint64_t snapshot_version() const override { return version_; }
  std::vector<Counter> Counters() const override;
  std::vector<Problem> Problems() const override;

 private:
  std::shared_ptr<ProxyClass> ClassOf(const ProxyFacts& facts);
  void Sweep();  // forgets views and classes that have ended

  Model model_;
  Resources resources_;
  FactsTable facts_;
  absl::flat_hash_map<FactsPtr, std::weak_ptr<ProxyClass>> classes_;
  std::vector<std::weak_ptr<ViewLink>> views_;
  Answers answers_;
  uint64_t version_ = 0;
  size_t sweep_at_ = 64;
};

void GraphPilot::Sweep() {
  std::erase_if(views_, [](const auto& view) { return view.expired(); });
  absl::erase_if(classes_, [](const auto& entry) { return entry.second.expired(); });
  sweep_at_ = std::max<size_t>(64, views_.size() * 2);
}

std::shared_ptr<ProxyClass> GraphPilot::ClassOf(const ProxyFacts& facts) {
  const FactsPtr own = facts_.Share(facts);
  std::weak_ptr<ProxyClass>& known = classes_[own];
  std::shared_ptr<ProxyClass> proxy_class = known.lock();
  if (proxy_class == nullptr) {
    proxy_class =
        std::make_shared<ProxyClass>(resources_, own, facts_.Share(facts.OutboundScope()));
    known = proxy_class;
  }
  return proxy_class;
}

StatusOr<std::unique_ptr<xds::View>> GraphPilot::Connect(const xds::NodeInfo& node,
                                                         OnChange on_change) {
  MELTEMI_ASSIGN_OR_RETURN(ProxyFacts facts, ProxyFacts::Of(node));
  bool is_authenticated = false;
  if (!node.authenticated_uri.empty()) {
    MELTEMI_ASSIGN_OR_RETURN(const identity::SpiffeId id,
                             identity::SpiffeId::Parse(node.authenticated_uri));
    if (id.ns != facts.ns ||
        (!facts.service_account.empty() && id.service_account != facts.service_account)) {
      return absl::PermissionDeniedError(
          node.authenticated_uri + " may not have the configuration of a proxy of namespace " +
          facts.ns + ", service account " + facts.service_account);
    }
    facts.service_account = id.service_account;
    is_authenticated = true;
  }
  auto link = std::make_shared<ViewLink>();
  link->proxy_class = ClassOf(facts);
  link->on_change = std::move(on_change);
  if (views_.size() >= sweep_at_) Sweep();
  views_.push_back(link);
  const bool may_read_secrets = is_authenticated && facts.role == Role::kRouter;
  return std::make_unique<ClassView>(std::move(link), answers_, may_read_secrets);
}

void GraphPilot::Apply(const std::vector<config::Event>& events, uint64_t version) {
  model_.Apply(events);
  version_ = version;
  model_.graph().Commit();
  Sweep();
  // Every class is asked before any view is told: a view's reads must not see another's news late.
  std::vector<std::pair<std::shared_ptr<ProxyClass>, std::vector<xds::Change>>> news;
  for (const auto& [facts, known] : classes_) {
    std::shared_ptr<ProxyClass> proxy_class = known.lock();
    if (proxy_class == nullptr) continue;
    std::vector<xds::Change> changes = proxy_class->TakeChanges();
    if (!changes.empty()) news.emplace_back(std::move(proxy_class), std::move(changes));
  }
  absl::flat_hash_map<const ProxyClass*, const std::vector<xds::Change>*> by_class;
  for (const auto& [proxy_class, changes] : news) by_class[proxy_class.get()] = &changes;
  const std::vector<std::weak_ptr<ViewLink>> views = views_;
  for (const std::weak_ptr<ViewLink>& view : views) {
    const std::shared_ptr<ViewLink> link = view.lock();
    if (link == nullptr || !link->is_open) continue;
    const auto found = by_class.find(link->proxy_class.get());
    if (found != by_class.end()) link->on_change(*found->second, version);
  }
}

std::vector<Counter> GraphPilot::Counters() const {
  std::vector<Counter> counters;
  for (const Family* family : model_.graph().families()) {
    counters.push_back({family->name(), family->computed()});
  }
  counters.push_back({"acknowledgements", answers_.accepted});
  counters.push_back({"rejections", answers_.rejected});
  return counters;
}

std::vector<Pilot::Problem> GraphPilot::Problems() const {
  std::vector<Problem> problems;
  for (const auto& [key, message] : model_.problems().messages()) {
    problems.push_back({key, message});
  }
  std::sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.object.kind->kind, a.object.ns, a.object.name) <
           std::tie(b.object.kind->kind, b.object.ns, b.object.name);
  });
  return problems;
}

}  // namespace

std::unique_ptr<Pilot> Pilot::Create(Options options) {
  return std::make_unique<GraphPilot>(std::move(options));
}

}  // namespace meltemi::pilot
