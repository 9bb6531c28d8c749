// What is known of a command is kept while more of it comes: a long one is not taken apart again and again.
// SPDX-License-Identifier: MIT
#include "resp_parser.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace {

/// The number after the first letter; -1 for what isn't one.
long long number(std::string_view text) {
  long long value = 0;
  const auto [rest, error] = std::from_chars(text.data() + 1, text.data() + text.size(), value);
  return error == std::errc() && rest == text.data() + text.size() ? value : -1;
}

}  // namespace

// From `position_` on, without its end; false: that isn't there yet.
bool RespParser::line(std::string_view bytes, std::string_view& text) {
  const std::size_t end = bytes.find('\n', position_);
  const std::size_t size = (end == bytes.npos ? bytes.size() : end) - position_;
  if (size > longest_line) throw RespError("too big inline request");
  if (end == bytes.npos) return false;
  text = bytes.substr(position_, size);
  if (text.ends_with('\r')) text.remove_suffix(1);
  position_ = end + 1;
  return true;
}

void RespParser::split(std::string_view text) {
  for (;;) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == text.npos) return;
    const std::size_t end = std::min(text.find_first_of(" \t", begin), text.size());
    words_.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

bool RespParser::parse(std::string_view bytes) {
  std::string_view text;
  if (position_ == 0) {
    words_.clear();
    places_.clear();
    if (!line(bytes, text)) return false;
    if (!text.starts_with('*')) {
      split(text);
      return true;
    }
    const long long count = number(text);
    if (count > static_cast<long long>(most_strings) || (count < 0 && text != "*-1"))
      throw RespError("invalid multibulk length");
    left_ = count < 0 ? 0 : static_cast<std::size_t>(count);
  }
  for (; left_ != 0; --left_) {
    const std::size_t before = position_;
    if (!line(bytes, text)) return false;
    if (!text.starts_with('$')) {
      const char got = text.empty() ? ' ' : text.front();
      throw RespError(std::string("expected '$', got '") + (got > ' ' && got < 0x7f ? got : '?') + "'");
    }
    const long long size = number(text);
    if (size < 0 || size > static_cast<long long>(longest_string)) throw RespError("invalid bulk length");
    const Place place{position_, static_cast<std::size_t>(size)};
    if (bytes.size() - position_ < place.size + 2) {
      position_ = before;
      return false;
    }
    if (bytes.substr(place.offset + place.size, 2) != "\r\n")
      throw RespError("a string doesn't end where it should");
    places_.push_back(place);
    position_ = place.offset + place.size + 2;
  }
  for (const Place& place : places_) words_.push_back(bytes.substr(place.offset, place.size));
  return true;
}
