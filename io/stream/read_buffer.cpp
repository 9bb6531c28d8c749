// ReadBuffer: growing and compacting, and the search for a separator.
// SPDX-License-Identifier: MIT
#include "read_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "../../selector/errors.hpp"
#include "read_errors.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t first_capacity = 4096;

}  // namespace

ReadBuffer::ReadBuffer(std::size_t limit) : limit_(limit) {
  if (limit == 0) throw ValueError("a StreamReader with a limit of 0 could read nothing");
}

ReadBuffer::~ReadBuffer() {
  if (filling_ == nullptr) {
    delete[] bytes_;
    return;
  }
  filling_->buffer_ = nullptr;
  filling_->memory_ = bytes_;
  filling_->scope_.abandon();
}

ReadBuffer::Filling::~Filling() {
  if (buffer_ != nullptr)
    buffer_->filling_ = nullptr;
  else
    delete[] memory_;
}

void ReadBuffer::throw_filling() {
  throw std::logic_error("StreamReader: another task reads from it already");
}

void ReadBuffer::move_to(std::size_t capacity) {
  char* const bytes = new char[capacity];
  if (!empty()) std::memcpy(bytes, bytes_ + begin_, size());
  delete[] bytes_;
  bytes_ = bytes;
  end_ = size();
  begin_ = 0;
  capacity_ = capacity;
}

std::span<std::byte> ReadBuffer::room(std::size_t wanted) {
  const std::size_t most = std::max(limit_, wanted);
  const bool was_filled = end_ == capacity_;  // the last read took all the room: there may be more at once
  if (empty()) begin_ = end_ = 0;
  if (capacity_ == 0)
    move_to(std::min(most, first_capacity));
  else if (was_filled && capacity_ < most)
    move_to(std::min(2 * capacity_, most));
  else if (begin_ > 0 && capacity_ - end_ < capacity_ / 4)
    compact();
  if (end_ == capacity_) move_to(2 * capacity_);
  return std::as_writable_bytes(std::span(bytes_ + end_, capacity_ - end_));
}

void ReadBuffer::compact() noexcept {
  std::memmove(bytes_, bytes_ + begin_, size());
  end_ -= begin_;
  begin_ = 0;
}

void ReadBuffer::Filling::put_back(std::span<const std::byte> bytes) {
  if (bytes.empty() || buffer_ == nullptr) return;
  if (buffer_->capacity_ < bytes.size()) buffer_->move_to(bytes.size());
  std::memcpy(buffer_->bytes_, bytes.data(), bytes.size());
  buffer_->begin_ = 0;
  buffer_->end_ = bytes.size();
}

std::size_t ReadBuffer::find(std::string_view separator, std::size_t& scanned) const {
  const std::string_view all = text();
  const std::size_t at = all.find(separator, scanned);
  if (at != std::string_view::npos) {
    if (at + separator.size() <= limit_) return at + separator.size();
    throw LimitOverrunError(
        "a separator comes after " + std::to_string(at) + " bytes: the limit is " + std::to_string(limit_),
        at);
  }
  if (all.size() >= separator.size()) scanned = all.size() - (separator.size() - 1);
  if (all.size() >= limit_)
    throw LimitOverrunError(
        "no separator in " + std::to_string(all.size()) + " bytes: the limit is " + std::to_string(limit_),
        scanned);
  return npos;
}

}  // namespace heddle::detail
