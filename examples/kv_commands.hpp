// The commands of the key-value server, the store that they work on, and answers in RESP2.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

/// Answers, one after the other.
class Reply {
 public:
  void simple(std::string_view text);
  /// "ERR what is wrong": the first word tells which kind of error it is.
  void error(std::string_view text);
  void integer(long long value);
  void string(std::string_view bytes);
  void nil();
  /// So many answers that follow are its elements.
  void array(std::size_t size);

  const std::string& text() const noexcept { return text_; }
  std::size_t size() const noexcept { return text_.size(); }
  void clear() noexcept {
    if (text_.capacity() > most_kept) text_ = std::string();
    text_.clear();
  }

 private:
  static constexpr std::size_t most_kept = 16384;  // of memory, by who may be idle from now on

  void number_line(char type, long long value);

  std::string text_;
};

struct KeyHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view key) const noexcept { return std::hash<std::string_view>()(key); }
};

using List = std::deque<std::string>;
using Value = std::variant<std::string, List>;
using Store = std::unordered_map<std::string, Value, KeyHash, std::equal_to<>>;
using Words = std::span<const std::string_view>;

/// Does what the words ask for, of which there is at least one. False: the client is
/// to be closed.
bool execute(Store& store, Words words, Reply& reply);
