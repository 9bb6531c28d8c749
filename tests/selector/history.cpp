// Histories: the world of descriptors, the model of each selector, and the comparison.
// SPDX-License-Identifier: MIT
#include "history.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <system_error>
#include <utility>

#include "files.hpp"
#include "subjects.hpp"

namespace heddle::test {
namespace {

constexpr std::array NUMBERS{100, 101, 102, 103, 104, 105, 106, 107, 150, 151, 152, 153};
constexpr const char* KINDS[] = {"socketpair", "pipe",     "tcp",  "eventfd",
                                 "timerfd",    "listener", "file", "tcp"};

/// The descriptors, by number, and which open file is behind each: duplicates share one.
class World {
 public:
  World() {
    ::signal(SIGPIPE, SIG_IGN);
    // select(2) passes over numbers beyond the process's descriptor table, which starts small and only grows.
    must(::dup2(STDERR_FILENO, NUMBERS.back() + 1));
    ::close(NUMBERS.back() + 1);
  }
  World(World&&) = delete;
  ~World() {
    for (int number : NUMBERS) {
      if (file(number) != 0) ::close(number);
    }
  }

  /// 0: nothing is open there.
  [[nodiscard]] int file(int number) const {
    const auto found = files_.find(number);
    return found == files_.end() ? 0 : found->second;
  }
  [[nodiscard]] bool alive(int file) const {
    for (const auto& [number, one] : files_) {
      if (one == file) return true;
    }
    return false;
  }
  [[nodiscard]] bool regular(int number) const { return regular_.contains(file(number)); }

