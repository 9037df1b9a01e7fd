// SPDX-License-Identifier: Apache-2.0
// The parts that a listener is compiled from, besides its filter chains. Control thread only; for
// the compilers of this folder.
#pragma once

#include <string_view>

#include "envoy/config/listener/v3/listener.pb.h"
#include "proxy/config/listener_compiler.h"

namespace meltemi::proxy {

inline std::string_view MessageName(std::string_view type_url) {
  return type_url.substr(type_url.rfind('/') + 1);
}

StatusOr<ChainMatch> CompileMatch(const envoy::config::listener::v3::FilterChainMatch& from);
Status CompileListenerFilter(const envoy::config::listener::v3::ListenerFilter& from,
                             CompiledListener& to);

}  // namespace meltemi::proxy
