// SPDX-License-Identifier: Apache-2.0
#include "pilot/model/workload_inputs.h"

namespace meltemi::pilot {

WorkloadInputs::WorkloadInputs(Graph& graph)
    : pods(graph, "pod inputs"),
      by_address(graph, "workload inputs by address"),
      pods_of_namespace(graph, "pod inputs by namespace"),
      entries_of_namespace(graph, "workload entry inputs by namespace"),
      nodes(graph, "node inputs") {}

void WorkloadInputs::Put(const config::ObjectKey& key, const config::ObjectPtr& object) {
  if (key.kind == &config::kinds::kNode) {
    nodes.Set(key.name, object == nullptr
                            ? nullptr
                            : std::make_shared<const Locality>(LocalityOfNode(*object)));
    return;
  }
  const bool is_pod = key.kind == &config::kinds::kPod;
  WorkloadPtr next;
  if (object != nullptr) next = is_pod ? WorkloadFromPod(*object) : WorkloadFromEntry(*object);
  const auto found = held_.find(key);
  const WorkloadPtr before = found == held_.end() ? nullptr : found->second;
  if (IsSameValue<Workload>(before, next)) return;
  const Place place{
      .created = {}, .first = key.ns + (is_pod ? "/pod" : "/entry"), .second = key.name};
  auto& of_namespace = is_pod ? pods_of_namespace : entries_of_namespace;
  if (before != nullptr) {
    for (const std::string& address : before->addresses) by_address.Remove(address, place);
    of_namespace.Remove(key.ns, place);
  }
  if (is_pod) pods.Set({key.ns, key.name}, next);
  if (next == nullptr) {
    held_.erase(key);
    return;
  }
  held_[key] = next;
  for (const std::string& address : next->addresses) by_address.Put(address, place, next);
  of_namespace.Put(key.ns, place, next);
}

void WorkloadInputs::Flush() {
  by_address.Flush();
  pods_of_namespace.Flush();
  entries_of_namespace.Flush();
}

}  // namespace meltemi::pilot
