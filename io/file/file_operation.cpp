// FileOperation: the job that makes a call on a file on a thread of the pool.
// SPDX-License-Identifier: MIT
#include "file_operation.hpp"

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "../../runtime/loop/event_loop.hpp"
#include "../operation/fd.hpp"
#include "../operation/transfer_turn.hpp"

namespace heddle::detail {

void FileDescription::release() noexcept {
  if (--references_ != 0) return;
  if (fd_ >= 0) system_.close(fd_);
  delete this;
}

BorrowedFile::BorrowedFile(int fd) : file_(new FileDescription(fd, current_system())) {}

bool BorrowedFile::try_read_at(std::span<std::byte> buffer, std::uint64_t offset) const noexcept {
  const std::ptrdiff_t n = file_->system().pread_now(file_->fileno(), buffer.data(), buffer.size(),
                                                     static_cast<std::int64_t>(offset));
  charge_transfer(n);
  return n == static_cast<std::ptrdiff_t>(buffer.size());
}

// read(2) yields 0 then, as at the end; poll(2) reports a hang-up only where there was a writer.
bool awaits_writer(System& system, int fd) noexcept {
  struct stat file;
  return ::fstat(fd, &file) == 0 && S_ISFIFO(file.st_mode) && system.poll_now(fd, POLLIN) == 0;
}

namespace {

class FileCallJob final : public ThreadJob {
 public:
  FileCallJob(const FileDescription& file, FileCall call, void* data, std::size_t size,
              std::int64_t offset) noexcept
      : ThreadJob(true),
        system_(file.system()),
        data_(data),
        size_(size),
        offset_(offset),
        fd_(file.fileno()),
        call_(call) {}

  std::int64_t result = 0;

 private:
  // The StopToken is ignored: the call uses the caller's buffer, so its end is waited for.
  void work(StopToken) override { result = make_call(); }

  std::int64_t make_call() noexcept {
    switch (call_) {
      case FileCall::READ:
        return read();
      case FileCall::WRITE:
        return transfer_all(
            false, [this](char* data, std::size_t size, auto) { return system_.write(fd_, data, size); });
      case FileCall::READ_AT:
        return transfer_all(true, [this](char* data, std::size_t size, std::int64_t offset) {
          return system_.pread(fd_, data, size, offset);
        });
      case FileCall::WRITE_AT:
        return transfer_all(false, [this](char* data, std::size_t size, std::int64_t offset) {
          return system_.pwrite(fd_, data, size, offset);
        });
      case FileCall::SIZE:
        return uninterrupted([this] { return system_.file_size(fd_); });
      case FileCall::SYNC:
      case FileCall::SYNC_DATA:
        return uninterrupted([this] { return system_.sync(fd_, call_ == FileCall::SYNC_DATA); });
      case FileCall::RESIZE:
        return uninterrupted([this] { return system_.ftruncate(fd_, offset_); });
      case FileCall::CLOSE:
        break;
    }
    const int closed = system_.close(fd_);
    return closed == -EINTR ? 0 : closed;  // closed all the same (close(2))
  }

  std::int64_t read() noexcept {
    const std::int64_t n = uninterrupted([this] { return system_.read(fd_, data_, size_); });
    return n == 0 && size_ != 0 && awaits_writer(system_, fd_) ? -EAGAIN : n;
  }

  template <class Transfer>
  std::int64_t transfer_all(bool may_end, Transfer transfer) noexcept {
    std::size_t moved = 0;
    while (moved < size_) {
      const std::int64_t n = transfer(static_cast<char*>(data_) + moved, size_ - moved,
                                      offset_ + static_cast<std::int64_t>(moved));
      if (n > 0) {
        moved += static_cast<std::size_t>(n);
      } else if (n == 0) {
        if (may_end) break;
        return -EIO;  // it takes nothing, but reports no error
      } else if (n != -EINTR) {
        return n;
      }
    }
    return static_cast<std::int64_t>(moved);
  }

  template <class Call>
  static std::int64_t uninterrupted(Call call) noexcept {
    std::int64_t n;
    do n = call();
    while (n == -EINTR);
    return n;
  }

  System& system_;
  void* data_;
  std::size_t size_;
  std::int64_t offset_;
  int fd_;
  FileCall call_;
};

}  // namespace

FileOperation::FileOperation(FileDescription* file, FileCall call, const char* name, void* data,
                             std::size_t size, std::int64_t offset) noexcept
    : ThreadJobWaiter(ThreadPool::shared()),
      file_(file),
      name_(name),
      data_(data),
      size_(size),
      offset_(offset),
      call_(call) {
  if (file_ != nullptr) file_->add_reference();
}

FileOperation::FileOperation(const FileOperation& other) noexcept
    : FileOperation(other.file_, other.call_, other.name_, other.data_, other.size_, other.offset_) {}

FileOperation::~FileOperation() {
  if (file_ != nullptr) file_->release();
}

bool FileOperation::await_ready() {
  const bool ready = ThreadJobWaiter::await_ready();
  if (file_ == nullptr)
    throw std::system_error(EBADF, std::generic_category(), std::string(name_) + " on a closed file");
  return ready;
}

void FileOperation::make_job() { set_job(*new FileCallJob(*file_, call_, data_, size_, offset_)); }

WaitInfo FileOperation::describe() const noexcept {
  WaitInfo info;
  info.what = "a call on a file";
  info.fd = fileno();
  return info;
}

int FileOperation::fileno() const noexcept { return file_ != nullptr ? file_->fileno() : -1; }

std::int64_t FileOperation::outcome() {
  check_cancelled();
  return static_cast<const FileCallJob*>(job_)->result;
}

Failure FileOperation::failure(std::int64_t result) const noexcept {
  return {static_cast<int>(-result), name_, fileno()};
}

}  // namespace heddle::detail
