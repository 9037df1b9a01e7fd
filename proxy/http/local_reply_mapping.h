// SPDX-License-Identifier: Apache-2.0
// local_reply_config: how the replies that the proxy makes itself are changed. Immutable, shared by
// the workers; without one nothing is spent.
//
// The first mapper whose filter selects the reply applies: status, body, headers, format. A format,
// of the mapper or else of the whole, makes the body from what is known of the stream.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "lib/base/status.h"
#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

class LocalReplyMapping {
 public:
  struct Reply {
    int status = 0;
    std::string_view body;          // in the stream's arena, or configuration
    std::string_view content_type;  // "" = text/plain
    const routing::HeaderMutations* headers = nullptr;
  };

  virtual ~LocalReplyMapping() = default;
  // `info` tells of the reply as it is so far; its status and body follow the changes.
  virtual Reply Map(StreamInfo& info, int status, std::string_view body) const = 0;
};

StatusOr<std::shared_ptr<const LocalReplyMapping>> CompileLocalReplies(
    const envoy::extensions::filters::network::http_connection_manager::v3::LocalReplyConfig& from);

}  // namespace meltemi::proxy
