// SPDX-License-Identifier: Apache-2.0
// Deployments between a user's YAML and running processes: judged before a mesh starts, waited for
// once they are applied.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cli/running_mesh.h"
#include "cli/signals.h"
#include "lib/config/object.h"

namespace meltemi::cli {

// "namespace/name" of every Deployment that wants Pods.
std::set<std::string> DeploymentsOf(const std::vector<config::ObjectPtr>& objects);

// Whether this machine can run them: images with a mapping, nothing that has no honest way to run.
// The first problem, with the place in its file and the remedy.
Status JudgeDeployments(const std::vector<config::ObjectPtr>& objects,
                        const std::string& images_path);

// FailedPrecondition when the host says that it cannot run one of `deployments`.
Status CheckDeployments(const Json& mesh_status, const std::set<std::string>& deployments);

// Until all have their Pods ready. FailedPrecondition when one cannot be run, DeadlineExceeded with
// why each is not ready, Cancelled when a signal came.
Status AwaitDeployments(RunningMesh& mesh, const std::set<std::string>& deployments,
                        MonotonicTime deadline, Signals& signals);

}  // namespace meltemi::cli