  void open(int slot, const std::string& kind) {
    const int a = 100 + 2 * slot;
    close(a);
    close(a + 1);
    if (kind == "socketpair" || kind == "tcp" || kind == "pipe") {
      Pair pair = kind == "pipe" ? Pair::pipe() : kind == "tcp" ? Pair::tcp() : Pair::sockets();
      place(pair.a, a);
      place(pair.b, a + 1);
    } else if (kind == "eventfd") {
      place(File(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), a);
    } else if (kind == "timerfd") {
      place(File(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)), a);
    } else if (kind == "listener") {
      sockaddr_in address;
      place(listener(address), a);
    } else {
      char name[] = "/tmp/heddle-test-XXXXXX";
      const File made(::mkstemp(name));
      ::unlink(name);
      place(made, a);
      regular_.insert(file(a));
    }
    kinds_[file(a)] = kinds_[file(a + 1)] = kind;
  }
  void close(int number) {
    if (file(number) == 0) return;
    ::close(number);
    files_.erase(number);
  }
  void duplicate(int number, int onto) {
    if (file(number) == 0 || number == onto) return;
    must(::dup3(number, onto, O_CLOEXEC));
    files_[onto] = file(number);
  }
  void write(int number) const {
    if (file(number) == 0) return;
    const std::uint64_t one = 1;
    (void)!::write(number, &one, kind(number) == "eventfd" ? sizeof one : 1);
  }
  void read(int number) const {
    if (file(number) == 0) return;
    std::array<char, 65536> bytes;
    if (kind(number) == "listener") {
      const int accepted = ::accept4(number, nullptr, nullptr, SOCK_CLOEXEC);
      if (accepted >= 0) ::close(accepted);
      return;
    }
    while (::read(number, bytes.data(), bytes.size()) > 0) {
    }
  }
  void fill(int number) const {
    // Room in a TCP connection comes back in its own time; regular files have no end.
    if (file(number) == 0 || kind(number) == "tcp" || kind(number) == "file") return;
    const std::uint64_t most = ~std::uint64_t{0} - 1;
    const std::array<char, 65536> bytes{};
    if (kind(number) == "eventfd") {
      (void)!::write(number, &most, sizeof most);
      return;
    }
    while (::write(number, bytes.data(), bytes.size()) > 0) {
    }
    while (::write(number, bytes.data(), 1) > 0) {
    }
  }
  void half_close(int number) const {
    if (file(number) != 0) ::shutdown(number, SHUT_WR);
  }
  void reset(int number) {
    if (file(number) == 0) return;
    const linger hard{1, 0};
    ::setsockopt(number, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(number);
  }
  /// A timer expires, a listener gets a client (its neighbour in the slot); nothing else has a poke.
  void poke(int number) {
    if (file(number) == 0) return;
    if (kind(number) == "timerfd") {
      const itimerspec at_once{{0, 0}, {0, 1}};
      ::timerfd_settime(number, 0, &at_once, nullptr);
      pollfd expired{number, POLLIN, 0};
      ::poll(&expired, 1, 1000);
    } else if (kind(number) == "listener" && number < 150 && number % 2 == 0) {
      sockaddr_in address;
      socklen_t size = sizeof address;
      ::getsockname(number, reinterpret_cast<sockaddr*>(&address), &size);
      const File client(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      (void)::connect(client.fileno(), reinterpret_cast<sockaddr*>(&address), sizeof address);
      close(number + 1);
      place(client, number + 1);
      kinds_[file(number + 1)] = "tcp";
    }
  }

  /// What poll(2) says of each number.
  [[nodiscard]] std::map<int, int> truth() const {
    std::array<pollfd, NUMBERS.size()> polled;
    for (std::size_t i = 0; i < NUMBERS.size(); ++i) polled[i] = {NUMBERS[i], POLLIN | POLLOUT, 0};
    ::poll(polled.data(), polled.size(), 0);
    std::map<int, int> result;
    for (const pollfd& one : polled) result[one.fd] = one.revents;
    return result;
  }

 private:
  [[nodiscard]] const std::string& kind(int number) const { return kinds_.at(file(number)); }
  void place(const File& made, int number) {
    must(::dup3(made.fileno(), number, O_CLOEXEC));
    files_[number] = ++last_file_;
  }

  std::map<int, int> files_;
  std::map<int, std::string> kinds_;
  std::set<int> regular_;
  int last_file_ = 0;
};

struct Registration {
  EventMask events;
  int data;
  int file;
  bool orphan = false;  // its descriptor was closed meanwhile
};

/// A selector, and what it should have in its table.
struct Contestant {
  explicit Contestant(const Subject& which)
      : subject(&which),
        selector(which.make()),
        by_number(which.kind == "select" || which.kind == "poll" || which.kind == "devpoll") {}

  const Subject* subject;
  std::unique_ptr<BaseSelector> selector;
  bool by_number;  // the kernel sees whatever file has the number now
  std::map<int, Registration> model;
  std::set<std::pair<int, int>> ghosts;  // number and file that the kernel may still know though unregistered
};

template <class Call>
std::string result_of(Call&& call) {
  try {
    return call();
  } catch (const ValueError&) {
    return "ValueError";
  } catch (const KeyError&) {
    return "KeyError";
  } catch (const std::system_error& error) {
    return "OSError " + std::to_string(error.code().value());
  }
}

bool in_python(const Subject& subject) {
  return subject.name == "select" || subject.name == "poll" || subject.name == "epoll";
}

EventMask mask_of(std::uint8_t byte) {
  static constexpr int MASKS[] = {1, 2, 3, 1, 2, 3, 1, 3, 1, 2, 3, 1, 2, 0, 4, -1};
  return EventMask(MASKS[byte % 16]);
}

class Player {
 public:
  explicit Player(Who who) {
    for (const Subject& subject : subjects()) {
      if (who == Who::EVERY || in_python(subject)) contestants_.emplace_back(subject);
    }
  }

  Outcome play(std::span<const std::uint8_t> history) {
    for (std::size_t i = 0; i + 2 < history.size() && outcome_.failure.empty(); i += 3) {
      step(history[i] % 29, history[i + 1], history[i + 2]);
      if (outcome_.failure.empty() && history[i + 2] / 16 % 4 != 0) compare();
    }
    return std::move(outcome_);
  }

 private:
  void step(int what, std::uint8_t where, std::uint8_t how) {
    const int number = NUMBERS[where % NUMBERS.size()];
    ++time_;
    if (what < 4) {
      const int slot = where % 4;
      const char* kind = KINDS[how % 8];
      say("open " + std::to_string(slot) + " " + kind);
      world_.open(slot, kind);
    } else if (what < 11) {
      register_(number, mask_of(how));
    } else if (what < 14) {
      modify(number, mask_of(how));
    } else if (what < 16) {
      unregister(number);
    } else if (what < 19) {
      act("write", number, &World::write);
    } else if (what < 21) {
      act("read", number, &World::read);
    } else if (what < 22) {
      act("fill", number, &World::fill);
    } else if (what < 24) {
      act("close", number, &World::close);
    } else if (what < 25) {
      act("halfclose", number, &World::half_close);
    } else if (what < 26) {
      act("reset", number, &World::reset);
    } else if (what < 28) {
      const int onto = NUMBERS[how % NUMBERS.size()];
      say("dup " + std::to_string(number) + " " + std::to_string(onto));
      world_.duplicate(number, onto);
    } else {
      act("poke", number, &World::poke);
    }
    for (Contestant& one : contestants_) {
      for (auto& [fd, registration] : one.model) {
        registration.orphan = registration.orphan || world_.file(fd) != registration.file;
      }
      std::erase_if(one.ghosts, [this](const auto& ghost) { return !world_.alive(ghost.second); });
    }
  }

  template <class Action>
  void act(const char* name, int number, Action action) {
    say(std::string(name) + " " + std::to_string(number));
    (world_.*action)(number);
  }

  void register_(int number, EventMask events) {
    say("register " + std::to_string(number) + " " + std::to_string(events.bits()) + " " +
        std::to_string(time_));
    for (Contestant& one : contestants_) {
      const bool present = one.model.contains(number);
      std::string expected = "ok";
      if (!events.valid()) {
        expected = "ValueError";
      } else if (present) {
        expected = "KeyError";
      } else if (world_.file(number) == 0 && !one.by_number) {
        expected = "OSError 9";
      } else if (one.subject->kind == "epoll" && world_.regular(number)) {
        expected = "OSError 1";
      }
      const std::string got = result_of([&]() -> std::string {
        const SelectorKey key = one.selector->register_(number, events, time_);
        return key == SelectorKey{number, number, events, time_} ? "ok" : "another key";
      });
      check(one, got, expected);
      if (got == "ok") one.model[number] = {events, time_, world_.file(number), world_.file(number) == 0};
      note(one, got);
    }
  }

  void modify(int number, EventMask events) {
    say("modify " + std::to_string(number) + " " + std::to_string(events.bits()) + " " +
        std::to_string(time_));
    for (Contestant& one : contestants_) {
      const auto known = one.model.find(number);
      std::string expected = "ok";
      if (!events.valid()) {
        expected = "ValueError";
      } else if (known == one.model.end()) {
        expected = "KeyError";
      }
      const bool foggy =
          expected == "ok" && known->second.orphan && !one.by_number && known->second.events != events;
      const std::string got = result_of([&]() -> std::string {
        const SelectorKey key = one.selector->modify(number, events, time_);
        return key == SelectorKey{number, number, events, time_} ? "ok" : "another key";
      });
      // What the kernel says of a descriptor that was closed meanwhile is its own affair, if it is about
      // that.
      const bool refused = got == "OSError 9" || got == "OSError 2" || got == "OSError 1";
      if (!foggy || !refused) check(one, got, expected);
      if (got == "ok") {
        known->second.events = events;
        known->second.data = time_;
      } else if (foggy) {
        haunt(one, number);
        one.model.erase(known);
      }
      note(one, got, foggy);
    }
  }

  void unregister(int number) {
    say("unregister " + std::to_string(number));
    for (Contestant& one : contestants_) {
      const bool present = one.model.contains(number);
      const std::string got = result_of([&] {
        one.selector->unregister(number);
        return "ok";
      });
      check(one, got, present ? "ok" : "KeyError");
      if (present) {
        haunt(one, number);
        one.model.erase(number);
      }
      note(one, got);
    }
  }

  // A file that is unregistered after its number was closed stays in epoll as long as a duplicate lives.
  void haunt(Contestant& one, int number) {
    const Registration& registration = one.model.at(number);
    if (registration.orphan) one.ghosts.emplace(number, registration.file);
  }

  // What poll(2) says is turned into what each selector must say. If that changed meanwhile (TCP), it is
  // asked again.
  void compare() {
    say("select");
    for (int attempt = 0;; ++attempt) {
      const std::map<int, int> before = world_.truth();
      std::vector<std::pair<std::string, std::string>> answers;
      for (Contestant& one : contestants_) answers.push_back(ask(one, before));
      if (world_.truth() != before && attempt < 100) {
        ::usleep(500);
        continue;
      }
      for (std::size_t i = 0; i < answers.size(); ++i) {
        Contestant& one = contestants_[i];
        check(one, answers[i].first, answers[i].second);
        note(one, answers[i].first);
        check_map(one);
      }
      return;
    }
  }

  static EventMask fired(const Contestant& one, int revents) {
    const bool select = one.subject->kind == "select";
    EventMask events;
    if ((revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) events |= EVENT_READ;
    if ((revents & (POLLOUT | (select ? 0 : POLLHUP) | POLLERR | POLLNVAL)) != 0) events |= EVENT_WRITE;
    return events;
  }

  // What the selector reports, and what it should: "100:1 103:3". What is in a fog is left out of both.
  std::pair<std::string, std::string> ask(Contestant& one, const std::map<int, int>& truth) {
    std::set<int> fog;
    std::string expected;
    for (const auto& [number, registration] : one.model) {
      if (world_.file(number) == 0 && one.subject->kind == "select") {
        return {result_of([&] {
                  one.selector->select(std::chrono::nanoseconds(0));
                  return std::string("no error");
                }),
                "OSError 9"};
      }
      if (!one.by_number &&
          (registration.orphan || (one.subject->kind == "kqueue" && world_.regular(number)))) {
        fog.insert(number);
        continue;
      }
      const EventMask events = fired(one, truth.at(number)) & registration.events;
      if (events) expected += std::to_string(number) + ":" + std::to_string(events.bits()) + " ";
    }
    const std::string got = result_of([&] {
      std::map<int, int> reported;
      std::string bad;
      for (const auto& [key, events] : one.selector->select(std::chrono::nanoseconds(0))) {
        const auto known = one.model.find(key.fd);
        if (known == one.model.end()) {
          bad += "unregistered " + std::to_string(key.fd) + " ";
        } else if (key != SelectorKey{key.fd, key.fd, known->second.events, known->second.data}) {
          bad += "outdated " + to_string(key) + " ";
        } else if (!events || !key.events.contains(events)) {
          bad += "events " + to_string(events) + " of " + to_string(key) + " ";
        } else if (!reported.emplace(key.fd, events.bits()).second) {
          bad += "twice " + std::to_string(key.fd) + " ";
        }
      }
      std::string text = bad;
      for (const auto& [fd, events] : reported) {
        if (!fog.contains(fd)) text += std::to_string(fd) + ":" + std::to_string(events) + " ";
      }
      return text;
    });
    return {got, expected};
  }

  void check_map(Contestant& one) {
    const SelectorMap map = one.selector->get_map();
    std::string got;
    std::string expected;
    for (const SelectorKey& key : map) got += to_string(key) + " ";
    for (const auto& [number, registration] : one.model) {
      expected += to_string(SelectorKey{number, number, registration.events, registration.data}) + " ";
    }
    check(one, std::to_string(map.size()) + " " + got, std::to_string(one.model.size()) + " " + expected);
  }

  void check(const Contestant& one, const std::string& got, const std::string& expected) {
    if (got == expected || !outcome_.failure.empty()) return;
    outcome_.failure =
        one.subject->name + ": " + outcome_.lines.back() + "\n  says:   " + got + "\n  should: " + expected;
  }

  void say(std::string line) { outcome_.lines.push_back(std::move(line)); }

  // "| epoll=..." for those that Python has too; a "?" before what Python's may see otherwise.
  void note(const Contestant& one, const std::string& result, bool foggy = false) {
    if (!in_python(*one.subject)) return;
    std::string fog;
    if (one.subject->kind == "epoll") {
      if (foggy) fog = "?";
      for (const auto& [number, registration] : one.model) {
        if (registration.orphan) fog += "~" + std::to_string(number) + " ";
      }
      for (const auto& [number, file] : one.ghosts) fog += "~" + std::to_string(number) + " ";
    }
    outcome_.lines.back() += " | " + one.subject->name + "=" + fog + result;
  }

  World world_;
  std::vector<Contestant> contestants_;
  Outcome outcome_;
  int time_ = 0;
};

}  // namespace

History make_history(std::uint64_t seed, std::size_t steps) {
  std::mt19937_64 random(seed);
  History history(3 * steps);
  for (std::uint8_t& byte : history) byte = static_cast<std::uint8_t>(random());
  // A world with nothing in it is no fun.
  for (std::size_t slot = 0; slot < 4 && 3 * slot + 2 < history.size(); ++slot) {
    history[3 * slot] = 0;
    history[3 * slot + 1] = static_cast<std::uint8_t>(slot);
  }
  return history;
}

Outcome play(std::span<const std::uint8_t> history, Who who) { return Player(who).play(history); }

std::string in_words(const Outcome& outcome) {
  std::string text;
  for (const std::string& line : outcome.lines) text += "  " + line + "\n";
  return text;
}

}  // namespace heddle::test
