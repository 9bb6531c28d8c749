// WriteBuffer: chunks are filled, sent and used again.
// SPDX-License-Identifier: MIT
#include "write_buffer.hpp"

#include <utility>

namespace heddle::detail {

namespace {

constexpr std::size_t chunk_size = 4096 - 16;
// Copying less than this is cheaper than sending it as a piece of its own.
constexpr std::size_t worth_taking_over = 1024;

}  // namespace

WaitInfo WriteBufferOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "a StreamWriter";
  return info;
}

WriteBuffer::~WriteBuffer() {
  if (sending_ == nullptr) return;
  sending_->buffer_ = nullptr;
  sending_->chunks_ = std::move(chunks_);
  sending_->scope_.abandon();
}

void WriteBuffer::end_sending() noexcept {
  sending_ = nullptr;
  waiters_.grant_all(granted_);
}

void WriteBuffer::write(std::string_view bytes) {
  if (error_ || bytes.empty()) return;
  if (!chunks_.empty() && chunks_.back().capacity() - chunks_.back().size() >= bytes.size()) {
    chunks_.back().append(bytes);
  } else {
    std::string chunk = std::move(spare_);
    spare_ = std::string();
    chunk.reserve(bytes.size() < chunk_size ? chunk_size : bytes.size());
    chunk.assign(bytes);
    append(std::move(chunk));
  }
  note_written(bytes.size());
}

void WriteBuffer::take_over(std::string&& bytes) {
  if (bytes.size() < worth_taking_over) return write(bytes);
  if (error_) return;
  const std::size_t size = bytes.size();
  append(std::move(bytes));
  note_written(size);
}

void WriteBuffer::append(std::string&& chunk) {
  if (first_ > 0 && chunks_.size() == chunks_.capacity()) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  chunks_.push_back(std::move(chunk));
}

void WriteBuffer::note_written(std::size_t size) noexcept {
  written_ += size;
  if (!sending()) waiters_.grant_all(granted_);
}

std::size_t WriteBuffer::pieces(std::span<ConstBuffer> into) const noexcept {
  std::size_t count = 0;
  for (std::size_t i = first_; i < chunks_.size() && count < into.size(); ++i) {
    const std::string_view chunk = chunks_[i];
    into[count++] = ConstBuffer(i == first_ ? chunk.substr(begun_) : chunk);
  }
  return count;
}

void WriteBuffer::advance(std::size_t size) noexcept {
  sent_ += size;
  begun_ += size;
  while (first_ < chunks_.size() && begun_ >= chunks_[first_].size()) {
    begun_ -= chunks_[first_].size();
    std::string sent = std::move(chunks_[first_++]);
    if (sent.capacity() <= 4 * chunk_size && sent.capacity() > spare_.capacity()) {
      sent.clear();
      spare_ = std::move(sent);
    }
  }
  if (first_ == chunks_.size()) {
    chunks_.clear();
    first_ = 0;
  }
  waiters_.grant_all(granted_);
}

void WriteBuffer::fail(std::exception_ptr error) noexcept {
  error_ = std::move(error);
  chunks_.clear();
  first_ = begun_ = 0;
  sent_ = written_;
  waiters_.grant_all(granted_);
}

void WriteBuffer::throw_error() {
  reported_ = true;
  std::rethrow_exception(error_);
}

}  // namespace heddle::detail
