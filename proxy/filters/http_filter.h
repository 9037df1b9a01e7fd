// SPDX-License-Identifier: Apache-2.0
// One HTTP filter of a chain. A filter object is immutable and shared by all workers and streams;
// what it must remember of one stream lies in the stream (StreamInfo). It says which hooks it has,
// and the chain calls no other: an absent filter costs nothing, nor does an absent hook.
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/http/stream_info.h"

namespace meltemi::proxy {

struct LocalReply {
  int status = 500;
  std::string_view body;
  std::string_view details;
  // Set instead of the status when the request is gRPC and the filter knows better than the
  // mapping.
  int grpc_status = -1;
};

// What a filter may do with a stream.
class FilterStream {
 public:
  virtual StreamInfo& info() = 0;
  // Answers here and now. For OnRequest only; return kAnswered after it.
  virtual void Reply(const LocalReply& reply) = 0;
  // Calls OnResumed of the same filter after `delay`; return kPaused after it.
  virtual void PauseFor(Duration delay) = 0;
  // The route's own settings for this filter, nullptr = none.
  virtual const void* Override(std::string_view filter) const = 0;

 protected:
  ~FilterStream() = default;
};

class HttpFilter {
 public:
  enum Hook : uint8_t { kRequest = 1, kResponse = 2, kEnd = 4 };
  enum class Verdict : uint8_t { kContinue, kPaused, kAnswered };

  virtual ~HttpFilter() = default;
  virtual uint8_t hooks() const = 0;
  // The request's head, route chosen, before the router; in the chain's order.
  virtual Verdict OnRequest(FilterStream& stream) const;
  virtual Verdict OnResumed(FilterStream& stream) const;
  // The response's head, upstream's or a local reply's, before it is sent; in reverse order.
  virtual void OnResponse(FilterStream& stream) const;
  // The stream is over; its facts are final.
  virtual void OnEnd(const StreamInfo& info) const;
};

}  // namespace meltemi::proxy
