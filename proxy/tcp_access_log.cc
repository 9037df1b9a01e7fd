// SPDX-License-Identifier: Apache-2.0
#include "proxy/tcp_access_log.h"

#include <utility>

#include "proxy/http/access_log_compiler.h"
#include "proxy/tcp_stream_info.h"

namespace meltemi::proxy {
namespace {

class ConnectionLog final : public TcpObserver {
 public:
  explicit ConnectionLog(std::shared_ptr<const AccessLog> log) : log_(std::move(log)) {}

  void Observe(Worker& worker, const TcpSummary& summary) const override {
    const TcpStreamInfo info(worker, summary);
    log_->Write(info.info());
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
