// SPDX-License-Identifier: Apache-2.0
#include "host/mesh/control_plane.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <vector>

namespace meltemi::host {
namespace {

constexpr Duration kPollEager = std::chrono::milliseconds(20);
constexpr Duration kPollCalm = std::chrono::seconds(1);
constexpr Duration kStopMax = std::chrono::seconds(5);
constexpr const char* kStartNote = "the control plane is started";
constexpr size_t kLastLines = 3;
constexpr size_t kLastLineBytes = 500;

}  // namespace

ControlPlane::ControlPlane(runtime::Loop& loop, Command command, uint16_t monitoring_port,
                           std::string log_path, std::function<void()> on_change)
    : loop_(loop),
      command_(std::move(command)),
      monitoring_port_(monitoring_port),
      log_path_(std::move(log_path)),
      on_change_(std::move(on_change)),
      launch_timer_(loop, [this] { Launch(); }),
      poll_timer_(loop, [this] { Poll(); }),
      kill_timer_(loop, [this] {
        if (process_ != nullptr) process_->Signal(SIGKILL);
      }) {}

Status ControlPlane::Start() {
  MELTEMI_ASSIGN_OR_RETURN(log_, LogFile::Open(loop_, log_path_));
  Launch();
  return absl::OkStatus();
}

void ControlPlane::Launch() {
  launched_ = loop_.Now();
  log_->Note(kStartNote);
  auto started =
      Process::Start(loop_, command_, log_->writer(), [this](Ending ending) { OnEnded(ending); });
  if (!started.ok()) {
    message_ = std::string(Message(started.status()));
    launch_timer_.Arm(backoff_.Next(launched_, loop_.Now()));
    return;
  }
  process_ = *std::move(started);
  poll_timer_.Arm(kPollEager);
}

void ControlPlane::Poll() {
  const auto address = net::Address::ParseIp("127.0.0.1", monitoring_port_);
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!address.ok() || !socket.valid()) return OnPolled(false, "no socket to ask it with");
  check_ =
      Check::Start(loop_, std::move(socket), *address, GetRequest("127.0.0.1", "/ready"), kPollCalm,
                   [this](bool is_healthy, const std::string& why) { OnPolled(is_healthy, why); });
}

void ControlPlane::OnPolled(bool is_ready, const std::string& why) {
  poll_timer_.Arm(is_ready ? kPollCalm : kPollEager);
  message_ =
      is_ready ? "" : fmt::format("the control plane is not ready: {}\nsee {}", why, log_path_);
  if (is_ready == is_ready_) return;
  is_ready_ = is_ready;
  on_change_();
}

void ControlPlane::OnEnded(Ending ending) {
  process_.reset();
  check_.reset();
  poll_timer_.Disarm();
  kill_timer_.Disarm();
  is_ready_ = false;
  message_ = fmt::format("the control plane ended with {}\nsee {}", ending.text(), log_path_);
  if (!is_stopping_) {
    log_->Note(fmt::format("the control plane ended with {}; it is started again", ending.text()));
    ++restarts_;
    launch_timer_.Arm(backoff_.Next(launched_, loop_.Now()));
  }
  on_change_();
}

std::string ControlPlane::LastWords() const {
  std::vector<std::string> lines;
  std::ifstream log(log_path_);
  for (std::string line; std::getline(log, line);)
    if (line.ends_with(kStartNote))
      lines.clear();  // of earlier runs
    else if (!line.empty() && !line.starts_with(LogFile::kNoteMark))
      lines.push_back(std::move(line));
  std::string text;
  for (size_t i = lines.size() - std::min(lines.size(), kLastLines); i < lines.size(); ++i)
    text += (text.empty() ? "" : "\n") + lines[i].substr(0, kLastLineBytes);
  if (text.empty()) return message_;
  return fmt::format("the control plane does not start: {}\nsee {}", text, log_path_);
}

void ControlPlane::Stop() {
  is_stopping_ = true;
  launch_timer_.Disarm();
  poll_timer_.Disarm();
  check_.reset();
  if (process_ == nullptr) return on_change_();
  process_->Signal(SIGTERM);
  kill_timer_.Arm(kStopMax);
}

}  // namespace meltemi::host
