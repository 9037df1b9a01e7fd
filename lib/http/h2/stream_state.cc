// SPDX-License-Identifier: Apache-2.0
#include "lib/http/h2/stream_state.h"

#include <bit>
#include <utility>

#include "lib/base/check.h"

namespace meltemi::http::h2 {

void StreamState::Recycle() {
  MELTEMI_CHECK(!is_open && list == nullptr);
  id = 0;
  unreturned = 0;
  body_left = -1;
  unsent.Clear();
  trailers = nullptr;
  is_remote_done = is_local_done = is_head_sent = is_send_ended = has_head = false;
  is_head_request = is_connect = is_tunnel = false;
}

void WriterList::Push(StreamState& stream) {
  stream.list = this;
  stream.next = nullptr;
  stream.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &stream;
  last_ = &stream;
}

StreamState& WriterList::Pop() {
  StreamState& stream = *first_;
  Remove(stream);
  return stream;
}

void WriterList::Remove(StreamState& stream) {
  (stream.previous != nullptr ? stream.previous->next : first_) = stream.next;
  (stream.next != nullptr ? stream.next->previous : last_) = stream.previous;
  stream.list = nullptr;
  stream.next = stream.previous = nullptr;
}

StreamState* StreamTable::Find(int32_t id) const {
  if (size_ == 0) return nullptr;
  for (size_t i = Home(id);; i = (i + 1) & (slots_.size() - 1)) {
    StreamState* const stream = slots_[i];
    if (stream == nullptr || stream->id == id) return stream;
  }
}

void StreamTable::Insert(StreamState& stream) {
  if ((size_ + 1) * 2 > slots_.size()) Grow();
  size_t i = Home(stream.id);
  while (slots_[i] != nullptr) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = &stream;
  ++size_;
}

void StreamTable::Erase(int32_t id) {
  const size_t mask = slots_.size() - 1;
  size_t hole = Home(id);
  while (slots_[hole]->id != id) hole = (hole + 1) & mask;
  // Moves up those that stand behind the hole only because it was taken.
  for (size_t i = (hole + 1) & mask; slots_[i] != nullptr; i = (i + 1) & mask) {
    const size_t distance = (i - Home(slots_[i]->id)) & mask;
    if (distance < ((i - hole) & mask)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = nullptr;
  --size_;
}

StreamState* StreamTable::FindAbove(int32_t id) const {
  for (StreamState* stream : slots_) {
    if (stream != nullptr && stream->id > id) return stream;
  }
  return nullptr;
}

void StreamTable::Grow() {
  constexpr size_t kFirstSlots = 32;
  std::vector<StreamState*> old(slots_.empty() ? kFirstSlots : 2 * slots_.size());
  old.swap(slots_);
  shift_ = 32 - std::countr_zero(slots_.size());
  size_ = 0;
  for (StreamState* stream : old) {
    if (stream != nullptr) Insert(*stream);
  }
}

}  // namespace meltemi::http::h2
