// TlsStream::send_file: files over TLS, whatever happens in the middle of them.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>

#include "../../../io/tls/tls_engine.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../temporary.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

constexpr std::size_t piece = std::size_t{7} * 16384;  // what is read, encrypted and sent at once

Fd open_file(const TemporaryDirectory& directory, const char* name) {
  return Fd(must(::open(directory.path(name).c_str(), O_RDONLY | O_CLOEXEC)));
}

template <class S>
Task<std::uint64_t> send_and_end(BasicTlsStream<S>& stream, const Fd& file, std::uint64_t offset,
                                 std::uint64_t count, std::string_view head = {}) {
  const std::uint64_t sent = co_await stream.send_file(file, offset, count, head);
  co_await stream.shutdown_write();
  co_return sent;
}

/// What becomes of the n-th read of a file; its reads and sends are counted.
class FileSystem : public KernelSystem {
 public:
  std::atomic<int> reads = 0;  // they are made by threads
  std::atomic<int> at = -1;
  bool on_disk = true;  // and so is read by a thread
  int nows = 0;
  int error = 0;      // with it the read `at` fails
  int shortened = 0;  // to it the file is truncated before the read `at`
  int sends = 0;
  std::size_t most = SIZE_MAX;  // that a send takes

  std::ptrdiff_t pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept override {
    if (reads++ == at) {
      if (error != 0) return -error;
      size = static_cast<std::size_t>(
          std::clamp<std::int64_t>(shortened - offset, 0, static_cast<std::int64_t>(size)));
    } else if (at >= 0 && reads > at && error == 0) {
      return 0;
    }
    return KernelSystem::pread(fd, data, size, offset);
  }
  std::ptrdiff_t pread_now(int fd, void* data, std::size_t size, std::int64_t offset) noexcept override {
    if (on_disk) return -EAGAIN;
    ++nows;
    return KernelSystem::pread_now(fd, data, size, offset);
  }
  std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override {
    ++sends;
    return KernelSystem::send(fd, data, std::min(size, most), flags);
  }
};

}  // namespace

ON_SELECTORS("a file is sent over TLS whole, in part, or as far as it goes, and behind its head") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(3 * piece + 1'000);
  directory.write("f", bytes);
  run_on(selector, [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    struct Part {
      std::uint64_t offset, count, sent;
      std::string head;
    };
    const std::uint64_t all = bytes.size();
    for (const Part& part : {Part{0, all, all, ""}, Part{0, ~0ULL, all, "head"},
                             Part{1, piece, piece, "head"}, Part{0, 2 * piece, 2 * piece, ""},
                             Part{5, piece + 1, piece + 1, ""}, Part{1'000, 2 * piece, 2 * piece, ""},
                             Part{1'000, ~0ULL, 3 * piece, pattern(200'000)}, Part{all - 4, 100, 4, "head"},
                             Part{all + 9, 5, 0, "head"}, Part{7, 0, 0, "head"}, Part{7, 0, 0, ""}}) {
      auto pair = co_await tls_pair();
      auto results =
          co_await timeout(20s, gather(send_and_end(pair.client, file, part.offset, part.count, part.head),
                                       read_rest(pair.server)));
      INFO(part.offset << ", " << part.count);
      CHECK(std::get<0>(results) == part.sent);
      std::string expected = part.head;
      if (part.sent > 0) expected.append(bytes, part.offset, part.sent);
      const bool same = std::get<1>(results) == expected;
      CHECK(same);
    }
    CHECK(::lseek(file.fileno(), 0, SEEK_CUR) == 0);
  });
}

