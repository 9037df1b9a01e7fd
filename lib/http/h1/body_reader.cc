// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h1/body_reader.h"

#include <algorithm>
#include <cstring>

#include "lib/base/check.h"
#include "lib/http/h1/head_parser.h"

namespace meltemi::http::h1 {

void BodyReader::Start(Framing framing, int64_t length, size_t trailer_fields_max,
                       bool keeps_trailers) {
  framing_ = framing;
  remaining_ = framing == Framing::kLength ? static_cast<uint64_t>(length) : 0;
  has_ended_ = framing == Framing::kNone || (framing == Framing::kLength && length == 0);
  decoder_ = ChunkedDecoder();
  decoded_ = gap_ = 0;
  trailer_fields_max_ = trailer_fields_max;
  keeps_trailers_ = keeps_trailers;
  trailers_.Clear();
}

BodyReader::Verdict BodyReader::Advance(net::Buffer& input, bool input_ended) {
  if (has_ended_) return Verdict::kOk;
  Verdict verdict = Verdict::kOk;
  switch (framing_) {
    case Framing::kNone:
      break;
    case Framing::kLength:
      has_ended_ = input.size() >= remaining_;
      break;
    case Framing::kUntilClose:
      has_ended_ = input_ended;
      break;
    case Framing::kChunked:
      verdict = AdvanceChunked(input);
      break;
  }
  if (verdict == Verdict::kOk && !has_ended_ && input_ended) return Verdict::kCutOff;
  return verdict;
}

BodyReader::Verdict BodyReader::AdvanceChunked(net::Buffer& input) {
  const size_t raw = decoded_ + gap_;
  char* const data = input.mutable_data();
  const ChunkedDecoder::Result result =
      decoder_.Decode(data + raw, input.size() - raw, data + decoded_);
  decoded_ += result.produced;
  gap_ += result.consumed - result.produced;
  Verdict verdict = Verdict::kOk;
  if (decoder_.state() == ChunkedDecoder::State::kBad) {
    verdict = Verdict::kBad;
  } else if (decoder_.state() == ChunkedDecoder::State::kTrailers) {
    verdict = ReadTrailers(input);
  }
  if (decoded_ == 0 && gap_ != 0) {
    input.Consume(gap_);
    gap_ = 0;
  }
  return verdict;
}

BodyReader::Verdict BodyReader::ReadTrailers(net::Buffer& input) {
  const std::string_view rest = input.view().substr(decoded_ + gap_);
  if (rest.size() < 2) return Verdict::kOk;
  if (rest.starts_with("\r\n")) {
    gap_ += 2;
    has_ended_ = true;
    return Verdict::kOk;
  }
  const size_t end = FindHeadEnd(rest, 0);
  if (end == std::string_view::npos) {
    return rest.size() > kTrailerBytesMax || HasBareLineFeed(rest, 0) ? Verdict::kBad
                                                                      : Verdict::kOk;
  }
  if (end > kTrailerBytesMax) return Verdict::kBad;
  char* const section = trailers_.arena().Allocate(end + kHeadPadding);
  std::memcpy(section, rest.data(), end);
  std::memset(section + end, 0, kHeadPadding);
  if (ParseTrailers(section, end, trailer_fields_max_, trailers_) != HeadError::kNone) {
    return Verdict::kBad;
  }
  if (!keeps_trailers_) trailers_.Clear();
  gap_ += end;
  has_ended_ = true;
  return Verdict::kOk;
}

std::string_view BodyReader::Peek(const net::Buffer& input) const {
  switch (framing_) {
    case Framing::kNone:
      return {};
    case Framing::kLength:
      return input.view().substr(0,
                                 static_cast<size_t>(std::min<uint64_t>(remaining_, input.size())));
    case Framing::kUntilClose:
      return input.view();
    case Framing::kChunked:
      return input.view().substr(0, decoded_);
  }
  return {};
}

void BodyReader::Consume(net::Buffer& input, size_t bytes) {
  MELTEMI_CHECK(bytes <= Peek(input).size());
  if (bytes == 0) return;
  if (framing_ == Framing::kLength) remaining_ -= bytes;
  if (framing_ != Framing::kChunked) return input.Consume(bytes);
  decoded_ -= bytes;
  if (decoded_ == 0) {
    bytes += gap_;
    gap_ = 0;
  }
  input.Consume(bytes);
}

int64_t BodyReader::left(const net::Buffer& input) const {
  if (has_ended_) return static_cast<int64_t>(Peek(input).size());
  return framing_ == Framing::kLength ? static_cast<int64_t>(remaining_) : -1;
}

}  // namespace meltemi::http::h1
