// SPDX-License-Identifier: Apache-2.0
#include "pilot/translate/access_log.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "lib/base/log.h"
#include "lib/telemetry/access_log_format.h"
#include "pilot/translate/messages.h"

namespace meltemi::pilot {
namespace {

using envoy::config::core::v3::SubstitutionFormatString;
using istio::mesh::v1alpha1::MeshConfig;

struct JsonMember {
  const char* key;
  const char* format;
};
// Istio's default for accessLogEncoding JSON: its text format under names.
constexpr JsonMember kJsonMembers[] = {
    {"start_time", "%START_TIME%"},
    {"route_name", "%ROUTE_NAME%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"response_code_details", "%RESPONSE_CODE_DETAILS%"},
    {"connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"duration", "%DURATION%"},
    {"upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"},
    {"x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"authority", "%REQ(:AUTHORITY)%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"},
    {"upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"requested_server_name", "%REQUESTED_SERVER_NAME%"},
    {"upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"},
};

void SetJson(const MeshConfig& mesh, SubstitutionFormatString& to) {
  to.mutable_json_format_options();
  auto& format = *to.mutable_json_format();
  if (!mesh.access_log_format().empty()) {
    if (google::protobuf::util::JsonStringToMessage(mesh.access_log_format(), &format).ok()) return;
    // As Istio does: a log in the default format beats none.
    MELTEMI_LOG(warn, "accessLogFormat is not a JSON object, the default format is used");
    format.Clear();
  }
  for (const JsonMember& member : kJsonMembers) SetText(member.key, member.format, format);
}

void SetTextFormat(const MeshConfig& mesh, SubstitutionFormatString& to) {
  std::string& text = *to.mutable_text_format_source()->mutable_inline_string();
  text = mesh.access_log_format().empty() ? std::string(telemetry::IstioTextFormat())
                                          : mesh.access_log_format();
  if (!text.ends_with('\n')) text += '\n';
}

// "" = no access log.
std::string PathOf(const MeshConfig& mesh) {
  if (!mesh.access_log_file().empty()) return mesh.access_log_file();
  const auto& providers = mesh.default_providers().access_logging();
  // Istio's built-in provider of this name logs to standard output.
  const bool has_file = std::find(providers.begin(), providers.end(), "envoy") != providers.end();
  return has_file ? "/dev/stdout" : "";
}

}  // namespace

void AddAccessLogs(const MeshConfig& mesh, AccessLogs& to) {
  const std::string path = PathOf(mesh);
  if (path.empty()) return;
  envoy::extensions::access_loggers::file::v3::FileAccessLog file;
  file.set_path(path);
  if (mesh.access_log_encoding() == MeshConfig::JSON) {
    SetJson(mesh, *file.mutable_log_format());
  } else {
    SetTextFormat(mesh, *file.mutable_log_format());
  }
  auto& log = *to.Add();
  log.set_name("envoy.access_loggers.file");
  Pack(file, *log.mutable_typed_config());
}

void AddUnmatchedAccessLogs(const MeshConfig& mesh, AccessLogs& to) {
  if (mesh.disable_envoy_listener_log()) return;
  const int before = to.size();
  AddAccessLogs(mesh, to);
  for (int i = before; i < to.size(); ++i) {
    to[i].mutable_filter()->mutable_response_flag_filter()->add_flags("NR");
  }
}

}  // namespace meltemi::pilot
