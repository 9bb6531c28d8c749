// The child of a fork() with what io has: listeners, paths, child processes, names. Nothing of it is taken
// from the parent, and all of it can be used anew.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>
#include <sys/stat.h>

#include <string>
#include <thread>

#include "../../../io/address/resolver.hpp"
#include "../../../io/net/tcp.hpp"
#include "../../../io/net/unix.hpp"
#include "../../../io/process/process.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../support/forked.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

#ifndef __SANITIZE_THREAD__  // which allows no threads in the child of a process that had some

namespace {

void connect_to(const Address& address) {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(s, address.data(), address.length()) == 0) {
    char byte;
    (void)!::recv(s, &byte, 1, 0);  // until it is closed
  }
  ::close(s);
}

Task<bool> accepts(TcpListener& listener) {
  std::thread client(connect_to, listener.local_address());
  bool accepted = true;
  try {
    auto accept = [](TcpListener& from) -> Task<TcpStream> { co_return co_await from.accept(); };
    const TcpStream stream = co_await timeout(5s, accept(listener));
  } catch (const TimeoutError&) {
    ::shutdown(listener.fileno(), SHUT_RDWR);  // the client ends, too
    accepted = false;
  }
  client.join();
  co_return accepted;
}

}  // namespace

ON_SELECTORS("a server goes on to accept after its children have closed their copies of the listener") {
  run_on(selector, []() -> Task<void> {
    auto listener = TcpListener::bind(Address("127.0.0.1", 0));
    for (int round = 0; round < 3; ++round) {
      const bool accepted = co_await accepts(listener);
      CHECK(accepted);
      const int end = end_of_child([&] {
        listener.close();
        return 0;
      });
      CHECK(end == 0);
    }
  });
}

ON_SELECTORS("children of a server accept on a loop of their own, and the parent does after them") {
  run_on(selector, [selector]() -> Task<void> {
    auto listener = TcpListener::bind(Address("127.0.0.1", 0));
    const bool before = co_await accepts(listener);
    CHECK(before);
    std::thread client(connect_to, listener.local_address());
    const ::pid_t child = ::fork();
    if (child == 0) {
      int status = 1;
      try {
        ::alarm(10);
        EventLoop::running().set_selector(selector);
        const TcpStream stream = co_await listener.accept();
        status = 0;
      } catch (...) {
      }
      ::_exit(status);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    client.join();
    const bool after = co_await accepts(listener);
    CHECK(after);
  });
}

TEST_CASE("a Unix socket's path stays the parent's when a child closes its copy") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("socket");
  run_here([&]() -> Task<void> {
    auto listener = UnixListener::bind(UnixAddress(path));
    const int end = end_of_child([&] {
      listener.close();
      return 0;
    });
    CHECK(end == 0);
    struct stat file{};
    CHECK(::lstat(path.c_str(), &file) == 0);
    listener.close();
    CHECK(::lstat(path.c_str(), &file) != 0);
    co_return;
  });
}

TEST_CASE("a forked child can't kill its siblings by the handles it has inherited, and reaps its own") {
  run_here([]() -> Task<void> {
    auto sibling = Process::spawn(Command("sleep", "30"));
    {
      auto dropped = Process::spawn(Command("sleep", "0.2"));
    }  // the reaper's thread has something to do
    const int end = end_of_child([&] {
      sibling.kill(SIGKILL);
      {
        const Process gone = std::move(sibling);
      }
      int code = -1;
      std::thread other([&] {  // on this one the parent's loop runs
        run_here([&]() -> Task<void> {
          auto own = Process::spawn(Command("sh", "-c", "exit 7"));
          const ExitStatus status = co_await own.wait();
          code = status.code;
          auto left = Process::spawn(Command("true"));
        });
      });
      other.join();
      return code;
    });
    CHECK(end == 7);
    co_await sleep(10ms);
    CHECK_FALSE(sibling.poll().has_value());
    sibling.kill(SIGKILL);
    co_await sibling.wait();
  });
}

TEST_CASE("names are resolved and files read in a child whose parent has done so") {
  run_here([]() -> Task<void> { co_await resolve("localhost", 80); });
  CHECK(end_of_child([] {
          std::size_t found = 0;
          run_here([&]() -> Task<void> {
            const auto addresses = co_await resolve("localhost", 80);
            found = addresses.size();
          });
          return found > 0 ? 0 : 1;
        }) == 0);
}

#endif
