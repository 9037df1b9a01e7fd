// SPDX-License-Identifier: Apache-2.0
// What users have: Istio's own samples and ours. Run from the top of the tree.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "lib/config/parse.h"

namespace meltemi::config {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> YamlBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".yaml" || extension == ".yml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Samples, IstiosAreReadOrRefusedForTheirKind) {
  const fs::path folder = "../shared/cases/samples";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is not on this machine";
  size_t objects = 0;
  for (const fs::path& file : YamlBelow(folder)) {
    const StatusOr<std::vector<ObjectPtr>> parsed = ParseObjects(ReadFile(file), {file.string()});
    if (parsed.ok()) {
      objects += parsed->size();
      continue;
    }
    std::istringstream lines{std::string(parsed.status().message())};
    for (std::string line; std::getline(lines, line);) {
      // Among the samples are settings of a Helm chart, and one for an installer without a name.
      const bool is_no_object = line.ends_with("such as v1 and Service") ||
                                line.find("open-telemetry/loki/iop.yaml") != std::string::npos;
      EXPECT_TRUE(is_no_object || line.find("kind: unknown kind") != std::string::npos) << line;
      std::cout << line << "\n";
    }
  }
  EXPECT_GT(objects, 200u);
  std::cout << objects << " objects\n";
}

TEST(Samples, OursAreRead) {
  for (const fs::path& file : YamlBelow("samples")) {
    if (file.filename() == "images.yaml") continue;  // no objects, but a table of the host's
    const StatusOr<std::vector<ObjectPtr>> parsed = ParseObjects(ReadFile(file), {file.string()});
    EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  }
}

// About half a second on an idle machine; anything quadratic takes minutes.
TEST(Samples, TenThousandObjectsInOneText) {
  std::string text;
  constexpr int kObjects = 10'000;
  for (int i = 0; i < kObjects; ++i) {
    const std::string name = "service-" + std::to_string(i);
    text += "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: " +
            name + "\n  namespace: load\nspec:\n  hosts:\n  - " + name +
            "\n  http:\n  - match:\n    - uri:\n        prefix: /a\n    route:\n"
            "    - destination:\n        host: " +
            name +
            "\n        subset: v1\n      weight: 20\n    - destination:\n        host: " + name +
            "\n        subset: v2\n      weight: 80\n    timeout: 5s\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  const StatusOr<std::vector<ObjectPtr>> parsed = ParseObjects(text, {"load.yaml"});
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_EQ(parsed->size(), size_t(kObjects));
  std::cout << kObjects << " objects of " << text.size() << " bytes in " << took.count() << " s\n";
  EXPECT_LT(took.count(), 20.0);
}

}  // namespace
}  // namespace meltemi::config
