// SelectorMap: what get_map() gives, a live read-only view of a selector's registrations.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstddef>
#include <iterator>

#include "selector_key.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class BaseSelector;

/// Live: it shows what is registered now, and nothing once the selector is closed. It must not outlive the
/// selector. Iterating goes by rising descriptor and stays valid while registrations come and go.
class HEDDLE_EXPORT SelectorMap {
 public:
  class Iterator;
  using value_type = SelectorKey;
  using iterator = Iterator;
  using const_iterator = Iterator;

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  /// Null when it is not registered. The pointer is valid until the next register_(), modify() or
  /// unregister().
  [[nodiscard]] const SelectorKey* find(FileObj fileobj) const noexcept;
  [[nodiscard]] bool contains(FileObj fileobj) const noexcept { return find(fileobj) != nullptr; }
  /// Throws KeyError when it is not registered (as nothing is once the selector is closed), ValueError for a
  /// negative descriptor.
  [[nodiscard]] SelectorKey at(FileObj fileobj) const;
  [[nodiscard]] SelectorKey operator[](FileObj fileobj) const { return at(fileobj); }
  [[nodiscard]] Iterator begin() const noexcept;
  [[nodiscard]] Iterator end() const noexcept;

 private:
  friend class BaseSelector;
  explicit SelectorMap(const BaseSelector* selector) noexcept : selector_(selector) {}

  const BaseSelector* selector_;
};

class HEDDLE_EXPORT SelectorMap::Iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = SelectorKey;
  using difference_type = std::ptrdiff_t;
  using pointer = const SelectorKey*;
  using reference = const SelectorKey&;

  Iterator() noexcept = default;
  reference operator*() const noexcept;
  pointer operator->() const noexcept { return &**this; }
  Iterator& operator++() noexcept;
  Iterator operator++(int) noexcept {
    Iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.fd_ == b.fd_; }

 private:
  friend class SelectorMap;
  Iterator(const BaseSelector* selector, int fd) noexcept : selector_(selector), fd_(fd) {}

  const BaseSelector* selector_ = nullptr;
  int fd_ = -1;  // -1: the end
};

}  // namespace heddle

HEDDLE_HEADER_END
