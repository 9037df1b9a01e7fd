// SPDX-License-Identifier: Apache-2.0
#include "lib/balance/balancer.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace meltemi::balance {
namespace {

class State final : public PickState {
 public:
  uint64_t Random() override { return random_(); }
  uint32_t active(uint32_t host) const override {
    auto found = load.find(host);
    return found == load.end() ? 0 : found->second;
  }
  std::map<uint32_t, uint32_t> load;

 private:
  std::mt19937_64 random_{42};
};

HostSet Hosts(const std::vector<uint32_t>& weights) {
  HostSet hosts;
  hosts.localities.push_back({0, 1});
  for (uint32_t weight : weights) {
    hosts.hash_key.push_back("10.0.0." + std::to_string(hosts.size()) + ":80");
    hosts.weight.push_back(weight);
    hosts.health.push_back(Health::kHealthy);
    hosts.locality.push_back(0);
  }
  return hosts;
}

std::unique_ptr<const Balancer> Make(const HostSet& hosts, const BalancerConfig& config) {
  auto built = Build(hosts, config);
  EXPECT_TRUE(built.ok()) << built.status();
  return *std::move(built);
}

// Shares of `picks` picks, per host.
std::vector<double> Shares(const Balancer& balancer, size_t hosts, int picks = 100000) {
  State state;
  std::vector<double> shares(hosts);
  for (int i = 0; i < picks; ++i) {
    const uint32_t host = balancer.Pick({}, state);
    if (host != kNoHost) shares.at(host) += 1.0 / picks;
  }
  return shares;
}

TEST(RoundRobin, IsCyclicWithEqualWeights) {
  const auto balancer = Make(Hosts({1, 1, 1}), {});
  State state;
  state.cursor = 1;
  std::vector<uint32_t> picks;
  for (int i = 0; i < 6; ++i) picks.push_back(balancer->Pick({}, state));
  EXPECT_EQ(picks, (std::vector<uint32_t>{1, 2, 0, 1, 2, 0}));
}

TEST(RoundRobin, FollowsWeightsWithoutBursts) {
  const auto balancer = Make(Hosts({1, 2, 7}), {});
  const auto shares = Shares(*balancer, 3);
  EXPECT_NEAR(shares[0], 0.1, 0.005);
  EXPECT_NEAR(shares[1], 0.2, 0.005);
  EXPECT_NEAR(shares[2], 0.7, 0.005);
}

class EveryPolicy : public testing::TestWithParam<Policy> {};

TEST_P(EveryPolicy, FollowsWeights) {
  const auto balancer = Make(Hosts({1, 3, 4}), {.policy = GetParam(), .ring_size_min = 65536});
  const auto shares = Shares(*balancer, 3);
  EXPECT_NEAR(shares[0], 0.125, 0.02);
  EXPECT_NEAR(shares[1], 0.375, 0.02);
  EXPECT_NEAR(shares[2], 0.5, 0.02);
}

TEST_P(EveryPolicy, SkipsUnhealthyHosts) {
  HostSet hosts = Hosts({1, 1, 1, 1});
  hosts.health[2] = Health::kUnhealthy;
  const auto balancer = Make(hosts, {.policy = GetParam()});
  EXPECT_EQ(Shares(*balancer, 4, 1000)[2], 0);
}

TEST_P(EveryPolicy, HasNoHostInAnEmptySet) {
  State state;
  EXPECT_EQ(Make({}, {.policy = GetParam()})->Pick({}, state), kNoHost);
  HostSet no_hosts;
  no_hosts.localities.push_back({0, 1});
  EXPECT_EQ(Make(no_hosts, {.policy = GetParam()})->Pick({}, state), kNoHost);
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy,
                         testing::Values(Policy::kRoundRobin, Policy::kLeastRequest,
                                         Policy::kRandom, Policy::kRingHash, Policy::kMaglev));

TEST(LeastRequest, PrefersTheIdleOne) {
  const auto balancer = Make(Hosts({1, 1}), {.policy = Policy::kLeastRequest});
  State state;
  state.load[0] = 5;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(balancer->Pick({}, state), 1U);
}

class Consistent : public testing::TestWithParam<Policy> {};

TEST_P(Consistent, KeepsAHashOnItsHostAndMovesFewWhenOneLeaves) {
  const BalancerConfig config{.policy = GetParam()};
  const auto ten = Make(Hosts(std::vector<uint32_t>(10, 1)), config);
  const auto nine = Make(Hosts(std::vector<uint32_t>(9, 1)), config);
  State state;
  int moved = 0, of_gone = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const PickKey key{HashKey(std::to_string(i)), true};
    const uint32_t before = ten->Pick(key, state);
    ASSERT_EQ(before, ten->Pick(key, state));
    const uint32_t after = nine->Pick(key, state);
    if (before == 9) {
      ++of_gone;
    } else if (before != after) {
      ++moved;
    }
  }
  EXPECT_NEAR(of_gone, 1000, 350);
  EXPECT_LT(moved, 1000) << "only what the resized ring must move";
}

