// Conversation: the requests of one connection, and their answers.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <heddle/runtime/task/timeout.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "http_files.hpp"
#include "http_request.hpp"
#include "http_site.hpp"

/// What the client has is what is here.
inline bool is_known(const HttpRequest& request, const HttpFile& file) {
  if (!request.if_none_match().empty())
    return request.if_none_match() == "*" || request.if_none_match().find(file.etag) != std::string::npos;
  return !request.if_modified_since().empty() &&
         file.modified <= parse_http_date(request.if_modified_since());
}

/// Over TCP or TLS.
template <class Stream>
class Conversation {
 public:
  Conversation(Stream& stream, Visit& visit) : stream_(stream), site_(visit.site()), visit_(visit) {}

  heddle::Task<void> run() {
    bool goes_on = true;
    try {
      while (goes_on) {
        if (!unread_.empty()) {
          request_.parse(unread_);
          something_came_ = true;
        }
        visit_.idle = !request_.begun() && unread_.empty();
        if (request_.refused() != 0) {
          keeps_alive_ = false;
          answer_shortly(request_.refused());
          break;
        }
        if (request_.complete()) {
          keeps_alive_ = request_.keeps_alive() && !site_.closing;
          goes_on = keeps_alive_;
          co_await answer();
          request_.clear();
          deadline_ = heddle::TimePoint();
          something_came_ = false;
        } else {
          if (request_.take_expectation()) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
          goes_on = co_await receive();
        }
      }
    } catch (const heddle::TimeoutError&) {
      keeps_alive_ = false;
      if (request_.begun()) answer_shortly(HTTP_STATUS_REQUEST_TIMEOUT);
    }
    co_await send();
    co_await stream_.finish(std::chrono::seconds(2));  // what the client still sends is read, and dropped
  }

 private:
  /// False: the client has ended.
  heddle::Task<bool> receive() {
    co_await send();  // the answers to all requests that came together leave together
    std::size_t size = 0;
    if (something_came_) {  // a part of a request, or empty lines, which may come before one
      if (deadline_ == heddle::TimePoint()) deadline_ = heddle::EventLoop::running().time() + site_.patience;
      size = co_await heddle::timeout_at(deadline_, stream_.read_some(buffer_));
    } else {
      size = co_await stream_.read_some(buffer_);  // the Server has an eye on who says nothing at all
    }
    unread_ = std::string_view(buffer_.data(), size);
    co_return size != 0;
  }

  heddle::Task<void> send() {
    if (!out_.empty()) co_await stream_.write_all(out_);
    if (out_.capacity() > sizeof buffer_) out_ = std::string();  // who is idle needs no memory for it
    out_.clear();
  }

  void head(unsigned status, std::string_view headers, std::optional<std::uint64_t> length) {
    const char* const reason = http_status_str(static_cast<http_status>(status));
    out_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason);
    out_.append("\r\nServer: heddle\r\nDate: ").append(site_.date()).append("\r\n").append(headers);
    if (length) out_.append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    if (!keeps_alive_)
      out_.append("Connection: close\r\n");
    else if (request_.is_http_1_0())
      out_.append("Connection: keep-alive\r\n");
    out_.append("\r\n");
  }

  void answer_shortly(unsigned status, std::string headers = "") {
    const std::string text =
        std::to_string(status) + " " + http_status_str(static_cast<http_status>(status)) + "\n";
    if (status == HTTP_STATUS_METHOD_NOT_ALLOWED) headers = "Allow: GET, HEAD\r\n";
    head(status, headers + "Content-Type: text/plain\r\n", text.size());
    if (!request_.is_head()) out_ += text;
  }

  heddle::Task<void> answer() {
    auto path = request_.path();
    if (!path) {
      answer_shortly(HTTP_STATUS_BAD_REQUEST);
      co_return;
    }
    const HttpFound found = co_await site_.files.find(std::move(*path));
    if (found.status == HTTP_STATUS_MOVED_PERMANENTLY) {
      answer_shortly(found.status, "Location: " + request_.folder() + "\r\n");
      co_return;
    }
    if (found.file == nullptr) {
      answer_shortly(found.status);
      co_return;
    }
    HttpFile& file = *found.file;
    if (is_known(request_, file)) {
      head(HTTP_STATUS_NOT_MODIFIED, file.headers, std::nullopt);
      co_return;
    }
    // Who goes on with a file wants all of it if it is another by now.
    const bool is_same = request_.if_range().empty() || request_.if_range() == file.etag ||
                         request_.if_range() == http_date(file.modified);
    const bool may_be_part = is_same && !request_.is_head();  // a range means something to GET alone
    const HttpSlice slice = slice_of(may_be_part ? request_.range() : "", file.size);
    if (slice.status == HTTP_STATUS_OK) {
      head(slice.status, file.headers, slice.count);
    } else {
      std::string range = "Content-Range: bytes ";
      if (slice.count == 0)
        range += '*';
      else
        range += std::to_string(slice.first) + '-' + std::to_string(slice.first + slice.count - 1);
      range.append("/").append(std::to_string(file.size)).append("\r\n");
      if (slice.count == 0) {
        answer_shortly(slice.status, range);
        co_return;
      }
      head(slice.status, file.headers + range, slice.count);
    }
    if (request_.is_head()) co_return;
    if (!file.file.is_open())
      out_.append(file.content, slice.first, slice.count);
    else
      co_await send_large(file, slice);
    if (out_.size() >= most_out) co_await send();
  }

  heddle::Task<void> send_large(HttpFile& file, HttpSlice slice) {
    const std::uint64_t sent = co_await stream_.send_file(file.file.fileno(), slice.first, slice.count, out_);
    out_.clear();
    if (sent < slice.count) throw std::runtime_error("a file has become shorter while it was sent");
  }

  static constexpr std::size_t most_out = 65536;

  Stream& stream_;
  Site& site_;
  Visit& visit_;
  HttpRequest request_;
  std::string out_;          // what is to be sent
  std::string_view unread_;  // the rest of `buffer_`
  heddle::TimePoint deadline_;
  bool something_came_ = false;  // since the last request was complete
  bool keeps_alive_ = false;
  std::array<char, 4096> buffer_;
};
