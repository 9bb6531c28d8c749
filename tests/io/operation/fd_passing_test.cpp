// Passing descriptors over Unix sockets: they arrive, they work, and none leaks.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/fd_passing.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

struct Parcel {
  std::string text;
  std::vector<Fd> fds;
  bool lost = false;
  bool truncated = false;
};

template <class Socket>
Task<Parcel> receive(Socket& socket, std::size_t bytes, std::size_t room) {
  Parcel parcel;
  parcel.text.resize(bytes);
  parcel.fds.resize(room);
  const ReceivedWithFds got = co_await socket.receive_with_fds(std::span(parcel.text), parcel.fds);
  parcel.text.resize(got.size);
  parcel.fds.resize(got.fds);
  parcel.lost = got.fds_lost;
  parcel.truncated = got.truncated;
  co_return parcel;
}

// So many descriptors of pipes, and what reads from the first.
struct Pipes {
  explicit Pipes(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Pair pair = Pair::pipe();
      numbers.push_back(pair.b.fileno());
      readers.push_back(std::move(pair.a));
      writers.push_back(std::move(pair.b));
    }
  }
  std::vector<int> numbers;
  std::vector<File> readers;
  std::vector<File> writers;
};

// While it lives, the process can't open more than `more` descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(int more) {
    must(::getrlimit(RLIMIT_NOFILE, &before_));
    rlimit limit = before_;
    const File next(::dup(0));
    limit.rlim_cur = static_cast<rlim_t>(next.fileno() + more);
    must(::setrlimit(RLIMIT_NOFILE, &limit));
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

ON_SELECTORS("descriptors go over a Unix socket with some bytes, and work at the other end") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto waiting = spawn(receive(b, 100, 4));
    co_await sleep(1ms);
    Pipes pipes(3);
    co_await a.send_with_fds("three", pipes.numbers);
    for (File& file : pipes.writers) file.close();
    Parcel parcel = co_await timeout(5s, waiting);
    CHECK(parcel.text == "three");
    CHECK_FALSE(parcel.lost);
    REQUIRE(parcel.fds.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK((::fcntl(parcel.fds[i].fileno(), F_GETFD) & FD_CLOEXEC) != 0);
      CHECK(::write(parcel.fds[i].fileno(), "x", 1) == 1);
      CHECK(pipes.readers[i].read() == "x");
    }
    parcel.fds.clear();
    for (const File& file : pipes.readers) CHECK(file.at_end());
    // Bytes alone still arrive.
    co_await b.write_all("none");
    parcel = co_await timeout(5s, receive(a, 100, 4));
    CHECK(parcel.text == "none");
    CHECK(parcel.fds.empty());
    b.close();
    parcel = co_await timeout(5s, receive(a, 100, 4));
    CHECK(parcel.text.empty());
  });
}

ON_SELECTORS(
    "a descriptor comes with the bytes that it was sent with, behind those that were written before") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    auto waiting = spawn(receive(b, 1, 4));
    co_await sleep(1ms);
    const Pipes pipes(3);
    co_await a.write_all("-");
    co_await waiting;
    for (const int number : pipes.numbers) {
      for (int i = 0; i < 50; ++i) co_await a.write_all("before ");
      co_await a.send_with_fds("with ", std::span(&number, 1));
      co_await a.write_all("behind ");
    }
    a.shutdown_write();
    std::string expected;
    std::vector<std::size_t> sent_with;
    for (std::size_t i = 0; i < pipes.numbers.size(); ++i) {
      for (int j = 0; j < 50; ++j) expected += "before ";
      sent_with.push_back(expected.size());
      expected += "with behind ";
    }
    std::string text;
    std::size_t come = 0;
    for (;;) {
      const Parcel parcel = co_await timeout(5s, receive(b, 16, 4));
      if (parcel.text.empty()) break;
      const std::size_t begin = text.size();
      text += parcel.text;
      come += parcel.fds.size();
      const auto passed = static_cast<std::size_t>(std::count_if(
          sent_with.begin(), sent_with.end(), [&](std::size_t place) { return place < text.size(); }));
      CHECK(come == passed);
      CHECK((parcel.fds.empty() || sent_with[come - 1] >= begin));
    }
    CHECK(text == expected);
  });
}

ON_SELECTORS("descriptors for which there is no room are closed, and that is told") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const int before = open_descriptors();
    for (const std::size_t room : {0UL, 1UL, 2UL}) {
      Pipes pipes(3);
      co_await a.send_with_fds("x", pipes.numbers);
      for (File& file : pipes.writers) file.close();
      Parcel parcel = co_await timeout(5s, receive(b, 100, room));
      CHECK(parcel.text == "x");
      CHECK(parcel.fds.size() == room);
      CHECK(parcel.lost);
      for (std::size_t i = room; i < 3; ++i) CHECK(pipes.readers[i].at_end());
    }
    CHECK(open_descriptors() <= before);
  });
}

