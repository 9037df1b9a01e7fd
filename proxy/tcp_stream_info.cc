// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_stream_info.h"

#include <algorithm>

#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

ResponseFlags ParseFlags(std::string_view text) {
  struct Known {
    ResponseFlag flag;
    std::string_view name;
  };
  constexpr Known kKnown[] = {
#define MELTEMI_FLAG(id, short_name, long_name) {ResponseFlag::id, short_name},
#include "proxy/http/response_flags.def"
#undef MELTEMI_FLAG
  };
  ResponseFlags flags;
  while (!text.empty()) {
    const std::string_view name = text.substr(0, text.find(','));
    for (const Known& known : kKnown) {
      if (known.name == name) flags.Set(known.flag);
    }
    text.remove_prefix(std::min(name.size() + 1, text.size()));
  }
  return flags;
}

std::string_view TypeOf(TcpSummary::Event event) {
  if (event == TcpSummary::Event::kConnected) return "TcpUpstreamConnected";
  return event == TcpSummary::Event::kPeriodic ? "TcpPeriodic" : "TcpConnectionEnd";
}

DownstreamFacts FactsOf(const TcpSummary& summary) {
  const AcceptedConnection& from = *summary.accepted;
  DownstreamFacts facts;
  facts.direction = from.direction;
  facts.is_tls = from.is_tls;
  facts.remote = from.remote;
  facts.local = from.original_destination;
  facts.filter_chain_name = from.filter_chain_name;
  if (from.proxy_header != nullptr) {
    facts.proxied.reset(new DownstreamFacts::Proxied{.direct_remote = from.direct_remote,
                                                     .header = from.proxy_header});
  }
  if (!from.server_name.empty() || summary.downstream_tls != nullptr) {
    facts.tls = std::make_unique<TlsFacts>();
    facts.tls->server_name = from.server_name;
    facts.tls->peer = summary.downstream_tls;
  }
  return facts;
}

}  // namespace

TcpStreamInfo::TcpStreamInfo(Worker& worker, const TcpSummary& summary)
    : facts_(FactsOf(summary)), head_(arena_) {
  info_.is_tcp = true;
  info_.log_type = TypeOf(summary.event);
  info_.worker = &worker;
  info_.downstream = &facts_;
  info_.request = &head_;
  info_.arena = &arena_;
  if (summary.cluster != nullptr) info_.cluster_name = summary.cluster->name;
  if (summary.host != nullptr) info_.upstream_address = summary.host->address();
  if (summary.upstream_local != nullptr) info_.upstream_local = *summary.upstream_local;
  if (summary.upstream_tls != nullptr) info_.upstream_uri_san = summary.upstream_tls->uri_san;
  info_.upstream_failure = summary.failure_detail;
  info_.downstream_failure = summary.downstream_failure;
  info_.attempts = summary.attempts;
  info_.flags = ParseFlags(summary.response_flags);
  info_.termination_details = summary.termination_detail;
  info_.tunnel_headers = summary.tunnel_headers;
  info_.tunnel_trailers = summary.tunnel_trailers;
  info_.request_body_bytes = summary.bytes_received;
  info_.response_body_bytes = summary.bytes_sent;
  info_.end = worker.loop().Now();
  info_.start = info_.end - summary.duration;
  info_.start_wall =
      worker.clock().Wall() - std::chrono::duration_cast<WallTime::duration>(summary.duration);
}

}  // namespace meltemi::proxy
