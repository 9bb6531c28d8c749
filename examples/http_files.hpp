// HttpFiles: the files under a folder, as a web server gives them out.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <ctime>
#include <heddle/io/file/file.hpp>
#include <heddle/runtime/loop/event_loop.hpp>
#include <memory>
#include <string>
#include <unordered_map>

struct HttpFile {
  std::string content;  // all of a small file; otherwise `file` is open
  heddle::File file;
  std::uint64_t size = 0;
  std::time_t modified = 0;
  std::string etag;
  std::string headers;  // lines of the answer that tell what it is
};

/// A file, or the status of the answer: 403, 404; 301 for a folder whose name has no slash at its end.
struct HttpFound {
  HttpFound(unsigned its_status, std::shared_ptr<HttpFile> its_file)
      : status(its_status), file(std::move(its_file)) {}
  unsigned status;
  std::shared_ptr<HttpFile> file;
};

class HttpFiles {
 public:
  /// Without a root there is one page, which says so. Throws when the root is no folder.
  explicit HttpFiles(std::string root);

  /// `path` begins with a slash and doesn't lead out. Opening takes a thread's time; so what was found is
  /// kept for a second, and many who ask for the same are answered at once.
  heddle::Task<HttpFound> find(std::string path);

 private:
  struct Kept {
    std::shared_ptr<HttpFile> file;
    heddle::TimePoint until;
  };
  static constexpr std::size_t most_kept = 256, most_content = 65536;

  heddle::Task<HttpFound> open(std::string path) const;

  std::string root_;
  std::unordered_map<std::string, Kept> kept_;
};

/// "Sun, 06 Nov 1994 08:49:37 GMT", and back; -1 for what isn't one.
std::string http_date(std::time_t time);
std::time_t parse_http_date(const std::string& text);
