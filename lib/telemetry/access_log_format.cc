// SPDX-License-Identifier: Apache-2.0
#include "lib/telemetry/access_log_format.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <ctime>

namespace meltemi::telemetry {
namespace {

enum class Argument : uint8_t { kNone, kHeaders, kTime, kText };

struct FieldInfo {
  std::string_view name;
  Argument argument;
  bool is_number;
};

constexpr FieldInfo kFields[] = {
#define MELTEMI_LOG_FIELD(id, name, argument, is_number) {name, Argument::argument, is_number},
#include "lib/telemetry/access_log_fields.def"
#undef MELTEMI_LOG_FIELD
};

const FieldInfo& Info(LogField field) {
  return kFields[static_cast<size_t>(field)];
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// `inside` is what stands between the % signs: NAME, NAME(argument), NAME(argument):LENGTH.
StatusOr<LogCommand> ParseCommand(std::string_view inside) {
  const size_t open = inside.find('(');
  const size_t close = inside.rfind(')');
  const std::string_view name = inside.substr(0, open);
  std::string_view argument, rest;
  if (open != std::string_view::npos) {
    if (close == std::string_view::npos || close < open) {
      return absl::InvalidArgumentError(fmt::format("%{}% lacks a closing parenthesis", inside));
    }
    argument = inside.substr(open + 1, close - open - 1);
    rest = inside.substr(close + 1);
  }
  LogCommand command{};
  for (size_t i = 0; i < std::size(kFields); ++i) {
    if (kFields[i].name != name) continue;
    command.field = static_cast<LogField>(i);
    if (kFields[i].argument == Argument::kHeaders) {
      const size_t question = argument.find('?');
      command.argument = LowerCase(argument.substr(0, question));
      if (question != std::string_view::npos) {
        command.alternative = LowerCase(argument.substr(question + 1));
      }
      if (command.argument.empty()) {
        return absl::InvalidArgumentError(fmt::format("%{}% names no header", inside));
      }
    } else {
      command.argument = std::string(argument);
    }
    if (!rest.empty()) {
      const auto [end, error] =
          std::from_chars(rest.data() + 1, rest.data() + rest.size(), command.length_max);
      if (rest[0] != ':' || error != std::errc() || end != rest.data() + rest.size()) {
        return absl::InvalidArgumentError(
            fmt::format("%{}%: expected :LENGTH after the parenthesis", inside));
      }
    }
    return command;
  }
  return absl::InvalidArgumentError(fmt::format("unknown access log command %{}%", inside));
}

// Text lines must stay lines: what a peer sent may not end or forge one.
void CleanText(std::string& out, size_t from) {
  for (size_t i = from; i < out.size(); ++i) {
    if (static_cast<unsigned char>(out[i]) < 0x20 || out[i] == 0x7f) out[i] = '?';
  }
}

void EscapeJson(std::string& out, size_t from) {
  std::string escaped;
  for (const char c : std::string_view(out).substr(from)) {
    if (c == '"' || c == '\\') {
      escaped += '\\';
      escaped += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      escaped += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      escaped += c;
    }
  }
  out.replace(from, std::string::npos, escaped);
}

bool NeedsEscape(std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return true;
  }
  return false;
}

}  // namespace

Status AccessLogFormat::CompileParts(std::string_view format, std::vector<Part>& parts) {
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) parts.push_back({std::move(literal), false, {}});
    literal.clear();
  };
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      literal += format[at++];
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == '%') {
      literal += '%';
      at += 2;
      continue;
    }
    // Inside parentheses a % belongs to a time pattern.
    size_t end = at + 1;
    for (int depth = 0; end < format.size() && (format[end] != '%' || depth > 0); ++end) {
      if (format[end] == '(') ++depth;
      if (format[end] == ')') --depth;
    }
    if (end >= format.size()) {
      return absl::InvalidArgumentError(fmt::format(
          "access log format: % at position {} is not closed (write %% for a percent sign)", at));
    }
    MELTEMI_ASSIGN_OR_RETURN(LogCommand command, ParseCommand(format.substr(at + 1, end - at - 1)));
    flush();
    parts.push_back({"", true, std::move(command)});
    at = end + 1;
  }
  flush();
  return absl::OkStatus();
}

