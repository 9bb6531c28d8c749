// A web server for the files of a folder: HTTP/1.1, also over TLS. Try: http_server --root . and, in a
// browser, http://127.0.0.1:7000/README.md
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/server.hpp>
#ifdef HEDDLE_HAVE_TLS
#include <heddle/io/tls_stream.hpp>
#endif
#include <heddle/runtime/gather.hpp>
#include <heddle/runtime/run.hpp>
#include <heddle/runtime/signals.hpp>
#include <heddle/runtime/timeout.hpp>
#include <set>
#include <stdexcept>

#include "announce.hpp"
#include "http_files.hpp"
#include "http_request.hpp"
#include "options.hpp"

using namespace std::chrono_literals;

/// A connection, as seen by who ends the service.
struct Visit {
  heddle::TcpStream& socket;
  bool idle = true;  // between two requests
};

struct Site {
  Site(std::string root, heddle::Duration its_patience) : files(std::move(root)), patience(its_patience) {}

  /// From now on each request is the last of its connection.
  void close() {
    closing = true;
    for (Visit* const visit : visits)
      if (visit->idle) visit->socket.shutdown(heddle::Shutdown::READ);
  }
  const std::string& date();

  HttpFiles files;
  heddle::Duration patience;  // with who is silent, or doesn't come to the end of a request
  std::set<Visit*> visits;
  bool closing = false;

 private:
  std::time_t now_ = 0;
  std::string date_;
};

const std::string& Site::date() {
  if (const std::time_t now = std::time(nullptr); now != now_) date_ = http_date(now_ = now);
  return date_;
}

/// Which part of a file.
struct Slice {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  unsigned status = HTTP_STATUS_OK;
};

/// "bytes=10-19", "bytes=10-", "bytes=-10". What is written otherwise, or asks for several parts, may be
/// ignored, says RFC 9110.
Slice slice_of(std::string_view range, std::uint64_t size) {
  const Slice whole{0, size, HTTP_STATUS_OK}, none{0, 0, HTTP_STATUS_RANGE_NOT_SATISFIABLE};
  if (!range.starts_with("bytes=")) return whole;
  range.remove_prefix(6);
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos) return whole;
  const auto number = [](std::string_view text) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
    return value;
  };
  const auto first = number(range.substr(0, dash)), last = number(range.substr(dash + 1));
  if (dash == 0) {
    if (!last) return whole;
    const std::uint64_t count = std::min(*last, size);
    return count == 0 ? none : Slice{size - count, count, HTTP_STATUS_PARTIAL_CONTENT};
  }
  const bool open_end = dash + 1 == range.size();
  if (!first || (!last && !open_end) || (last && *last < *first)) return whole;
  if (*first >= size) return none;
  const std::uint64_t end = last && *last < size ? *last + 1 : size;
  return {*first, end - *first, HTTP_STATUS_PARTIAL_CONTENT};
}

/// What the client has is what is here.
bool is_known(const HttpRequest& request, const HttpFile& file) {
  if (!request.if_none_match().empty())
    return request.if_none_match() == "*" || request.if_none_match().find(file.etag) != std::string::npos;
  return !request.if_modified_since().empty() &&
         file.modified <= parse_http_date(request.if_modified_since());
}

/// One connection, over TCP or TLS.
template <class Stream>
class Conversation {
 public:
  Conversation(Stream& stream, Site& site, Visit& visit) : stream_(stream), site_(site), visit_(visit) {}

  heddle::Task<void> run() {
    bool goes_on = true;
    try {
      while (goes_on) {
        if (!unread_.empty()) request_.parse(unread_);
        visit_.idle = !request_.begun() && unread_.empty();
        if (request_.refused() != 0) {
          answer_shortly(request_.refused());
          break;
        }
        if (request_.complete()) {
          keeps_alive_ = request_.keeps_alive() && !site_.closing;
          goes_on = keeps_alive_;
          co_await answer();
          request_.clear();
          deadline_ = heddle::TimePoint();
        } else {
          goes_on = co_await receive();
        }
      }
    } catch (const heddle::TimeoutError&) {
      keeps_alive_ = false;
      answer_shortly(HTTP_STATUS_REQUEST_TIMEOUT);
    }
    co_await send();
    co_await finish();
  }

