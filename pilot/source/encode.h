// SPDX-License-Identifier: Apache-2.0
// A message as the bytes that all proxies share. Pure functions.
#pragma once

#include <memory>
#include <string>

#include <google/protobuf/message.h>

#include "pilot/source/resources.h"

namespace meltemi::pilot {

// nullptr = no such resource. The version is a hash of the bytes.
std::shared_ptr<const Encoded> Encode(const std::string& name,
                                      const google::protobuf::Message* message);

}  // namespace meltemi::pilot
