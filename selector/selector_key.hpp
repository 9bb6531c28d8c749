// SelectorKey: one registration: its FileObj, its events, and the SelectorData that the user attached.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <typeinfo>

#include "events.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

template <class T>
concept HasFileno = requires(const T& object) { static_cast<int>(object.fileno()); } && !std::is_pointer_v<T>;

/// A file object: a descriptor, or anything with `fileno()`. It keeps the object's address as an identity and
/// the number that fileno() gave; the object itself is never accessed again, so it may be moved or destroyed.
class FileObj {
 public:
  constexpr FileObj(int fd) noexcept : fd_(fd) {}
  template <HasFileno T>
    requires(!std::is_same_v<T, FileObj>)
  FileObj(const T& object) : address_(__builtin_addressof(object)), fd_(static_cast<int>(object.fileno())) {}

  /// What fileno() gave when this was made; negative for an object that has been closed.
  [[nodiscard]] constexpr int fd() const noexcept { return fd_; }
  /// Null for a plain descriptor.
  [[nodiscard]] constexpr const void* address() const noexcept { return address_; }
  friend constexpr bool operator==(const FileObj&, const FileObj&) noexcept = default;

 private:
  const void* address_ = nullptr;
  int fd_;
};

/// What is attached to a registration: nothing, a pointer that is not owned, or an integer or enum of up to
/// 64 bits. It remembers the type, and asking for another one is a ValueError.
class HEDDLE_EXPORT SelectorData {
 public:
  constexpr SelectorData() noexcept = default;
  constexpr SelectorData(std::nullptr_t) noexcept {}
  template <class T>
  SelectorData(T* pointer) noexcept : type_(&typeid(T*)), bits_(reinterpret_cast<std::uintptr_t>(pointer)) {}
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  SelectorData(T value) noexcept : type_(&typeid(T)), bits_(static_cast<std::uint64_t>(value)) {
    static_assert(sizeof(T) <= sizeof bits_);
  }

  [[nodiscard]] bool has_value() const noexcept { return type_ != nullptr; }
  template <class T>
  [[nodiscard]] bool holds() const noexcept {
    return type_ == &typeid(T) || is_called(typeid(T));
  }
  /// `get<Connection*>()`, `get<int>()`: the type must be the one that was stored, to the letter.
  template <class T>
  [[nodiscard]] T get() const {
    if (!holds<T>()) [[unlikely]]
      wrong_type(type_, &typeid(T));
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<T>(static_cast<std::uintptr_t>(bits_));
    } else {
      return static_cast<T>(bits_);
    }
  }
  friend bool operator==(const SelectorData& a, const SelectorData& b) noexcept {
    return a.bits_ == b.bits_ && (a.type_ == b.type_ || same_type(a.type_, b.type_));
  }

 private:
  friend HEDDLE_EXPORT std::string to_string(const SelectorData& data);
  // One type may have several type_info objects in several shared libraries: then their names are compared.
  [[gnu::cold]] bool is_called(const std::type_info& asked) const noexcept;
  [[gnu::cold]] static bool same_type(const std::type_info* a, const std::type_info* b) noexcept;
  [[noreturn, gnu::cold]] static void wrong_type(const std::type_info* stored, const std::type_info* asked);

  const std::type_info* type_ = nullptr;
  std::uint64_t bits_ = 0;
};

/// A registration, as register_() returns it and select() reports it: a value, to copy and to compare.
struct SelectorKey {
  FileObj fileobj;
  int fd;
  EventMask events;
  SelectorData data;

  friend bool operator==(const SelectorKey&, const SelectorKey&) noexcept = default;
};
static_assert(std::is_trivially_copyable_v<SelectorKey> && sizeof(SelectorData) == 16);

/// "none", "42 (int)", "0x55d0 (Connection*)".
[[nodiscard]] HEDDLE_EXPORT std::string to_string(const SelectorData& data);
/// "SelectorKey(fd=7, events=READ|WRITE, data=42 (int))"; an object's address stands before its fd.
[[nodiscard]] HEDDLE_EXPORT std::string to_string(const SelectorKey& key);

/// Prints to any stream; needs <ostream> only where it is used.
template <class Traits>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const SelectorKey& key) {
  return out << to_string(key).c_str();
}

}  // namespace heddle

HEDDLE_HEADER_END