INSTANTIATE_TEST_SUITE_P(Hashing, Consistent, testing::Values(Policy::kRingHash, Policy::kMaglev));

// `healthy` of 20 hosts in each of two priorities.
HostSet TwoPriorities(int healthy_first, int healthy_second) {
  HostSet hosts = Hosts(std::vector<uint32_t>(40, 1));
  hosts.localities = {{0, 1}, {1, 1}};
  for (int i = 0; i < 40; ++i) {
    hosts.locality[i] = i / 20;
    const int healthy = i < 20 ? healthy_first : healthy_second;
    hosts.health[i] = i % 20 < healthy ? Health::kHealthy : Health::kUnhealthy;
  }
  return hosts;
}

TEST(Priorities, SpillWithOverprovisioningAndPanicBelowTheThreshold) {
  struct Case {
    int first, second;
    uint32_t load_first, load_second;
    bool panic_first, panic_second;
  };
  // 20 hosts each; Envoy's documented examples.
  const Case cases[] = {
      {20, 20, 100, 0, false, false}, {15, 20, 100, 0, false, false},
      {10, 20, 70, 30, false, false}, {0, 20, 0, 100, false, false},
      {5, 5, 50, 50, true, true},     {1, 13, 8, 92, true, false},
  };
  for (const Case& c : cases) {
    const auto balancer = Make(TwoPriorities(c.first, c.second), {});
    SCOPED_TRACE(testing::Message() << c.first << "/" << c.second);
    EXPECT_NEAR(balancer->priority_loads()[0], c.load_first, 1);
    EXPECT_NEAR(balancer->priority_loads()[1], c.load_second, 1);
    EXPECT_EQ(balancer->is_in_panic(0), c.panic_first);
    EXPECT_EQ(balancer->is_in_panic(1), c.panic_second);
  }
}

TEST(Priorities, NothingHealthyAndNoPanicMeansNoHost) {
  State state;
  const HostSet hosts = TwoPriorities(0, 0);
  EXPECT_EQ(Make(hosts, {.panic_threshold_percent = 0})->Pick({}, state), kNoHost);
  EXPECT_NE(Make(hosts, {})->Pick({}, state), kNoHost);
}

TEST(Localities, ShareByWeightTimesAvailability) {
  HostSet hosts = Hosts(std::vector<uint32_t>(20, 1));
  hosts.localities = {{0, 1}, {0, 2}};
  for (int i = 0; i < 20; ++i) hosts.locality[i] = i / 10;
  const auto all = Shares(*Make(hosts, {.is_locality_weighted = true}), 20);
  EXPECT_NEAR(all[0], 1.0 / 30, 0.004);
  EXPECT_NEAR(all[19], 2.0 / 30, 0.004);
  // Half of the second locality down: 2 × 1.4 × 0.5 = 1.4 against 1.
  for (int i = 15; i < 20; ++i) hosts.health[i] = Health::kUnhealthy;
  const auto half = Shares(*Make(hosts, {.is_locality_weighted = true}), 20);
  EXPECT_NEAR(half[0] * 10, 1 / 2.4, 0.02);
  EXPECT_NEAR(half[10] * 5, 1.4 / 2.4, 0.02);
}

TEST(Build, RefusesParametersOutOfRange) {
  EXPECT_FALSE(Build({}, {.policy = Policy::kMaglev, .maglev_table_size = 65536}).ok());
  EXPECT_FALSE(
      Build({}, {.policy = Policy::kRingHash, .ring_size_min = 9, .ring_size_max = 8}).ok());
}

}  // namespace
}  // namespace meltemi::balance
