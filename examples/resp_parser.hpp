// RespParser: commands as Redis's clients send them, an array of strings or a line of words.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

/// What can't be understood: nor can what follows it.
struct RespError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class RespParser {
 public:
  static constexpr std::size_t longest_line = 65536, longest_string = 8 << 20, most_strings = 65536,
                               longest_command = 16 << 20;

  /// Looks at `bytes`, which begin with the command that comes; called again, they are the same and more.
  /// True when all of it is there. Throws RespError.
  bool parse(std::string_view bytes);
  /// Of the command that is there: its words, which lie in the bytes, and how many bytes it takes. An empty
  /// line, and an empty array, have no words.
  std::span<const std::string_view> words() const noexcept { return words_; }
  std::size_t size() const noexcept { return position_; }
  /// The next command may come.
  void next() noexcept { position_ = left_ = 0; }

 private:
  struct Place {
    std::size_t offset;
    std::size_t size;
  };

  bool line(std::string_view bytes, std::string_view& text);
  void split(std::string_view text);

  std::vector<Place> places_;  // of the strings that are there: the bytes move when more come
  std::vector<std::string_view> words_;
  std::size_t position_ = 0;
  std::size_t left_ = 0;  // strings that are to come
};
