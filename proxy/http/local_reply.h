// SPDX-License-Identifier: Apache-2.0
// Replies the proxy makes itself, in HTTP or in gRPC's form of it. Pure.
#pragma once

#include <string_view>

#include "lib/http/message.h"

namespace meltemi::proxy {

// Whether the content type is gRPC's ("application/grpc", "application/grpc+proto").
bool IsGrpc(const http::HeaderMap& headers);

// gRPC's status for an HTTP status, as gRPC's own mapping has it.
int GrpcStatusOf(int http_status);

// Fills `reply` (status, content headers) for `request`; returns the body to send, which is `body`
// or nothing. `body` outlives the reply. `grpc_status` below 0 = mapped from `status`.
// `content_type` "" = text/plain.
std::string_view FillLocalReply(const http::RequestHead& request, int status, std::string_view body,
                                int grpc_status, std::string_view content_type,
                                http::ResponseHead& reply);

}  // namespace meltemi::proxy
