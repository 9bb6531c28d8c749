// Files are opened and read by threads; what they are, their names tell.
// SPDX-License-Identifier: MIT
#include "http_files.hpp"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

using namespace std::chrono_literals;

namespace {

const char* type_of(std::string_view path) {
  constexpr std::array<std::pair<std::string_view, const char*>, 16> types{{
      {".html", "text/html; charset=utf-8"},
      {".htm", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".md", "text/markdown; charset=utf-8"},
      {".json", "application/json"},
      {".xml", "application/xml"},
      {".pdf", "application/pdf"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".jpeg", "image/jpeg"},
      {".gif", "image/gif"},
      {".ico", "image/x-icon"},
      {".wasm", "application/wasm"},
  }};
  for (const auto& [ending, type] : types)
    if (path.ends_with(ending)) return type;
  return "application/octet-stream";
}

void describe(HttpFile& file, std::string_view path) {
  char etag[64];
  std::snprintf(etag, sizeof etag, "\"%llx-%llx\"", static_cast<unsigned long long>(file.modified),
                static_cast<unsigned long long>(file.size));
  file.etag = etag;
  file.headers = "Content-Type: ";
  file.headers.append(type_of(path)).append("\r\nLast-Modified: ").append(http_date(file.modified));
  file.headers.append("\r\nETag: ").append(etag).append("\r\nAccept-Ranges: bytes\r\n");
}

}  // namespace

HttpFiles::HttpFiles(std::string root) : root_(std::move(root)) {
  if (!root_.empty()) {
    struct stat about = {};
    if (::stat(root_.c_str(), &about) != 0)
      throw std::system_error(errno, std::generic_category(), "--root \"" + root_ + '"');
    if (!S_ISDIR(about.st_mode)) throw std::invalid_argument("--root \"" + root_ + "\" is not a folder");
    return;
  }
  auto page = std::make_shared<HttpFile>();
  page->content =
      "<!DOCTYPE html><title>heddle</title><p>It works. With --root DIR there are files here.</p>\n";
  page->size = page->content.size();
  page->modified = std::time(nullptr);
  describe(*page, ".html");
  kept_["/"] = {std::move(page), heddle::TimePoint::max()};
}

heddle::Task<HttpFound> HttpFiles::find(std::string path) {
  const heddle::TimePoint now = heddle::EventLoop::running().time();
  if (const auto place = kept_.find(path); place != kept_.end()) {
    Kept& kept = place->second;
    if (now < kept.until) co_return HttpFound(200, kept.file);
    kept.until = now + 1s;  // for those who ask while this one looks
  }
  HttpFound found = co_await open(path);
  if (found.file == nullptr) {
    kept_.erase(path);
  } else {
    std::erase_if(kept_, [now](const auto& each) { return each.second.until <= now; });
    if (kept_.size() >= most_kept) kept_.clear();
    kept_[path] = {found.file, now + 1s};
  }
  co_return found;
}

heddle::Task<HttpFound> HttpFiles::open(std::string path) const {
  if (root_.empty()) co_return HttpFound(404, nullptr);
  std::string name = root_ + path;
  if (path.ends_with('/')) name += "index.html";
  auto found = std::make_shared<HttpFile>();
  try {
    found->file = co_await heddle::File::open(name);
    struct stat about = {};
    if (::fstat(found->file.fileno(), &about) != 0) co_return HttpFound(404, nullptr);
    if (S_ISDIR(about.st_mode)) co_return HttpFound(path.ends_with('/') ? 404 : 301, nullptr);
    if (!S_ISREG(about.st_mode)) co_return HttpFound(403, nullptr);
    found->size = static_cast<std::uint64_t>(about.st_size);
    found->modified = about.st_mtime;
    if (found->size <= most_content) {
      const auto bytes = std::make_unique_for_overwrite<char[]>(found->size);
      found->size = co_await found->file.read_at(std::span(bytes.get(), found->size), 0);
      found->content.assign(bytes.get(), found->size);
      found->file = heddle::File();
    }
  } catch (const std::system_error& error) {
    const int code = error.code().value();
    co_return HttpFound(code == EACCES || code == EPERM                      ? 403
                        : code == EMFILE || code == ENFILE || code == ENOMEM ? 503
                                                                             : 404,
                        nullptr);
  }
  describe(*found, name);
  co_return HttpFound(200, std::move(found));
}

std::string http_date(std::time_t time) {
  std::tm parts = {};
  ::gmtime_r(&time, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

std::time_t parse_http_date(const std::string& text) {
  std::tm parts = {};
  const char* const rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return rest != nullptr && *rest == '\0' ? ::timegm(&parts) : -1;
}