 private:
  /// False: the client has ended.
  heddle::Task<bool> receive() {
    co_await send();  // the answers to all requests that came together leave together
    std::size_t size = 0;
    if (request_.begun()) {
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
    out_.clear();
  }

  /// A connection that is closed before all was read is reset, and the answer with it: so the rest is read.
  heddle::Task<void> finish() {
    if constexpr (requires { stream_.finish(2s); }) {
      co_await stream_.finish(2s);
    } else {
      stream_.shutdown_write();
      const heddle::TimePoint deadline = heddle::EventLoop::running().time() + 2s;
      try {
        std::size_t size = 1;
        while (size != 0) size = co_await heddle::timeout_at(deadline, stream_.read_some(buffer_));
      } catch (const heddle::TimeoutError&) {
      }
    }
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
    const Slice slice = slice_of(is_same ? request_.range() : "", file.size);
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

  heddle::Task<void> send_large(HttpFile& file, Slice slice) {
    co_await send();
    std::uint64_t sent = 0;
    if constexpr (requires { stream_.send_file(0, 0, 0); }) {
      sent = co_await stream_.send_file(file.file.fileno(), slice.first, slice.count);
    } else {
      std::vector<char> piece(65536);
      while (sent < slice.count) {
        const auto wanted = std::span(piece).first(std::min<std::uint64_t>(piece.size(), slice.count - sent));
        const std::size_t size = co_await file.file.read_at(wanted, slice.first + sent);
        if (size == 0) break;
        co_await stream_.write_all(std::string_view(piece.data(), size));
        sent += size;
      }
    }
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
  bool keeps_alive_ = false;
  std::array<char, 4096> buffer_;
};

template <class Stream>
heddle::Task<void> converse(Stream& stream, heddle::TcpStream& socket, Site& site) {
  struct Presence {
    Presence(Site& its_site, heddle::TcpStream& socket) : visit{socket}, site(its_site) {
      site.visits.insert(&visit);
    }
    Presence(const Presence&) = delete;
    ~Presence() { site.visits.erase(&visit); }
    Visit visit;
    Site& site;
  };
  socket.set_nodelay(true);
  Presence presence(site, socket);
  Conversation<Stream> conversation(stream, site, presence.visit);
  co_await conversation.run();
}

heddle::Task<void> end_on_signal(heddle::Server& server, Site& site) {
  co_await heddle::signal(SIGINT, SIGTERM);
  site.close();
  server.stop(5s);  // so long may what was asked for before take
}

heddle::Task<void> serve_plain(heddle::TcpStream& client, Site& site) {
  co_await converse(client, client, site);
}

#ifdef HEDDLE_HAVE_TLS
heddle::Task<void> serve_tls(heddle::TcpStream client, Site& site, heddle::TlsContext context) {
  try {
    auto stream = co_await heddle::timeout(site.patience, heddle::start_tls(std::move(client), context));
    co_await converse(stream, stream.transport(), site);
  } catch (const heddle::TlsError& error) {
    std::fprintf(stderr, "http_server: %s\n", error.what());  // no TLS, or a client that doesn't trust us
  } catch (const heddle::TimeoutError&) {                     // it hasn't even said hello
  }
}

heddle::TlsContext make_context(const std::string& certificate, const std::string& key) {
  heddle::TlsOptions tls;
  tls.certificate_file = certificate;
  tls.key_file = key;
  tls.alpn = {"http/1.1", "http/1.0"};
  tls.ignore_truncation = true;  // HTTP tells by itself where a message ends
  return heddle::TlsContext::server(tls);
}
#endif

heddle::Task<void> serve(Options options, Site& site, std::string certificate, std::string key) {
  heddle::ServerOptions limits;
  limits.max_connections = 10'000;
  limits.idle = site.patience + 1s;  // who has begun to ask is told first
  heddle::Server server(limits);
#ifdef HEDDLE_HAVE_TLS
  if (!certificate.empty() || !key.empty()) {
    const auto context = make_context(certificate, key);
    auto handler = [&site, context](heddle::TcpStream client) -> heddle::Task<void> {
      co_await serve_tls(std::move(client), site, context);
    };
    announce(co_await server.listen(options.host, options.port, handler));
    co_await heddle::gather(server.serve(), end_on_signal(server, site));
    co_return;
  }
#endif
  auto handler = [&site](heddle::TcpStream& client) -> heddle::Task<void> {
    co_await serve_plain(client, site);
  };
  announce(co_await server.listen(options.host, options.port, handler));
  co_await heddle::gather(server.serve(), end_on_signal(server, site));
}

int main(int argc, char** argv) {
  std::string root, certificate, key, patience = "30";
  const Options options =
      parse_options(argc, argv,
                    {{"root", "DIR", "the folder whose files are given out", &root},
#ifdef HEDDLE_HAVE_TLS
                     {"tls-cert", "FILE", "a certificate, for HTTPS (PEM)", &certificate},
                     {"tls-key", "FILE", "its key (PEM)", &key},
#endif
                     {"patience", "SECONDS",
                      "how long a client may be silent, or take to ask for something (30)", &patience}});
  try {
    Site site(root, seconds("patience", patience));
    heddle::run(serve(options, site, certificate, key),
                {.selector = options.selector, .dump_on_sigquit = true});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "http_server: %s\n", error.what());
    return 1;
  }
}
