// SPDX-License-Identifier: Apache-2.0
// What a proxy outside a sandbox and the sandbox's first process say to each other, over a Unix
// SOCK_SEQPACKET socket: one request, one reply, in order. A socket belongs to the network
// namespace that made it, whoever holds its descriptor, so the first process makes sockets inside
// and passes them out.
//
//   kTcpListener port  -> 1 descriptor: the sandbox's one listening socket of that port
//   kUdpSocket port    -> 1 descriptor: the sandbox's one bound UDP socket of that port
//   kTcpSockets count  -> count descriptors: fresh, unconnected, non-blocking IPv4 TCP sockets
//
// Both ends treat the other as hostile: messages have one size, a magic number and bounded counts.
// Thread-safe: free functions on descriptors that the caller owns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/fd.h"
#include "lib/base/status.h"

namespace meltemi::capture {

inline constexpr uint16_t kOutboundPort = 15001;
inline constexpr uint16_t kDnsPort = 15053;
// Descriptors one reply carries at most; Linux itself allows 253.
inline constexpr int kSocketsMax = 16;

enum class Ask : uint8_t { kTcpListener = 1, kUdpSocket = 2, kTcpSockets = 3 };

inline constexpr uint32_t kMagic = 0x4d435031;  // "MCP1": the protocol and its version

// Both messages travel in host byte order: the ends are on one machine.
struct Request {
  uint32_t magic = kMagic;
  Ask ask = Ask::kTcpSockets;
  uint8_t count = 0;  // kTcpSockets
  uint16_t port = 0;  // the others
};
static_assert(sizeof(Request) == 8);

struct Reply {
  uint32_t magic = kMagic;
  int32_t error = 0;  // an errno, 0 = fine
  uint32_t count = 0;
};
static_assert(sizeof(Reply) == 12);

// A packet with descriptors. Send never raises SIGPIPE.
Status SendPacket(int socket, const void* data, size_t size, const std::vector<int>& descriptors);

// Receives one packet of at most `capacity` bytes into `data` and returns its size; 0 = the peer
// closed. Received descriptors are close-on-exec. A longer packet or one with too many descriptors
// is refused. Unavailable when the socket is non-blocking and empty, DeadlineExceeded after
// SO_RCVTIMEO.
StatusOr<size_t> ReceivePacket(int socket, void* data, size_t capacity,
                               std::vector<Fd>* descriptors);

// A listening SOCK_SEQPACKET socket at `path`, for this user only (mode 0600); a socket file
// already there is replaced. Paths longer than the kernel's 107 bytes work: the folder is opened
// first.
StatusOr<Fd> ListenAt(const std::string& path);
StatusOr<Fd> ConnectTo(const std::string& path, bool blocking);

}  // namespace meltemi::capture
