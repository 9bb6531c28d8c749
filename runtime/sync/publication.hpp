// Publication, PublicationReader: what Broadcast and Watch have in common.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <utility>

#include "../core/ref.hpp"
#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// What the sending end of a channel shares with its readers, which may outlive it. Deleted with the last of
/// them.
class HEDDLE_EXPORT Publication {
 public:
  void add_reference() noexcept { ++references_; }
  void release() noexcept;

  void close() noexcept {
    readers_.use("Broadcast.close(), or the end of a Watch,");
    closed_ = true;
    wake_readers();
  }
  bool closed() const noexcept { return closed_; }
  void wake_readers() noexcept { readers_.grant_all(); }
  WaitList& waiting_readers() noexcept { return readers_; }

 protected:
  Publication() noexcept = default;
  virtual ~Publication();

 private:
  WaitList readers_;
  unsigned references_ = 1;
  bool closed_ = false;
};

/// How a Ref counts the sending end of a channel, of which there is one: when it is destroyed the channel is
/// closed.
struct PublisherSide {
  static void drop(Publication& state) noexcept {
    state.close();
    state.release();
  }
};

/// One who reads from a channel, for one task at a time. Who waits when it is moved or destroyed gets
/// std::logic_error.
class HEDDLE_EXPORT PublicationReader {
 public:
  /// False once it was moved from.
  bool valid() const noexcept { return static_cast<bool>(state_); }

 protected:
  friend class PublicationOperation;

  explicit PublicationReader(Publication& state) noexcept : state_(state) {}
  PublicationReader(PublicationReader&& other) noexcept : state_(other.detach()) {}
  ~PublicationReader() { abandon_waiter(); }
  /// Throws std::logic_error if a task waits for it already, or it was moved from.
  void check_free(const char* operation) const {
    if (state_) state_->waiting_readers().use(operation);
    if (waiting_ != nullptr || !state_) [[unlikely]]
      throw_not_free(operation);
  }
  [[noreturn]] void throw_not_free(const char* operation) const;

  Ref<Publication> state_;

 private:
  void abandon_waiter() noexcept {
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr)->abandon();
  }
  Ref<Publication> detach() noexcept {
    abandon_waiter();
    return std::move(state_);
  }

  WaitOperation* waiting_ = nullptr;
};

class HEDDLE_EXPORT PublicationOperation : public WaitOperation {
 public:
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    reader_.waiting_ = this;
    wait(reader_.state_->waiting_readers(), coroutine);
  }

  Stop cancel() noexcept override;

 protected:
  explicit PublicationOperation(PublicationReader& reader) noexcept : reader_(reader) {}

  void begin(const char* name) const {
    check_can_begin();
    reader_.check_free(name);
  }
  void end(const char* name) {
    check(name);  // first, because it throws if the reader was destroyed
    reader_.waiting_ = nullptr;
  }

  PublicationReader& reader_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
