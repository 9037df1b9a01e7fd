// SPDX-License-Identifier: Apache-2.0
// Which fields of a message the proxy honours: one that is set and is not among them is refused by
// its path, so that nobody believes in a setting that does nothing. Control thread only.
#pragma once

#include <google/protobuf/message.h>

#include <span>
#include <string_view>

#include "lib/base/status.h"

namespace meltemi::proxy {

// `path` stands before the field's name in the message: "" or "http_protocol_options.".
Status RefuseUnknownFields(const google::protobuf::Message& from,
                           std::span<const std::string_view> known, std::string_view path);

// The error of a field, or of a value of it, that is known and not honoured.
Status Unsupported(std::string_view field);

}  // namespace meltemi::proxy
