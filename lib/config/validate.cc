// SPDX-License-Identifier: Apache-2.0
#include "lib/config/validate.h"

namespace meltemi::config {

void Validate(const Kind&, const google::protobuf::Message&, const nlohmann::json&,
              const SpecPlace&, Problems&) {}

}  // namespace meltemi::config
