// What a selector's calls cost in CPU time, beside the bare system calls, in one run: a line of JSON each.
// SPDX-License-Identifier: MIT
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>
#include <heddle/selector/mechanisms/make_selector.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#if defined(__GLIBC__)
static std::size_t allocations = 0;
extern "C" void* __libc_malloc(std::size_t);
extern "C" void* __libc_calloc(std::size_t, std::size_t);
extern "C" void* __libc_realloc(void*, std::size_t);
extern "C" void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
extern "C" void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
extern "C" void* realloc(void* block, std::size_t size) {
  ++allocations;
  return __libc_realloc(block, size);
}
#else
static const std::size_t allocations = 0;
#endif

namespace {

using heddle::EVENT_READ;
using heddle::EVENT_WRITE;

/// What a program keeps for a descriptor, and gets back when it is ready.
struct Connection {
  int fd;
  long events = 0;
};

/// Somebody who can be asked to do a thing many times.
class Candidate {
 public:
  virtual ~Candidate() = default;
  virtual void add(Connection& connection) = 0;
  virtual void churn(Connection& connection, int times) = 0;   // register and unregister
  virtual void change(Connection& connection, int times) = 0;  // READ|WRITE and back to READ
  virtual void select(int times) = 0;
};

class Heddle final : public Candidate {
 public:
  explicit Heddle(std::string_view name) : selector_(heddle::make_selector(name)) {}
  void add(Connection& connection) override { selector_->register_(connection.fd, EVENT_READ, &connection); }
  void churn(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      selector_->register_(connection.fd, EVENT_READ, &connection);
      selector_->unregister(connection.fd);
    }
  }
  void change(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      selector_->modify(connection.fd, EVENT_READ | EVENT_WRITE, &connection);
      selector_->modify(connection.fd, EVENT_READ, &connection);
    }
  }
  void select(int times) override {
    for (int i = 0; i < times; ++i) {
      for (const auto& [key, events] : selector_->select())
        key.data.get<Connection*>()->events += events.bits();
    }
  }

 private:
  std::unique_ptr<heddle::BaseSelector> selector_;
};

class BareEpoll final : public Candidate {
 public:
  ~BareEpoll() override { ::close(epoll_); }
  void add(Connection& connection) override {
    control(EPOLL_CTL_ADD, connection, EPOLLIN);
    events_.emplace_back();
  }
  void churn(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      control(EPOLL_CTL_ADD, connection, EPOLLIN);
      control(EPOLL_CTL_DEL, connection, 0);
    }
  }
  void change(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      control(EPOLL_CTL_MOD, connection, EPOLLIN | EPOLLOUT);
      control(EPOLL_CTL_MOD, connection, EPOLLIN);
    }
  }
  void select(int times) override {
    for (int i = 0; i < times; ++i) {
      const int count = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), -1);
      for (int j = 0; j < count; ++j) {
        const epoll_event& event = events_[static_cast<std::size_t>(j)];
        static_cast<Connection*>(event.data.ptr)->events += event.events;
      }
    }
  }

 private:
  void control(int operation, Connection& connection, unsigned events) const {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &connection;
    if (::epoll_ctl(epoll_, operation, connection.fd, &event) != 0) std::abort();
  }

  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<epoll_event> events_;
};

class BarePoll final : public Candidate {
 public:
  void add(Connection& connection) override {
    polled_.push_back({connection.fd, POLLIN, 0});
    connections_.push_back(&connection);
  }
  void churn(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      add(connection);
      asm volatile("" : : "r"(polled_.data()) : "memory");
      polled_.pop_back();
      connections_.pop_back();
    }
  }
  void change(Connection&, int times) override {
    for (int i = 0; i < times; ++i) {
      polled_.back().events = POLLIN | POLLOUT;
      asm volatile("" : : "r"(polled_.data()) : "memory");
      polled_.back().events = POLLIN;
      asm volatile("" : : "r"(polled_.data()) : "memory");
    }
  }
  void select(int times) override {
    for (int i = 0; i < times; ++i) {
      int left = ::poll(polled_.data(), polled_.size(), -1);
      for (std::size_t j = 0; left > 0; ++j) {
        if (polled_[j].revents == 0) continue;
        connections_[j]->events += polled_[j].revents;
        --left;
      }
    }
  }

 private:
  std::vector<pollfd> polled_;
  std::vector<Connection*> connections_;
};

