// Site: what the connections of the web server have in common, and how all of them are brought to an end.
// SPDX-License-Identifier: MIT
#pragma once

#include <ctime>
#include <heddle/io/net/tcp.hpp>
#include <set>
#include <string>
#include <utility>

#include "http_files.hpp"

class Visit;

struct Site {
  Site(std::string root, heddle::Duration its_patience) : files(std::move(root)), patience(its_patience) {}

  /// From now on each request is the last of its connection; those that are idle end at once.
  inline void close();
  /// Of the answers.
  const std::string& date() {
    if (const std::time_t now = std::time(nullptr); now != now_) date_ = http_date(now_ = now);
    return date_;
  }

  HttpFiles files;
  heddle::Duration patience;  // with who is silent, or doesn't come to the end of a request
  std::set<Visit*> visits;
  bool closing = false;

 private:
  std::time_t now_ = 0;
  std::string date_;
};

/// A connection, while it lives.
class Visit {
 public:
  Visit(Site& site, heddle::TcpStream& socket) : site_(site), socket_(socket) {
    site.visits.insert(this);
    if (site.closing) end();
  }
  Visit(const Visit&) = delete;
  ~Visit() { site_.visits.erase(this); }

  Site& site() const noexcept { return site_; }
  /// It reads to its end, as if the client had gone.
  void end() { socket_.shutdown(heddle::Shutdown::READ); }

  bool idle = true;  // between two requests

 private:
  Site& site_;
  heddle::TcpStream& socket_;
};

void Site::close() {
  closing = true;
  for (Visit* const visit : visits)
    if (visit->idle) visit->end();
}
