// Ref<T>: a counted reference to an object that counts its references itself.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// How a Ref counts by default: by T's add_reference() and release(), which ends the object with
/// its last reference. Another policy has the same two functions; one for a Ref that is never copied, nor
/// made but by adopt(), needs no add().
struct CountReferences {
  template <class T>
  static void add(T& target) noexcept {
    target.add_reference();
  }
  template <class T>
  static void drop(T& target) noexcept {
    target.release();
  }
};

/// Refers to a T, or to none, and keeps it alive that long. Copying and destroying it are as thread-safe as
/// T's counter; a single Ref is for one thread at a time. T may be incomplete until a member is called.
template <class T, class Count = CountReferences>
class Ref {
 public:
  Ref() noexcept = default;
  /// One more reference.
  explicit Ref(T& target) noexcept : target_(&target) { Count::add(target); }
  /// Takes over a reference that is counted already, such as the one that an object is made with.
  static Ref adopt(T& target) noexcept {
    Ref adopted;
    adopted.target_ = &target;
    return adopted;
  }
  Ref(const Ref& other) noexcept : target_(other.target_) {
    if (target_ != nullptr) Count::add(*target_);
  }
  Ref(Ref&& other) noexcept : target_(std::exchange(other.target_, nullptr)) {}
  // What was referred to is dropped last, when this refers to the other already.
  Ref& operator=(const Ref& other) noexcept {
    Ref copy(other);
    std::swap(target_, copy.target_);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    Ref taken(std::move(other));
    std::swap(target_, taken.target_);
    return *this;
  }
  ~Ref() {
    if (target_ != nullptr) Count::drop(*target_);
  }

  void reset() noexcept { Ref().swap(*this); }
  /// Gives the reference to the caller, who has to drop it; this is empty then.
  [[nodiscard]] T* detach() noexcept { return std::exchange(target_, nullptr); }
  void swap(Ref& other) noexcept { std::swap(target_, other.target_); }

  T* get() const noexcept { return target_; }
  T& operator*() const noexcept { return *target_; }
  T* operator->() const noexcept { return target_; }
  explicit operator bool() const noexcept { return target_ != nullptr; }
  /// Whether both refer to the same object.
  friend bool operator==(const Ref&, const Ref&) noexcept = default;

 private:
  T* target_ = nullptr;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