ON_SELECTORS("several records leave TLS by one send, and a file with its head") {
  const TemporaryDirectory directory;
  directory.write("f", pattern(100'000));
  FileSystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        const Fd file = open_file(directory, "f");
        auto pair = co_await tls_pair();
        pair.client.transport().set_send_buffer(1'000'000);
        const auto greeting = [&]() -> Task<void> { co_await pair.client.write_all("hello"); };
        co_await gather(greeting(), read_once(pair.server));
        system.sends = 0;
        auto results = co_await timeout(
            20s, gather(pair.client.send_file(file, 0, 100'000, "head"), read_once(pair.server, 100'004)));
        CHECK(std::get<0>(results) == 100'000);
        CHECK(system.sends == 1);
        CHECK(system.reads == 1);
      },
      &system);
}

ON_SELECTORS("over TLS, what else is written waits until a file is sent, to a peer that is slow") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(300'003);
  directory.write("f", bytes);
  run_on(selector, [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    auto pair = co_await tls_pair();
    pair.client.transport().set_send_buffer(8'192);
    pair.server.transport().set_receive_buffer(8'192);
    const auto sends = [&]() -> Task<void> { co_await pair.client.send_file(file, 0, bytes.size(), "head"); };
    auto sender = spawn(sends());
    auto writer = spawn(write_and_end(pair.client, "behind", 3));
    co_await sleep(2ms);
    CHECK_FALSE(sender.done());
    // The other direction isn't held up.
    co_await pair.server.write_all("meanwhile");
    const std::string heard = co_await timeout(5s, read_once(pair.client));
    CHECK(heard == "meanwhile");
    const std::string got = co_await timeout(30s, read_rest(pair.server, 10'000));
    const bool in_order = got == "head" + bytes + "behind";
    CHECK(in_order);
    co_await sender;
    co_await writer;
  });
}

TEST_CASE("a file that shrinks while it is sent over TLS ends the sending, and not the connection") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(4 * piece);
  directory.write("f", bytes);
  for (int at = 0; at < 4; ++at)
    for (const int left : {0, 1'000}) {
      FileSystem system;
      system.at = at;
      system.shortened = static_cast<int>(piece) * at + left;
      INFO("at read " << at << " to " << system.shortened << " bytes");
      run_on(
          "default",
          [&]() -> Task<void> {
            const Fd file = open_file(directory, "f");
            auto pair = co_await tls_pair();
            const auto sends = [&]() -> Task<std::uint64_t> {
              const std::uint64_t sent = co_await pair.client.send_file(file, 0, bytes.size(), "head");
              co_await write_and_end(pair.client, "tail", 4);
              co_return sent;
            };
            auto results = co_await timeout(20s, gather(sends(), read_rest(pair.server)));
            const auto sent = static_cast<std::size_t>(std::get<0>(results));
            CHECK(sent == static_cast<std::size_t>(system.shortened));
            const bool same = std::get<1>(results) == "head" + bytes.substr(0, sent) + "tail";
            CHECK(same);
          },
          &system);
    }
}

TEST_CASE("a file that can't be read in the middle fails by name, and TLS goes on behind what was sent") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(4 * piece);
  directory.write("f", bytes);
  for (const int error : {EINTR, EIO})
    for (int at = 0; at < 4; ++at) {
      FileSystem system;
      system.at = at;
      system.error = error;
      INFO("read " << at << " failed with " << error);
      run_on(
          "default",
          [&]() -> Task<void> {
            const Fd file = open_file(directory, "f");
            auto pair = co_await tls_pair();
            auto reader = spawn(read_rest(pair.server));
            const std::string end =
                co_await timeout(20s, end_of(pair.client.send_file(file, 0, bytes.size())));
            co_await write_and_end(pair.client, "tail", 4);
            const std::string got = co_await timeout(20s, reader);
            const std::string rest = got.substr(0, got.size() - 4);
            const bool begins = bytes.starts_with(rest) && got.ends_with("tail");
            CHECK(begins);
            if (error == EINTR) {
              CHECK(end == "done");
              CHECK(rest.size() == bytes.size());
            } else {
              CHECK(end == "TLS send_file on fd " + std::to_string(file.fileno()) + ": Input/output error");
              CHECK(rest.size() <= static_cast<std::size_t>(at) * piece);
            }
            CHECK(::fcntl(file.fileno(), F_GETFD) >= 0);
          },
          &system);
    }
}

ON_SELECTORS("a file isn't sent over TLS to who has gone, from what isn't one, or on a closed stream") {
  const TemporaryDirectory directory;
  directory.write("f", std::string(8'000'000, 'f'));
  run_on(selector, [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    auto pair = co_await tls_pair();
    std::string end = co_await end_of(pair.client.send_file(-1, 0, 10));
    CHECK(end == "TLS send_file on a closed descriptor: Bad file descriptor");
    const auto sends = [&]() -> Task<std::uint64_t> {
      co_return co_await pair.client.send_file(file, 0, 8'000'000);
    };
    auto sender = spawn(end_of(sends()));
    std::string some = co_await timeout(5s, read_once(pair.server, 1'000));
    CHECK(some == std::string(1'000, 'f'));
    pair.server.transport().abort();
    end = co_await timeout(20s, sender);
    CHECK((end.ends_with("Broken pipe") || end.ends_with("Connection reset by peer")));

    pair = co_await tls_pair();
    sender = spawn(end_of(sends()));
    some = co_await timeout(5s, read_once(pair.server, 1'000));
    pair.client.close();
    end = co_await timeout(20s, sender);
    CHECK(end.ends_with("Operation canceled"));
    end = co_await end_of(pair.client.send_file(file, 0, 10));
    CHECK(end.ends_with("Bad file descriptor"));
    CHECK(::fcntl(file.fileno(), F_GETFD) >= 0);

    pair = co_await tls_pair();
    co_await pair.client.shutdown_write();
    end = co_await end_of(pair.client.send_file(file, 0, 10));
    CHECK(end.ends_with("Broken pipe"));
  });
}

TEST_CASE("a file that is in memory is sent over TLS without a thread") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(3 * piece + 5);
  directory.write("f", bytes);
  for (const bool on_disk : {false, true}) {
    FileSystem system;
    system.on_disk = on_disk;
    run_on(
        "default",
        [&]() -> Task<void> {
          const Fd file = open_file(directory, "f");
          char first = 0;
          CHECK(::pread(file.fileno(), &first, 1, 0) == 1);
          auto pair = co_await tls_pair();
          auto results = co_await timeout(
              20s, gather(send_and_end(pair.client, file, 0, bytes.size()), read_rest(pair.server)));
          CHECK(std::get<0>(results) == bytes.size());
          const bool same = std::get<1>(results) == bytes;
          CHECK(same);
        },
        &system);
    CHECK(system.reads == (on_disk ? 4 : 0));
    CHECK(system.nows == (on_disk ? 0 : 4));
  }
}

TEST_CASE("a file survives TLS over sends that are short by any number of bytes") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(piece + 40'000);
  directory.write("f", bytes);
  for (const std::size_t most : {100UL, 16'406UL, 50'000UL}) {
    FileSystem system;
    system.most = most;
    run_on(
        "poll",
        [&]() -> Task<void> {
          const Fd file = open_file(directory, "f");
          auto pair = co_await tls_pair();
          auto results = co_await timeout(
              20s, gather(send_and_end(pair.client, file, 0, bytes.size(), "head"), read_rest(pair.server)));
          const bool same = std::get<1>(results) == "head" + bytes;
          CHECK(same);
        },
        &system);
  }
}

TEST_CASE("cancelled at each await of a file's sending, or without memory, TLS leaves nothing behind") {
  const TemporaryDirectory directory;
  const std::string bytes = pattern(2 * piece + 10);
  directory.write("f", bytes);
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  const auto session = [&]() -> Task<void> {
    const Fd file = open_file(directory, "f");
    auto pair = co_await tls_memory_pair(client, server, "localhost", 20'000);
    const auto sends = [&]() -> Task<void> {
      try {
        co_await send_and_end(pair.client, file, 0, bytes.size());
      } catch (...) {
        const bool is_open = ::fcntl(file.fileno(), F_GETFD) >= 0;
        CHECK(is_open);
        pair.client.close();
        throw;
      }
    };
    auto results = co_await gather(sends(), read_rest(pair.server, 30'000));
    const bool same = std::get<1>(results) == bytes;
    CHECK(same);
  };
  const auto check = [](const DisturbedRun& run) {
    if (!run.failed_with<TlsError>() && !run.failed_with<std::system_error>()) check_usual_end(run);
  };
  DisturbOptions options;
  CHECK(cancel_everywhere(session, check, options).failed >= 4);
  if (allocations_are_observed()) CHECK(fail_allocations(session, check).failed >= 5);
}

TEST_CASE("a TLS connection that is idle has given back what it sent much with") {
  using detail::TlsEngine;
  const TlsContext client_side = client_context();
  const TlsContext server_side = server_context();
  TlsEngine client(client_side, "localhost");
  TlsEngine server(server_side, "");
  const auto carry = [](TlsEngine& from, TlsEngine& to) {
    while (from.has_output()) {
      const auto output = from.output();
      to.receive(output);
      from.sent(output.size());
    }
  };
  for (bool done = false; !done;) {
    done = client.handshake() == TlsEngine::Step::DONE;
    carry(client, server);
    static_cast<void>(server.handshake());
    carry(server, client);
  }
  const std::size_t before = server.memory();
  const std::string bytes = pattern(100'000);
  for (int turn = 0; turn < 3; ++turn) {
    std::size_t written = 0;
    server.expect_writing(bytes.size());
    const std::size_t expected = server.memory();
    while (written < bytes.size()) {
      std::size_t size = 0;
      const auto step = server.write(std::as_bytes(std::span(bytes)).subspan(written), size);
      REQUIRE(step == TlsEngine::Step::DONE);
      written += size;
    }
    CHECK(server.memory() == expected);  // nothing had to be moved
    CHECK(server.memory() > 100'000);
    const std::size_t half = server.output().size() / 2;
    server.sent(half);
    CHECK(server.memory() > 100'000);
    server.sent(server.output().size());
    CHECK_FALSE(server.has_output());
    CHECK(server.memory() <= before);
  }
}
