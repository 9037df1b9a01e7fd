// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_access_log.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proxy/http/access_log_compiler.h"
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

class ConnectionLog final : public TcpObserver {
 public:
  explicit ConnectionLog(std::shared_ptr<const AccessLog> log) : log_(std::move(log)) {}

  void Observe(Worker& worker, const TcpSummary& summary) const override {
    const DownstreamFacts facts = FactsOf(summary);
    Arena arena;
    http::RequestHead head(arena);
    StreamInfo info;
    info.is_tcp = true;
    info.log_type = TypeOf(summary.event);
    info.worker = &worker;
    info.downstream = &facts;
    info.request = &head;
    info.arena = &arena;
    if (summary.cluster != nullptr) info.cluster_name = summary.cluster->name;
    if (summary.host != nullptr) info.upstream_address = summary.host->address();
    if (summary.upstream_local != nullptr) info.upstream_local = *summary.upstream_local;
    if (summary.upstream_tls != nullptr) info.upstream_uri_san = summary.upstream_tls->uri_san;
    info.upstream_failure = summary.failure_detail;
    info.downstream_failure = summary.downstream_failure;
    info.attempts = summary.attempts;
    info.flags = ParseFlags(summary.response_flags);
    info.termination_details = summary.termination_detail;
    info.request_body_bytes = summary.bytes_received;
    info.response_body_bytes = summary.bytes_sent;
    info.end = worker.loop().Now();
    info.start = info.end - summary.duration;
    info.start_wall =
        worker.clock().Wall() - std::chrono::duration_cast<WallTime::duration>(summary.duration);
    log_->Write(info);
  }

 private:
  const std::shared_ptr<const AccessLog> log_;
};

}  // namespace

StatusOr<std::shared_ptr<const TcpObserver>> CompileConnectionLog(std::string_view serialized,
                                                                  const HttpProcess& process) {
  MELTEMI_ASSIGN_OR_RETURN(auto log, CompileAccessLog(serialized, process));
  return std::make_shared<const ConnectionLog>(std::move(log));
}

}  // namespace meltemi::proxy
