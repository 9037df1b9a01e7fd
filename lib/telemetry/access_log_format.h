// SPDX-License-Identifier: Apache-2.0
// Access-log formats compiled into a list of literals and commands, run against one finished
// stream. Immutable and thread-safe once made; running allocates nothing but the output's growth.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/clock.h"
#include "lib/base/status.h"

namespace meltemi::telemetry {

enum class LogField : uint8_t {
#define MELTEMI_LOG_FIELD(id, name, argument, is_number) id,
#include "lib/telemetry/access_log_fields.def"
#undef MELTEMI_LOG_FIELD
  kCount
};

// One %COMMAND(…)% of a format.
struct LogCommand {
  LogField field;
  std::string argument;     // header name in lower case, time pattern, metadata path
  std::string alternative;  // second header name of REQ(X?Y)
  size_t length_max = 0;    // :Z, 0 = unlimited
};

// What a stream tells of itself.
class LogValues {
 public:
  // Appends the command's value; returns false, appending nothing, when there is none.
  virtual bool Append(const LogCommand& command, std::string& out) const = 0;

 protected:
  ~LogValues() = default;
};

class AccessLogFormat final {
 public:
  // An unknown command or an unbalanced % is an error that names it.
  static StatusOr<AccessLogFormat> CompileText(std::string_view format);
  // The same for a response's body: control characters of values stay.
  static StatusOr<AccessLogFormat> CompileBody(std::string_view format);
  // Members in the order given. A value that is one single command keeps its type: numbers stay
  // numbers, a missing value becomes null.
  static StatusOr<AccessLogFormat> CompileJson(
      const std::vector<std::pair<std::string, std::string>>& members);

  // Appends one log line. Values are escaped for JSON where the format is JSON; in text, control
  // characters are replaced, so that a header cannot forge a line.
  void Run(const LogValues& values, std::string& out) const;

 private:
  struct Part {
    std::string literal;
    bool is_command = false;
    LogCommand command;
  };
  struct Member {
    std::string prefix;  // `{"key":` or `,"key":`
    std::vector<Part> parts;
  };
  static Status CompileParts(std::string_view format, std::vector<Part>& parts);

  bool is_json_ = false;
  bool is_body_ = false;
  std::vector<Member> members_;  // text: one without prefix
};

// Istio's default text format, with its line end.
std::string_view IstioTextFormat();

// Wall time as Envoy's START_TIME prints it: ISO 8601 with milliseconds by default, or a strftime
// pattern with %f, %1f … %9f for fractions.
void AppendTime(WallTime time, std::string_view pattern, std::string& out);

}  // namespace meltemi::telemetry
