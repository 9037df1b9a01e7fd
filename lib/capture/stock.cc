// SPDX-License-Identifier: Apache-2.0
#include "lib/capture/stock.h"

#include <iterator>

namespace meltemi::capture {

StatusOr<std::unique_ptr<SocketStock>> SocketStock::Open(runtime::Loop& loop,
                                                         const std::string& path) {
  MELTEMI_ASSIGN_OR_RETURN(Fd connection, ConnectTo(path, /*blocking=*/false));
  std::unique_ptr<SocketStock> stock(new SocketStock(loop, std::move(connection)));
  MELTEMI_RETURN_IF_ERROR(loop.Watch(stock->connection_.get(), stock.get()));
  stock->AskWhenLow();
  return stock;
}

SocketStock::~SocketStock() {
  if (connection_.valid()) loop_.Unwatch(connection_.get(), this);
}

Fd SocketStock::Take() {
  Fd socket;
  if (!sockets_.empty()) {
    socket = std::move(sockets_.back());
    sockets_.pop_back();
  }
  AskWhenLow();
  return socket;
}

void SocketStock::OnReady(runtime::Ready) {
  bool has_news = false;
  while (connection_.valid()) {
    Reply reply;
    std::vector<Fd> fresh;
    const StatusOr<size_t> size = ReceivePacket(connection_.get(), &reply, sizeof(reply), &fresh);
    if (!size.ok() && absl::IsUnavailable(size.status())) break;
    has_news = true;
    if (!size.ok() || *size != sizeof(reply) || reply.magic != kMagic || reply.error != 0 ||
        fresh.empty()) {
      Break();
      break;
    }
    is_asking_ = false;
    std::move(fresh.begin(), fresh.end(), std::back_inserter(sockets_));
    AskWhenLow();
  }
  if (has_news && on_stocked_) on_stocked_();
}

void SocketStock::AskWhenLow() {
  if (is_asking_ || is_broken_ || sockets_.size() >= kLowWater) return;
  Request request;
  request.ask = Ask::kTcpSockets;
  request.count = kSocketsMax;
  // One small packet on an otherwise idle connection always has room; failure means the peer is
  // gone, and OnReady will see that too.
  is_asking_ = SendPacket(connection_.get(), &request, sizeof(request), {}).ok();
}

void SocketStock::Break() {
  is_broken_ = true;
  sockets_.clear();
  loop_.Unwatch(connection_.get(), this);
  connection_.Reset();
}

}  // namespace meltemi::capture
