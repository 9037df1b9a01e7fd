// SPDX-License-Identifier: Apache-2.0
// File access logs: a line per request, gathered per worker and written once per pass. A reader
// that does not keep up loses lines; requests never wait for it.
#include "proxy/http/access_log_compiler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "lib/base/fd.h"
#include "lib/runtime/loop.h"
#include "lib/telemetry/access_log_format.h"
#include "proxy/http/log_values.h"
#include "proxy/http/route_compiler.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

namespace envoy_log = envoy::config::accesslog::v3;

constexpr size_t kWorkersMax = 256;
constexpr size_t kBatchBytesMax = 64 * 1024;  // written at once when reached within a pass

// -- which requests are logged

class LogFilter {
 public:
  virtual ~LogFilter() = default;
  virtual bool Selects(const StreamInfo& info) const = 0;
};
using LogFilters = std::vector<std::unique_ptr<const LogFilter>>;

class Comparison final : public LogFilter {
 public:
  enum class What : uint8_t { kStatus, kDuration };
  Comparison(What what, envoy_log::ComparisonFilter::Op op, uint32_t value)
      : what_(what), op_(op), value_(value) {}
  bool Selects(const StreamInfo& info) const override {
    const int64_t have =
        what_ == What::kStatus
            ? info.status
            : std::chrono::duration_cast<std::chrono::milliseconds>(info.end - info.start).count();
    switch (op_) {
      case envoy_log::ComparisonFilter::GE:
        return have >= value_;
      case envoy_log::ComparisonFilter::LE:
        return have <= value_;
      case envoy_log::ComparisonFilter::NE:
        return have != value_;
      default:
        return have == value_;
    }
  }

 private:
  const What what_;
  const envoy_log::ComparisonFilter::Op op_;
  const int64_t value_;
};

class FlagFilter final : public LogFilter {
 public:
  explicit FlagFilter(std::vector<std::string> flags) : flags_(std::move(flags)) {}
  bool Selects(const StreamInfo& info) const override {
    if (info.flags.empty()) return false;
    if (flags_.empty()) return true;
    std::string_view rest = info.flags.Short(*info.arena);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (std::find(flags_.begin(), flags_.end(), rest.substr(0, comma)) != flags_.end())
        return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return false;
  }

 private:
  const std::vector<std::string> flags_;
};

class JoinedFilter final : public LogFilter {
 public:
  JoinedFilter(bool is_and, LogFilters parts) : is_and_(is_and), parts_(std::move(parts)) {}
  bool Selects(const StreamInfo& info) const override {
    for (const auto& part : parts_) {
      if (part->Selects(info) != is_and_) return !is_and_;
    }
    return is_and_;
  }

 private:
  const bool is_and_;
  const LogFilters parts_;
};

class HeaderLogFilter final : public LogFilter {
 public:
  explicit HeaderLogFilter(routing::HeaderPredicate predicate) : predicate_(std::move(predicate)) {}
  bool Selects(const StreamInfo& info) const override { return predicate_.Matches(*info.request); }

 private:
  const routing::HeaderPredicate predicate_;
};

StatusOr<std::unique_ptr<const LogFilter>> CompileFilterOf(const envoy_log::AccessLogFilter& from);

template <typename Parts>
StatusOr<std::unique_ptr<const LogFilter>> CompileJoined(bool is_and, const Parts& from) {
  LogFilters parts;
  for (const auto& part : from) {
    MELTEMI_ASSIGN_OR_RETURN(auto filter, CompileFilterOf(part));
    parts.push_back(std::move(filter));
  }
  return std::make_unique<const JoinedFilter>(is_and, std::move(parts));
}

StatusOr<std::unique_ptr<const LogFilter>> CompileFilterOf(const envoy_log::AccessLogFilter& from) {
  using Filter = envoy_log::AccessLogFilter;
  switch (from.filter_specifier_case()) {
    case Filter::kStatusCodeFilter: {
      const auto& comparison = from.status_code_filter().comparison();
      return std::make_unique<const Comparison>(Comparison::What::kStatus, comparison.op(),
                                                comparison.value().default_value());
    }
    case Filter::kDurationFilter: {
      const auto& comparison = from.duration_filter().comparison();
      return std::make_unique<const Comparison>(Comparison::What::kDuration, comparison.op(),
                                                comparison.value().default_value());
    }
    case Filter::kResponseFlagFilter: {
      const auto& flags = from.response_flag_filter().flags();
      return std::make_unique<const FlagFilter>(
          std::vector<std::string>(flags.begin(), flags.end()));
    }
    case Filter::kHeaderFilter: {
      MELTEMI_ASSIGN_OR_RETURN(auto predicate, CompileHeaderMatch(from.header_filter().header()));
      return std::make_unique<const HeaderLogFilter>(std::move(predicate));
    }
    case Filter::kAndFilter:
      return CompileJoined(true, from.and_filter().filters());
    case Filter::kOrFilter:
      return CompileJoined(false, from.or_filter().filters());
    default:
      return absl::InvalidArgumentError(
          "filter: only status_code, duration, response_flag, header, and, or are supported");
  }
}

// -- where lines go

// The lines of one worker in this pass.
class LineBatch final : public runtime::Deferred {
 public:
  explicit LineBatch(int fd) : fd_(fd) {}
  std::string& text() { return text_; }
  void Write() {
    const ssize_t written = ::write(fd_, text_.data(), text_.size());
    (void)written;  // a full pipe loses the lines
    text_.clear();
  }

 private:
  void RunDeferred() override { Write(); }
  const int fd_;
  std::string text_;
};

