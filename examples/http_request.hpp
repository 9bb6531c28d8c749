// HttpRequest: a request of HTTP/1 as it comes in, taken apart by http_parser.
// SPDX-License-Identifier: MIT
#pragma once

#include <http_parser.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

class HttpRequest {
 public:
  /// Longer heads are answered by 431, longer bodies by 413.
  static constexpr std::size_t longest_head = 16384, longest_body = 1 << 20;

  HttpRequest();
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  /// Takes from the front of `bytes` what belongs to this request. It is complete() then, or bad, or needs
  /// more.
  void parse(std::string_view& bytes);
  /// Forgets this request; the next one of the connection may come.
  void clear();

  bool begun() const noexcept { return begun_; }
  bool complete() const noexcept { return complete_; }
  /// The status that refuses it; 0: it is fine so far. What follows a bad request can't be understood.
  unsigned refused() const noexcept { return refused_; }
  /// The head has come, and the client waits for a word before it sends the body; true once.
  bool take_expectation() noexcept { return std::exchange(expects_, false); }

  bool is_head() const noexcept { return parser_.method == HTTP_HEAD; }
  /// The connection goes on after it.
  bool keeps_alive() const noexcept { return keeps_alive_; }
  bool is_http_1_0() const noexcept { return parser_.http_major == 1 && parser_.http_minor == 0; }
  /// What was asked for, decoded, without its query: "/a b.html". nullopt when that is no path, or leads out
  /// of the root ("/../x").
  std::optional<std::string> path() const;
  /// The same as it came, as the name of a folder: "/a%20b/".
  std::string folder() const;
  /// Of the headers that matter here; empty: there is none.
  const std::string& range() const noexcept { return values_[RANGE]; }
  const std::string& if_range() const noexcept { return values_[IF_RANGE]; }
  const std::string& if_none_match() const noexcept { return values_[IF_NONE_MATCH]; }
  const std::string& if_modified_since() const noexcept { return values_[IF_MODIFIED_SINCE]; }

 private:
  enum Header : unsigned char {
    HOST,
    RANGE,
    IF_RANGE,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    TRANSFER_ENCODING,
    EXPECT,
    OTHER
  };
  struct Callbacks;

  int head_complete();
  /// The fields that come now are a trailer: they say nothing about what is asked for.
  bool is_past_head() const noexcept { return (parser_.flags & F_TRAILING) != 0; }
  std::string_view raw_path() const;
  Header header() const noexcept;

  http_parser parser_;
  std::string url_;
  std::string name_;           // of the header that comes
  std::string values_[OTHER];  // by Header
  Header current_ = OTHER;
  std::size_t body_ = 0;
  unsigned refused_ = 0;
  bool in_value_ = false;
  bool has_host_ = false;
  bool begun_ = false;
  bool complete_ = false;
  bool keeps_alive_ = false;
  bool expects_ = false;
};

/// Which part of a file is asked for, and the status of the answer: 200, 206, or 416 for none of it.
struct HttpSlice {
  std::uint64_t first;
  std::uint64_t count;
  unsigned status;
};

/// "bytes=10-19", "bytes=10-", "bytes=-10". What is written otherwise, or asks for several parts, may be
/// ignored, says RFC 9110.
HttpSlice slice_of(std::string_view range, std::uint64_t size);
