// WeakLink<T>: points to an object until that is destroyed; WeakLinks, by which the object clears them.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <utility>

#include "intrusive_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class WeakLinkBase : private ListLink<WeakLinkBase> {
 public:
  WeakLinkBase(const WeakLinkBase&) = delete;
  WeakLinkBase& operator=(const WeakLinkBase&) = delete;

 protected:
  WeakLinkBase() noexcept = default;
  ~WeakLinkBase() = default;

  void* target_ = nullptr;  // null: in no list

 private:
  friend class WeakLinks;
  friend class IntrusiveList<WeakLinkBase>;
};

/// All that point to one object, of which this is a member. On one thread.
class WeakLinks {
 public:
  WeakLinks() noexcept = default;
  WeakLinks(const WeakLinks&) = delete;
  WeakLinks& operator=(const WeakLinks&) = delete;
  ~WeakLinks() { clear(); }

  void add(WeakLinkBase& link) noexcept { all_.push_front(link); }
  static void remove(WeakLinkBase& link) noexcept { IntrusiveList<WeakLinkBase>::remove(link); }
  /// From now on they point to nothing.
  void clear() noexcept {
    while (!all_.empty()) all_.pop_front().target_ = nullptr;
  }

 private:
  IntrusiveList<WeakLinkBase> all_;
};

/// A pointer to a T, or to none. A T with weak_links() clears it when it is destroyed; any other T must
/// outlive it.
template <class T>
class WeakLink final : private WeakLinkBase {
 public:
  WeakLink() noexcept = default;
  ~WeakLink() { release(); }

  T* get() const noexcept { return static_cast<T*>(target_); }
  /// In place of what it points to.
  void reset(T* target) noexcept {
    release();
    target_ = target;
    if constexpr (requires { target->weak_links().add(*this); })
      if (target != nullptr) target->weak_links().add(*this);
  }
  /// What it pointed to; it points to nothing then.
  T* release() noexcept {
    if constexpr (requires(T& target) { target.weak_links().add(std::declval<WeakLinkBase&>()); })
      if (target_ != nullptr) WeakLinks::remove(*this);
    return static_cast<T*>(std::exchange(target_, nullptr));
  }
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