ON_SELECTORS("as many descriptors as the kernel takes are sent at once, and no more") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const std::vector<int> most(SendFdsOperation::most_fds, 0);
    co_await a.send_with_fds("x", most);
    const Parcel parcel = co_await timeout(5s, receive(b, 10, most.size()));
    CHECK(parcel.fds.size() == most.size());
    CHECK_FALSE(parcel.lost);
    const std::vector<int> too_many(SendFdsOperation::most_fds + 1, 0);
    CHECK_THAT(thrown<ValueError>([&] { static_cast<void>(a.send_with_fds("x", too_many)); }),
               Catch::Matchers::Contains("253"));
    CHECK_THROWS_AS(a.send_with_fds("", most), ValueError);
    const std::array<int, 1> bad{-1};
    const std::error_code code = co_await error_of(a.send_with_fds("x", bad));
    CHECK(code == std::errc::bad_file_descriptor);
  });
}

ON_SELECTORS("descriptors that the process has no room for are lost without a leak, and that is told") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const int before = open_descriptors();
    {
      Pipes pipes(4);
      co_await a.send_with_fds("x", pipes.numbers);
      for (File& file : pipes.writers) file.close();
      Parcel parcel;
      parcel.text.resize(10);
      parcel.fds.resize(4);
      ReceivedWithFds got;
      {
        const FewDescriptors few(0);
        got = co_await b.receive_with_fds(std::span(parcel.text), parcel.fds);
      }
      CHECK(got.size == 1);
      CHECK(got.fds < 4);
      CHECK(got.fds_lost);
    }
    CHECK(open_descriptors() <= before);
  });
}

ON_SELECTORS("read_some drops descriptors that nobody asked for") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const int before = open_descriptors();
    Pipes pipes(1);
    co_await a.send_with_fds("x", pipes.numbers);
    pipes.writers.clear();
    const std::string got = co_await timeout(5s, read_some(b));
    CHECK(got == "x");
    CHECK(pipes.readers[0].at_end());
    CHECK(open_descriptors() <= before + 1);
  });
}

ON_SELECTORS("megabytes that are sent with a descriptor arrive whole, the descriptor once") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = socket_pair();
    const std::string bytes = pattern(2'000'003);
    auto sends = [](UnixStream& stream, const std::string& text) -> Task<void> {
      const std::array<int, 1> fds{0};
      co_await stream.send_with_fds(text, fds);
    };
    auto sender = spawn(sends(a, bytes));
    std::string all;
    std::size_t fds = 0;
    while (all.size() < bytes.size()) {
      const Parcel parcel = co_await timeout(5s, receive(b, 100'000, 4));
      all += parcel.text;
      fds += parcel.fds.size();
    }
    co_await sender;
    const bool same = all == bytes;
    CHECK(same);
    CHECK(fds == 1);
  });
}

ON_SELECTORS("descriptors go with a datagram, also with an empty one") {
  run_on(selector, []() -> Task<void> {
    auto [a, b] = datagram_pair();
    const std::array<int, 2> fds{0, 1};
    co_await a.send_with_fds("", fds);
    co_await a.send_with_fds("more than fits", fds);
    Parcel parcel = co_await timeout(5s, receive(b, 4, 2));
    CHECK(parcel.text.empty());
    CHECK(parcel.fds.size() == 2);
    CHECK_FALSE(parcel.truncated);
    parcel = co_await timeout(5s, receive(b, 4, 2));
    CHECK(parcel.text == "more");
    CHECK(parcel.fds.size() == 2);
    CHECK(parcel.truncated);
  });
}

ON_SELECTORS("passing descriptors is interrupted by signals without harm, and fails by name") {
  FaultySystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        auto [a, b] = socket_pair();
        const std::array<int, 1> fds{0};
        for (const int error : {EINTR, ENOBUFS}) {
          system.fail(Call::SENDMSG, 0, error);
          std::string message;
          const std::error_code code = co_await error_of(a.send_with_fds("x", fds), &message);
          CHECK(code.value() == (error == EINTR ? 0 : error));
          if (error != EINTR) CHECK_THAT(message, Catch::Matchers::StartsWith("sendmsg on fd "));
        }
        system.fail(Call::RECVMSG, 0, EINTR);
        const Parcel parcel = co_await timeout(5s, receive(b, 10, 1));
        CHECK(parcel.fds.size() == 1);
        system.fail(Call::RECVMSG, 0, ENOMEM);
        const std::error_code code = co_await error_of(receive(b, 10, 1));
        CHECK(code == std::errc::not_enough_memory);
      },
      &system);
}

ON_SELECTORS("cancelled at every suspension, passing descriptors leaks none") {
  FaultySystem system;
  const std::string bytes = pattern(700'000);
  const CancelCount count = cancel_at_every_suspension(
      loop_options(selector, &system), Canceller::CALLBACK,
      [&]() -> Task<void> {
        auto [a, b] = socket_pair();
        auto sends = [](UnixStream& stream, const std::string& text) -> Task<void> {
          const std::array<int, 2> fds{0, 1};
          co_await stream.send_with_fds(text, fds);
          stream.shutdown(Shutdown::WRITE);
        };
        auto receives = [](UnixStream& stream) -> Task<std::size_t> {
          std::size_t total = 0;
          for (;;) {
            const Parcel parcel = co_await receive(stream, 50'000, 1);
            if (parcel.text.empty()) co_return total;
            total += parcel.text.size();
          }
        };
        auto results = co_await gather(sends(a, bytes), receives(b));
        CHECK(std::get<1>(results) == bytes.size());
      },
      [&] { return calls_of(system); }, [](bool) {});
  CHECK(count.cancelled >= 2);
}
