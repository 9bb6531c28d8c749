// IntrusiveList<T>: a doubly linked list of objects that have the links in themselves.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

template <class T>
class IntrusiveList;

/// The base of what goes into an IntrusiveList<T>: `class T : public ListLink<T>`. (A private base needs
/// `friend class IntrusiveList<T>`.) An object can be in one such list at a time, and must neither move nor
/// die while it is. A copy is in no list, whatever its original is in.
template <class T>
class ListLink {
 public:
  constexpr ListLink() noexcept = default;
  ListLink(const ListLink& /*other*/) noexcept {}
  ListLink& operator=(const ListLink& /*other*/) noexcept { return *this; }

 private:
  friend class IntrusiveList<T>;

  constexpr ListLink(ListLink* next, ListLink* previous) noexcept : next_(next), previous_(previous) {}

  // Not reset when it leaves a list: who needs to know whether it is in one has a state that says so.
  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

/// A list through the ListLinks of its elements: adding allocates nothing, and every call takes the same few
/// steps however long the list is. It owns nothing: what is in it when it is destroyed stays as it is, and
/// must not be removed any more. Neither copied nor moved. T may be incomplete until a member is called.
///
/// A ring with the list itself as its first and last link, so that no end is a special case and an element
/// leaves without the list at hand.
template <class T>
class IntrusiveList {
 public:
  constexpr IntrusiveList() noexcept : ring_(&ring_, &ring_) {}
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() = default;

  bool empty() const noexcept { return ring_.next_ == &ring_; }
  // Of a list that isn't empty.
  T& front() const noexcept { return element(ring_.next_); }
  T& back() const noexcept { return element(ring_.previous_); }

  void push_back(T& added) noexcept { insert(added, ring_); }
  void push_front(T& added) noexcept { insert(added, *ring_.next_); }
  /// Takes the first one out of a list that isn't empty.
  T& pop_front() noexcept {
    T& first = front();
    remove(first);
    return first;
  }
  /// Takes `element` out of the list that it is in.
  static void remove(T& element) noexcept {
    ListLink<T>& link = element;
    link.next_->previous_ = link.previous_;
    link.previous_->next_ = link.next_;
  }
  /// Moves all that is in `other` to the end of this list, in its order.
  void take_all(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    ListLink<T>* const first = other.ring_.next_;
    ListLink<T>* const last = other.ring_.previous_;
    first->previous_ = ring_.previous_;
    ring_.previous_->next_ = first;
    last->next_ = &ring_;
    ring_.previous_ = last;
    other.ring_.next_ = other.ring_.previous_ = &other.ring_;
  }

  /// From the first to the last. The element that it is at may be removed, and destroyed, and others may be
  /// added behind the next one; the next one must stay.
  class Iterator {
   public:
    T& operator*() const noexcept { return element(at_); }
    Iterator& operator++() noexcept {
      at_ = next_;
      next_ = at_->next_;
      return *this;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.at_ == b.at_; }

   private:
    friend class IntrusiveList;
    explicit Iterator(ListLink<T>* at) noexcept : at_(at), next_(at->next_) {}

    ListLink<T>* at_;
    ListLink<T>* next_;  // noted before the loop's body can change it
  };
  Iterator begin() const noexcept { return Iterator(ring_.next_); }
  Iterator end() const noexcept { return Iterator(&ring_); }

 private:
  static T& element(ListLink<T>* link) noexcept { return static_cast<T&>(*link); }

  static void insert(T& added, ListLink<T>& before) noexcept {
    ListLink<T>& link = added;
    link.next_ = &before;
    link.previous_ = before.previous_;
    before.previous_->next_ = &link;
    before.previous_ = &link;
  }

  mutable ListLink<T> ring_;  // the list is const where its elements are only reached through it
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