StatusOr<AccessLogFormat> AccessLogFormat::CompileText(std::string_view format) {
  AccessLogFormat compiled;
  compiled.members_.emplace_back();
  MELTEMI_RETURN_IF_ERROR(CompileParts(format, compiled.members_[0].parts));
  return compiled;
}

StatusOr<AccessLogFormat> AccessLogFormat::CompileBody(std::string_view format) {
  MELTEMI_ASSIGN_OR_RETURN(AccessLogFormat compiled, CompileText(format));
  compiled.is_body_ = true;
  return compiled;
}

StatusOr<AccessLogFormat> AccessLogFormat::CompileJson(
    const std::vector<std::pair<std::string, std::string>>& members) {
  AccessLogFormat compiled;
  compiled.is_json_ = true;
  for (const auto& [key, format] : members) {
    std::string name = key;
    EscapeJson(name, 0);
    Member member;
    member.prefix = fmt::format("{}\"{}\":", compiled.members_.empty() ? "{" : ",", name);
    MELTEMI_RETURN_IF_ERROR(CompileParts(format, member.parts));
    compiled.members_.push_back(std::move(member));
  }
  return compiled;
}

void AccessLogFormat::Run(const LogValues& values, std::string& out) const {
  const auto append = [&](const Part& part) {
    const size_t from = out.size();
    if (!values.Append(part.command, out)) return false;
    if (part.command.length_max > 0 && out.size() - from > part.command.length_max) {
      out.resize(from + part.command.length_max);
    }
    if (!is_json_) {
      if (!is_body_) CleanText(out, from);
    } else if (NeedsEscape(std::string_view(out).substr(from))) {
      EscapeJson(out, from);
    }
    return true;
  };
  if (!is_json_) {
    for (const Part& part : members_[0].parts) {
      if (!part.is_command) {
        out += part.literal;
      } else if (!append(part)) {
        out += '-';
      }
    }
    return;
  }
  for (const Member& member : members_) {
    out += member.prefix;
    const bool is_single = member.parts.size() == 1 && member.parts[0].is_command;
    const bool is_number = is_single && Info(member.parts[0].command.field).is_number;
    const size_t from = out.size();
    if (!is_number) out += '"';
    bool has_value = !is_single;
    for (const Part& part : member.parts) {
      if (!part.is_command) {
        const size_t literal_from = out.size();
        out += part.literal;
        if (NeedsEscape(part.literal)) EscapeJson(out, literal_from);
      } else if (append(part)) {
        has_value = true;
      } else if (!is_single) {
        out += '-';
      }
    }
    if (!has_value) {
      out.resize(from);
      out += "null";
    } else if (!is_number) {
      out += '"';
    }
  }
  out += members_.empty() ? "{}\n" : "}\n";
}

std::string_view IstioTextFormat() {
  return "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
         "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
         "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" "
         "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
         "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" "
         "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
         "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
         "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";
}

void AppendTime(WallTime time, std::string_view pattern, std::string& out) {
  const int64_t nanoseconds =
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  const time_t seconds = static_cast<time_t>(nanoseconds / 1'000'000'000);
  const int64_t fraction = nanoseconds % 1'000'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  if (pattern.empty()) {
    fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                   parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                   parts.tm_min, parts.tm_sec, fraction / 1'000'000);
    return;
  }
  // %f and %1f…%9f are Envoy's; %s is seconds since the epoch; the rest is strftime's.
  std::string expanded;
  for (size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '%' || at + 1 >= pattern.size()) {
      expanded += pattern[at];
    } else if (pattern[at + 1] == 'f') {
      expanded += fmt::format("{:09}", fraction);
      ++at;
    } else if (at + 2 < pattern.size() && pattern[at + 1] >= '1' && pattern[at + 1] <= '9' &&
               pattern[at + 2] == 'f') {
      expanded += fmt::format("{:09}", fraction).substr(0, pattern[at + 1] - '0');
      at += 2;
    } else if (pattern[at + 1] == 's') {
      expanded += fmt::format("{}", seconds);
      ++at;
    } else {
      expanded += pattern.substr(at++, 2);
    }
  }
  char text[256];
  const size_t length = strftime(text, sizeof(text), expanded.c_str(), &parts);
  out.append(text, length);
}

}  // namespace meltemi::telemetry