class FileAccessLog final : public AccessLog {
 public:
  FileAccessLog(Fd file, telemetry::AccessLogFormat format, std::unique_ptr<const LogFilter> filter,
                std::vector<std::string> response_headers)
      : file_(std::move(file)),
        format_(std::move(format)),
        filter_(std::move(filter)),
        response_headers_(std::move(response_headers)) {}

  const std::vector<std::string>& response_headers() const override { return response_headers_; }

  void Write(const StreamInfo& info) const override {
    if (filter_ != nullptr && !filter_->Selects(info)) return;
    const uint32_t worker = info.worker->index();
    if (worker >= kWorkersMax) return;
    std::unique_ptr<LineBatch>& batch = batches_[worker];
    if (batch == nullptr) batch = std::make_unique<LineBatch>(file_.get());
    format_.Run(StreamLogValues(info), batch->text());
    if (batch->text().size() >= kBatchBytesMax) {
      batch->Write();
    } else if (!batch->is_deferred()) {
      info.worker->loop().Defer(batch.get());
    }
  }

 private:
  const Fd file_;
  const telemetry::AccessLogFormat format_;
  const std::unique_ptr<const LogFilter> filter_;
  const std::vector<std::string> response_headers_;
  // One per worker, touched by that worker only.
  mutable std::array<std::unique_ptr<LineBatch>, kWorkersMax> batches_;
};

StatusOr<Fd> OpenLog(const std::string& path) {
  // A description of our own, so that not waiting for a slow reader stays our affair.
  Fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644));
  if (!file.valid() && path == "/dev/stdout") file = Fd(::fcntl(1, F_DUPFD_CLOEXEC, 3));
  if (!file.valid() && path == "/dev/stderr") file = Fd(::fcntl(2, F_DUPFD_CLOEXEC, 3));
  if (!file.valid()) {
    return absl::InvalidArgumentError(
        fmt::format("access log \"{}\" cannot be opened: {}", path, std::strerror(errno)));
  }
  return file;
}

struct CompiledFormat {
  telemetry::AccessLogFormat format;
  std::vector<std::string> response_headers;
};

// Names in "%RESP(X?Y)%".
void CollectResponseHeaders(std::string_view format, std::vector<std::string>& names) {
  constexpr std::string_view kMark = "%RESP(";
  for (size_t at = format.find(kMark); at != std::string_view::npos; at = format.find(kMark, at)) {
    at += kMark.size();
    std::string_view rest = format.substr(at, format.find(')', at) - at);
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('?'), rest.size());
      names.push_back(routing::LowerCase(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

StatusOr<CompiledFormat> CompileText(std::string_view text) {
  MELTEMI_ASSIGN_OR_RETURN(auto format, telemetry::AccessLogFormat::CompileText(text));
  CompiledFormat compiled{std::move(format), {}};
  CollectResponseHeaders(text, compiled.response_headers);
  return compiled;
}

StatusOr<CompiledFormat> CompileJson(const google::protobuf::Struct& from) {
  std::vector<std::pair<std::string, std::string>> members;
  std::vector<std::string> response_headers;
  for (const auto& [key, value] : from.fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue) {
      return absl::InvalidArgumentError(fmt::format("json_format: \"{}\" must be a string", key));
    }
    members.emplace_back(key, value.string_value());
    CollectResponseHeaders(value.string_value(), response_headers);
  }
  std::sort(members.begin(), members.end());  // protobuf keeps no order
  MELTEMI_ASSIGN_OR_RETURN(auto format, telemetry::AccessLogFormat::CompileJson(members));
  return CompiledFormat{std::move(format), std::move(response_headers)};
}

StatusOr<CompiledFormat> CompileFormat(
    const envoy::extensions::access_loggers::file::v3::FileAccessLog& from) {
  if (!from.has_log_format()) return CompileText(telemetry::IstioTextFormat());
  const auto& format = from.log_format();
  if (format.has_json_format()) return CompileJson(format.json_format());
  if (!format.has_text_format_source()) {
    return absl::InvalidArgumentError("log_format: give text_format_source or json_format");
  }
  const auto& source = format.text_format_source();
  return CompileText(source.has_inline_bytes() ? source.inline_bytes() : source.inline_string());
}

constexpr std::string_view kFileType = "envoy.extensions.access_loggers.file.v3.FileAccessLog";

}  // namespace

StatusOr<std::shared_ptr<const AccessLog>> CompileAccessLog(std::string_view serialized,
                                                            const HttpProcess&) {
  envoy_log::AccessLog from;
  if (!from.ParseFromArray(serialized.data(), static_cast<int>(serialized.size()))) {
    return absl::InvalidArgumentError("not an AccessLog message");
  }
  const std::string_view type_url = from.typed_config().type_url();
  if (!type_url.ends_with(kFileType)) {
    return absl::InvalidArgumentError(
        fmt::format("access log \"{}\" of type \"{}\" is not supported", from.name(), type_url));
  }
  envoy::extensions::access_loggers::file::v3::FileAccessLog file;
  if (!file.ParseFromString(from.typed_config().value())) {
    return absl::InvalidArgumentError("not a FileAccessLog message");
  }
  MELTEMI_ASSIGN_OR_RETURN(CompiledFormat format, CompileFormat(file));
  std::unique_ptr<const LogFilter> filter;
  if (from.has_filter()) {
    MELTEMI_ASSIGN_OR_RETURN(filter, CompileFilterOf(from.filter()));
  }
  MELTEMI_ASSIGN_OR_RETURN(Fd descriptor, OpenLog(file.path()));
  return std::make_shared<const FileAccessLog>(std::move(descriptor), std::move(format.format),
                                               std::move(filter),
                                               std::move(format.response_headers));
}

}  // namespace meltemi::proxy
