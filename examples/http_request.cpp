// What http_parser calls while it reads a request, and what a path may be.
// SPDX-License-Identifier: MIT
#include "http_request.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

// The parser is C and has no place for exceptions: each of these returns 0, or anything else to end it.
struct HttpRequest::Callbacks {
  static HttpRequest& of(http_parser* parser) { return *static_cast<HttpRequest*>(parser->data); }

  static int begin(http_parser* parser) {
    of(parser).begun_ = true;
    return 0;
  }
  static int url(http_parser* parser, const char* bytes, std::size_t size) {
    of(parser).url_.append(bytes, size);
    return 0;
  }
  static int name(http_parser* parser, const char* bytes, std::size_t size) {
    HttpRequest& self = of(parser);
    if (self.is_past_head()) return 0;
    if (std::exchange(self.in_value_, false)) self.name_.clear();
    self.name_.append(bytes, size);
    // The parser lets a blank pass, and "Content-Length :" means something to one reader and nothing to
    // another.
    if (std::string_view(bytes, size).find_first_of(" \t") != std::string_view::npos)
      self.refused_ = HTTP_STATUS_BAD_REQUEST;
    return self.refused_ != 0;
  }
  static int value(http_parser* parser, const char* bytes, std::size_t size) {
    HttpRequest& self = of(parser);
    if (self.is_past_head()) return 0;
    if (!std::exchange(self.in_value_, true)) {
      self.current_ = self.header();
      // Two hosts could mean two things to two readers of them, also where one is empty.
      if (self.current_ == HOST && std::exchange(self.has_host_, true))
        self.refused_ = HTTP_STATUS_BAD_REQUEST;
    }
    if (self.current_ != OTHER) self.values_[self.current_].append(bytes, size);
    return self.refused_ != 0;
  }
  static int head(http_parser* parser) { return of(parser).head_complete(); }
  static int body(http_parser* parser, const char*, std::size_t size) {
    HttpRequest& self = of(parser);
    self.body_ += size;
    if (self.body_ > longest_body) self.refused_ = HTTP_STATUS_PAYLOAD_TOO_LARGE;
    return self.refused_ != 0;
  }
  static int end(http_parser* parser) {
    of(parser).complete_ = true;
    http_parser_pause(parser, 1);  // the next request is not to be looked at yet
    return 0;
  }

  static const http_parser_settings& all() {
    static const http_parser_settings settings = [] {
      http_parser_settings made;
      http_parser_settings_init(&made);
      made.on_message_begin = begin;
      made.on_url = url;
      made.on_header_field = name;
      made.on_header_value = value;
      made.on_headers_complete = head;
      made.on_body = body;
      made.on_message_complete = end;
      http_parser_set_max_header_size(longest_head);
      return made;
    }();
    return settings;
  }
};

HttpRequest::HttpRequest() {
  http_parser_init(&parser_, HTTP_REQUEST);
  parser_.data = this;
}

void HttpRequest::clear() {
  for (std::string& value : values_) value.clear();
  url_.clear();
  name_.clear();
  body_ = 0;
  begun_ = complete_ = in_value_ = has_host_ = expects_ = false;
  http_parser_pause(&parser_, 0);
}

void HttpRequest::parse(std::string_view& bytes) {
  const std::size_t used = http_parser_execute(&parser_, &Callbacks::all(), bytes.data(), bytes.size());
  bytes.remove_prefix(used);
  switch (HTTP_PARSER_ERRNO(&parser_)) {
    case HPE_OK:
    case HPE_PAUSED:
      break;
    case HPE_HEADER_OVERFLOW:
      refused_ = HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE;
      break;
    case HPE_INVALID_VERSION:
      refused_ = HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED;
      break;
    default:
      if (refused_ == 0) refused_ = HTTP_STATUS_BAD_REQUEST;
  }
}