class BareSelect final : public Candidate {
 public:
  BareSelect() { FD_ZERO(&read_); }
  void add(Connection& connection) override {
    FD_SET(connection.fd, &read_);
    by_fd_[connection.fd] = &connection;
    highest_ = std::max(highest_, connection.fd);
  }
  void churn(Connection& connection, int times) override {
    for (int i = 0; i < times; ++i) {
      FD_SET(connection.fd, &read_);
      asm volatile("" : : "r"(&read_) : "memory");
      FD_CLR(connection.fd, &read_);
      asm volatile("" : : "r"(&read_) : "memory");
    }
  }
  void change(Connection& connection, int times) override { churn(connection, times); }
  void select(int times) override {
    for (int i = 0; i < times; ++i) {
      fd_set ready = read_;
      int left = ::select(highest_ + 1, &ready, nullptr, nullptr, nullptr);
      for (int fd = 0; left > 0; ++fd) {
        if (!FD_ISSET(fd, &ready)) continue;
        by_fd_[fd]->events += 1;
        --left;
      }
    }
  }

 private:
  fd_set read_;
  Connection* by_fd_[FD_SETSIZE] = {};
  int highest_ = -1;
};

double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

struct Figure {
  std::string who;
  std::vector<double> ns;
  std::size_t allocations = 0;
};

// `call(candidate, times)` for each candidate in turn, `rounds` times; each turn takes about a millisecond.
template <class Call>
void measure(std::vector<std::pair<std::string, std::unique_ptr<Candidate>>>& candidates,
             const char* operation, std::size_t n, int rounds, Call call) {
  std::vector<Figure> figures;
  std::vector<int> times;
  for (auto& [name, candidate] : candidates) {
    call(*candidate, 3);
    const double start = cpu_ns();
    call(*candidate, 10);
    times.push_back(static_cast<int>(std::clamp(2e6 / ((cpu_ns() - start) / 10 + 1), 3.0, 20'000.0)));
    figures.push_back({name, {}, 0});
  }
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const std::size_t before = allocations;
      const double start = cpu_ns();
      call(*candidates[i].second, times[i]);
      const double spent = cpu_ns() - start;
      figures[i].allocations += allocations - before;
      figures[i].ns.push_back(spent / times[i]);
    }
  }
  for (Figure& figure : figures) {
    std::sort(figure.ns.begin(), figure.ns.end());
    std::printf("{\"who\": \"%s\", \"operation\": \"%s\", \"n\": %zu, \"ns\": %.1f, \"allocations\": %zu}\n",
                figure.who.c_str(), operation, n, figure.ns[figure.ns.size() / 2], figure.allocations);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);

  for (const std::size_t n : {10U, 100U, 1000U, 10'000U}) {
    if (n + 100 > limit.rlim_cur) break;
    std::vector<std::pair<std::string, std::unique_ptr<Candidate>>> candidates;
    candidates.emplace_back("bare epoll", std::make_unique<BareEpoll>());
    candidates.emplace_back("epoll", std::make_unique<Heddle>("epoll"));
    candidates.emplace_back("bare poll", std::make_unique<BarePoll>());
    candidates.emplace_back("poll", std::make_unique<Heddle>("poll"));
    for (std::string_view name : heddle::available_selectors()) {
      if (name == "io_uring" || name == "kqueue")
        candidates.emplace_back(name, std::make_unique<Heddle>(name));
    }
    if (n <= 1000) {
      candidates.emplace_back("bare select", std::make_unique<BareSelect>());
      candidates.emplace_back("select", std::make_unique<Heddle>("select"));
    }

    std::vector<std::unique_ptr<Connection>> connections;
    for (std::size_t i = 0; i <= n; ++i) {
      connections.push_back(
          std::make_unique<Connection>(Connection{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)}));
      if (connections.back()->fd < 0) std::abort();
    }
    Connection& one = *connections.back();
    for (auto& [name, candidate] : candidates) {
      for (std::size_t i = 0; i < n; ++i) candidate->add(*connections[i]);
    }
    measure(candidates, "register and unregister", n, rounds,
            [&](Candidate& candidate, int times) { candidate.churn(one, times); });
    measure(candidates, "modify twice", n, rounds,
            [&](Candidate& candidate, int times) { candidate.change(*connections[n - 1], times); });
    for (const std::size_t ready : {std::size_t{1}, std::size_t{100}, n}) {
      if (ready > n || (ready == n && n == 100)) continue;
      for (std::size_t i = 0; i < ready; ++i) {
        const std::uint64_t value = 1;
        if (::write(connections[i * n / ready]->fd, &value, sizeof value) < 0) std::abort();
      }
      const std::string operation =
          "select, " + (ready == n && n != 100 ? "all" : std::to_string(ready)) + " ready";
      measure(candidates, operation.c_str(), n, rounds,
              [](Candidate& candidate, int times) { candidate.select(times); });
      for (const auto& connection : connections) {
        std::uint64_t value;
        (void)!::read(connection->fd, &value, sizeof value);
      }
    }
    for (const auto& connection : connections) ::close(connection->fd);
  }
}
