// Watch<T>: a value that changes, and readers that wait for its changes.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../core/frame_allocator.hpp"
#include "../core/task.hpp"
#include "publication.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

template <class T>
class WatchState final : public Publication {
 public:
  explicit WatchState(T&& value) : value_(Value::adopt(*new Counted(std::move(value)))) {}

  const T& value() const noexcept { return value_->value; }
  std::uint64_t version() const noexcept { return version_; }
  void set(T&& value) {
    waiting_readers().use("Watch.set()");
    Value before = Value::adopt(*new Counted(std::move(value)));
    value_.swap(before);  // goes last
    publish();
  }
  template <class Function>
  void modify(Function&& function) {
    waiting_readers().use("Watch.modify()");
    const Value kept = value_;  // should the function set another one
    std::forward<Function>(function)(kept->value);
    publish();
  }

 private:
  struct Counted final : FrameAllocated {
    explicit Counted(T&& its) : value(std::move(its)) {}
    void add_reference() noexcept { ++references; }
    void release() noexcept {
      if (--references == 0) delete this;
    }

    T value;
    unsigned references = 1;
  };
  using Value = Ref<Counted>;

  ~WatchState() override = default;

  void publish() noexcept {
    ++version_;
    wake_readers();
  }

  Value value_;
  std::uint64_t version_ = 0;
};

template <class T>
class WatchReader;

template <class T>
class [[nodiscard]] WatchOperation final : public PublicationOperation {
 public:
  explicit WatchOperation(WatchReader<T>& reader) noexcept : PublicationOperation(reader) {}

  bool await_ready() {
    this->begin("WatchReader.changed()");
    return this->attempt(reader().has_changed() || reader().closed());
  }
  bool await_resume() {
    this->end("WatchReader.changed()");
    const bool changed = reader().has_changed();
    reader().seen_ = reader().state().version();
    return changed;
  }

 private:
  WatchReader<T>& reader() const noexcept { return static_cast<WatchReader<T>&>(this->reader_); }
};

/// A reader of a Watch. The value that the Watch has when this is made counts as seen. For one task at a
/// time; it may outlive the Watch. Move-only.
template <class T>
class [[nodiscard]] WatchReader : public PublicationReader {
 public:
  explicit WatchReader(WatchState<T>& state) noexcept : PublicationReader(state), seen_(state.version()) {}
  WatchReader(WatchReader&& other) noexcept : PublicationReader(std::move(other)), seen_(other.seen_) {}

  /// `while (co_await reader.changed()) use(reader.value());`: waits for a value that it hasn't seen yet. Of
  /// several that were set meanwhile it sees only the last. False when the Watch was destroyed and its last
  /// value was seen. Cancel-safe.
  WatchOperation<T> changed() noexcept { return WatchOperation<T>(*this); }
  bool has_changed() const noexcept { return state().version() != seen_; }
  bool closed() const noexcept { return state().closed(); }
  /// The value that it has now, valid until another is set.
  const T& value() const noexcept { return state().value(); }

  /// Waits for a value for which `predicate(value)` is true, which is then seen; the present one may be it.
  /// False if the Watch was destroyed before.
  template <class Predicate>
  Task<bool> wait_for(Predicate predicate) {
    for (bool open = true; open;) {  // GCC 12 miscompiles `if (co_await ...)` without any variable
      seen_ = state().version();
      if (predicate(value())) co_return true;
      open = co_await changed();
    }
    co_return false;
  }

 private:
  friend class WatchOperation<T>;

  WatchState<T>& state() const noexcept { return static_cast<WatchState<T>&>(*this->state_); }

  std::uint64_t seen_;
};

}  // namespace detail

/// A value of which readers want to know the latest, as tokio's watch channel. On the loop's thread only.
/// When it is destroyed its readers keep the last value, and those that wait are woken. Move-only.
template <class T>
class Watch {
 public:
  explicit Watch(T value) : state_(State::adopt(*new detail::WatchState<T>(std::move(value)))) {}
  Watch(Watch&&) noexcept = default;
  Watch& operator=(Watch&&) noexcept = default;

  /// Valid until another is set.
  const T& value() const noexcept { return state_->value(); }
  /// Wakes the readers, also if the value is the same. What moving it throws comes out, and then the value
  /// before is still there. The value before is destroyed last, and may use the Watch then.
  void set(T value) { state_->set(std::move(value)); }
  /// The same with what `function(T&)` makes of the value in its place. What it throws comes out, with the
  /// value as it left it; no reader is woken then. If it sets another value, that stays.
  template <class Function>
  void modify(Function&& function) {
    state_->modify(std::forward<Function>(function));
  }
  detail::WatchReader<T> subscribe() const noexcept { return detail::WatchReader<T>(*state_); }

 private:
  using State = detail::Ref<detail::WatchState<T>, detail::PublisherSide>;
  State state_;
};

}  // namespace heddle

HEDDLE_HEADER_END