// A body that isn't wanted is refused before it comes.
int HttpRequest::head_complete() {
  parser_.upgrade = 0;  // to no other protocol
  // A body means nothing here. Where it ends is a matter of opinion often enough, so nothing comes after it.
  const bool has_body = (parser_.flags & F_CHUNKED) != 0 || !values_[TRANSFER_ENCODING].empty() ||
                        ((parser_.flags & F_CONTENTLENGTH) != 0 && parser_.content_length > 0);
  keeps_alive_ = !has_body && http_should_keep_alive(&parser_) != 0;
  if (parser_.http_major != 1)
    refused_ = HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED;
  else if (values_[HOST].empty() && parser_.http_minor > 0)
    refused_ = HTTP_STATUS_BAD_REQUEST;
  else if (parser_.method != HTTP_GET && parser_.method != HTTP_HEAD)
    refused_ = HTTP_STATUS_METHOD_NOT_ALLOWED;
  else if ((parser_.flags & F_CONTENTLENGTH) != 0 && parser_.content_length > longest_body)
    refused_ = HTTP_STATUS_PAYLOAD_TOO_LARGE;
  else if (const std::string& expected = values_[EXPECT]; !expected.empty() && parser_.http_minor > 0) {
    // HTTP/1.0 has no such thing, and is to be taken at its word (RFC 9110, section 10.1.1).
    if (::strcasecmp(expected.c_str(), "100-continue") != 0)
      refused_ = HTTP_STATUS_EXPECTATION_FAILED;
    else
      expects_ = has_body;
  }
  return refused_ != 0;
}

HttpRequest::Header HttpRequest::header() const noexcept {
  constexpr std::array<const char*, OTHER> names{
      "Host", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Transfer-Encoding", "Expect"};
  for (unsigned char i = 0; i < OTHER; ++i)
    if (::strcasecmp(name_.c_str(), names[i]) == 0) return static_cast<Header>(i);
  return OTHER;
}

namespace {

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char lower = static_cast<char>(digit | ' ');
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string_view HttpRequest::raw_path() const {
  std::string_view raw(url_);
  if (const std::size_t scheme = raw.find("://");
      !raw.starts_with('/') && scheme != std::string_view::npos) {  // "http://host/path", as to a proxy
    raw.remove_prefix(std::min(raw.find_first_of("/?#", scheme + 3), raw.size()));
    if (!raw.starts_with('/')) return "/";
  }
  return raw.substr(0, raw.find_first_of("?#"));
}

std::string HttpRequest::folder() const {
  std::string_view raw = raw_path();
  raw.remove_prefix(std::min(raw.find_first_not_of('/'), raw.size()));  // "//x" would be another host
  return "/" + std::string(raw) + "/";
}

std::optional<std::string> HttpRequest::path() const {
  const std::string_view raw = raw_path();
  if (!raw.starts_with('/')) return std::nullopt;
  std::string path;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '%') {
      path += raw[i];
      continue;
    }
    const int high = i + 2 < raw.size() ? hex_digit(raw[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(raw[i + 2]) : -1;
    if (low < 0 || high + low == 0) return std::nullopt;  // an end in the middle isn't a name either
    path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  // After decoding: "%2e%2e%2f" leads out as well.
  if ((path + '/').find("/../") != std::string::npos) return std::nullopt;
  return path;
}

HttpSlice slice_of(std::string_view range, std::uint64_t size) {
  const HttpSlice whole{0, size, HTTP_STATUS_OK}, none{0, 0, HTTP_STATUS_RANGE_NOT_SATISFIABLE};
  if (!range.starts_with("bytes=")) return whole;
  range.remove_prefix(6);
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return whole;
  const auto first = number(range.substr(0, dash)), last = number(range.substr(dash + 1));
  if (dash == 0) {
    if (!last) return whole;
    const std::uint64_t count = std::min(*last, size);
    return count == 0 ? none : HttpSlice{size - count, count, HTTP_STATUS_PARTIAL_CONTENT};
  }
  const bool open_end = dash + 1 == range.size();
  if (!first || (!last && !open_end) || (last && *last < *first)) return whole;
  if (*first >= size) return none;
  const std::uint64_t end = last && *last < size ? *last + 1 : size;
  return {*first, end - *first, HTTP_STATUS_PARTIAL_CONTENT};
}
