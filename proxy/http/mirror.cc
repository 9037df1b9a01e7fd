// SPDX-License-Identifier: Apache-2.0
#include "proxy/http/mirror.h"

#include <fmt/format.h>

#include "lib/routing/host_table.h"
#include "proxy/http/stream_values.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

// "host:80" → "host-shadow:80", so that the other side can tell.
std::string_view ShadowHost(std::string_view authority, Arena& arena) {
  const std::string_view host = routing::WithoutPort(authority);
  return arena.Copy(fmt::format("{}-shadow{}", host, authority.substr(host.size())));
}

}  // namespace

MirrorStream::MirrorStream(Worker& worker, std::function<void(MirrorStream&)> over)
    : worker_(worker), over_(std::move(over)), head_(arena_) {}

MirrorStream::~MirrorStream() {
  pending_.reset();
  if (stream_ != nullptr) stream_->Reset(http::ResetReason::kLocal);
}

void MirrorStream::Start(const StreamInfo& info, const routing::Mirror& mirror, bool end_stream) {
  const http::RequestHead& from = *info.request;
  head_.method = arena_.Copy(from.method);
  head_.scheme = arena_.Copy(from.scheme);
  head_.authority = mirror.appends_shadow_suffix ? ShadowHost(from.authority, arena_)
                                                 : arena_.Copy(from.authority);
  head_.path = arena_.Copy(from.path);
  head_.protocol = from.protocol;
  head_.content_length = from.content_length;
  for (const http::HeaderField& field : from.headers.fields()) {
    head_.headers.Add(field.name, field.value);
  }
  const StreamValues values(info);
  mirror.request.Apply(head_, {&head_, nullptr, &values});
  is_fed_ = end_stream;
  PickContext context;
  context.original_destination = &info.downstream->local;
  context.on_behalf = {&info.downstream->remote, &info.downstream->local,
                       info.downstream->proxy_header()};
  context.downstream_protocol = from.protocol;
  context.authority = head_.authority;
  auto pending = worker_.upstreams().OpenStream(mirror.cluster.id, context, *this, *this);
  if (pending != nullptr) pending_ = std::move(pending);
}

void MirrorStream::Feed(std::string_view bytes, bool is_last) {
  if (is_over_ || is_fed_) return;
  is_fed_ = is_last;
  if (held_.size() + bytes.size() > kHeldBytesMax) return End();
  held_.append(bytes);
  Pump();
}

void MirrorStream::Pump() {
  if (stream_ == nullptr || is_sent_) return;
  if (held_.empty() && !is_fed_) return;
  const size_t taken = stream_->SendBody(held_, is_fed_);
  is_sent_ = is_fed_ && taken == held_.size();
  held_.erase(0, taken);
}

void MirrorStream::End() {
  if (is_over_) return;
  is_over_ = true;
  if (pending_ != nullptr) {
    worker_.loop().DeferDelete(std::shared_ptr<void>(std::move(pending_)));
  }
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(http::ResetReason::kLocal);
  request_.Reset();
  over_(*this);
}

void MirrorStream::OnStreamReady(http::ClientStream& stream, ActiveRequest request) {
  if (pending_ != nullptr) {
    worker_.loop().DeferDelete(std::shared_ptr<void>(std::move(pending_)));
  }
  stream_ = &stream;
  request_ = std::move(request);
  is_sent_ = is_fed_ && held_.empty();
  stream.SendRequest(head_, is_sent_);
  Pump();
}

void MirrorStream::OnStreamFailure(const OpenFailureInfo&) {
  End();
}

void MirrorStream::OnBody() {
  stream_->ConsumeBody(stream_->PeekBody().size());
}

void MirrorStream::OnReset(http::ResetReason) {
  stream_ = nullptr;
  End();
}

void MirrorStream::OnFinished() {
  stream_ = nullptr;
  End();
}

}  // namespace meltemi::proxy
