// The awaitables of a pipe: read, write, write all. Each tries first and waits second.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>

#include "../../runtime/loop/fd_watch.hpp"
#include "../operation/fd.hpp"
#include "../operation/result.hpp"
#include "../operation/transfer_turn.hpp"
#include "file_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A read(2) or write(2) on any descriptor that can be waited for; made again when that is ready.
class HEDDLE_EXPORT DescriptorTransfer : public DescriptorOperation {
 public:
  int fileno() const noexcept { return fd(); }

 protected:
  DescriptorTransfer(Fd& fd, std::byte* data, std::size_t size) noexcept
      : DescriptorOperation(fd.slot()), data_(data), size_(size) {}
  DescriptorTransfer(const DescriptorTransfer& other) noexcept
      : DescriptorOperation(other.slot()), data_(other.data_), size_(other.size_) {}
  ~DescriptorTransfer() = default;

  void fail(int error) noexcept final { result_ = -error; }
  /// Throws Cancelled.
  Failure failure(const char* name) const {
    check_cancelled();
    return {static_cast<int>(-result_), name, fd()};
  }

  std::byte* data_;
  std::size_t size_;
  std::ptrdiff_t result_ = 0;  ///< what the call returned: a negative errno where it failed
};

/// One read(2), of at most most_per_turn bytes.
class HEDDLE_EXPORT DescriptorRead final : public DescriptorTransfer {
 public:
  DescriptorRead(Fd& fd, std::span<std::byte> buffer)
      : DescriptorTransfer(fd, buffer.data(), of_one_turn(buffer.size())) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    suspend_here(coroutine, frame_of(coroutine.promise()));
  }
  Result<std::size_t> take_result() const {
    if (result_ < 0) return failure("read");
    return static_cast<std::size_t>(result_);
  }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::READ; }
  void suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool attempt(int fd, FdWatch* watch) noexcept;
};

/// One write(2), of at most most_per_turn bytes, or, if `all`, as many as the whole buffer takes: so much at
/// each turn of the task.
class HEDDLE_EXPORT DescriptorWrite final : public DescriptorTransfer {
 public:
  DescriptorWrite(Fd& fd, std::span<const std::byte> buffer, bool all)
      : DescriptorTransfer(fd, const_cast<std::byte*>(buffer.data()), buffer.size()), all_(all) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    suspend_here(coroutine, frame_of(coroutine.promise()));
  }
  Result<std::size_t> take_result() const {
    if (result_ < 0) return failure("write");
    return static_cast<std::size_t>(result_);
  }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::WRITE; }
  void suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool attempt(int fd, FdWatch* watch) noexcept;
  void after_attempt() noexcept;

  bool all_;
  bool goes_on_ = false;  // its turn is over, and the next goes on
  std::size_t written_ = 0;
};

/// A transfer by the loop or, on a file, by a thread.
template <class Transfer>
class [[nodiscard]] PipeOperation {
 public:
  using Native = void;

  PipeOperation(const Transfer& transfer, const FileTransfer& file, bool is_file) noexcept
      : transfer_(transfer), file_(file), is_file_(is_file) {}

  bool await_ready() { return is_file_ ? file_.await_ready() : transfer_.await_ready(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    if (is_file_)
      file_.await_suspend(coroutine);
    else
      transfer_.await_suspend(coroutine);
  }
  std::size_t await_resume() { return take_result().value(); }
  Result<std::size_t> take_result() { return is_file_ ? file_.take_result() : transfer_.take_result(); }
  int fileno() const noexcept { return is_file_ ? file_.fileno() : transfer_.fileno(); }
  AsResult<PipeOperation> as_result() && noexcept { return AsResult(*this); }

 private:
  Transfer transfer_;
  FileTransfer file_;
  bool is_file_;
};

using PipeRead = PipeOperation<DescriptorRead>;
using PipeWrite = PipeOperation<DescriptorWrite>;

}  // namespace heddle::detail

HEDDLE_HEADER_END
