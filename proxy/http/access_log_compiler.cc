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
#include "proxy/http/format_compiler.h"
#include "proxy/http/log_filter.h"
#include "proxy/http/log_values.h"
#include "proxy/worker.h"

namespace meltemi::proxy {
namespace {

namespace envoy_log = envoy::config::accesslog::v3;

constexpr size_t kWorkersMax = 256;
constexpr size_t kBatchBytesMax = 64 * 1024;  // written at once when reached within a pass

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
  auto format = file.has_log_format() ? CompileFormatString(file.log_format(), FormatUse::kLog)
                                      : CompileFormatText(telemetry::IstioTextFormat());
  if (!format.ok()) return WithContext(format.status(), "log_format");
  std::unique_ptr<const LogFilter> filter;
  if (from.has_filter()) {
    MELTEMI_ASSIGN_OR_RETURN(filter, CompileLogFilter(from.filter()));
  }
  MELTEMI_ASSIGN_OR_RETURN(Fd descriptor, OpenLog(file.path()));
  return std::make_shared<const FileAccessLog>(std::move(descriptor), std::move(format->format),
                                               std::move(filter),
                                               std::move(format->response_headers));
}

}  // namespace meltemi::proxy
