// What ends a connection right behind its last bytes: it comes after them, and it comes.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include "../../../io/net/unix.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

enum class Ending { SHUT_DOWN, CLOSED, RESET };
enum class Before { NOTHING, SMALL_READS, LARGE_READS };
enum class Reader { HAS_WAITED, JUST_WAITS, COMES_LATER, ASKS_FIRST };

std::string name_of(Ending ending, Before before, Reader reader, std::size_t size) {
  static constexpr const char* endings[] = {"shut down", "closed", "reset"};
  static constexpr const char* befores[] = {"nothing", "small reads", "large reads"};
  static constexpr const char* readers[] = {"has waited", "just waits", "comes later", "asks first"};
  return std::string(endings[static_cast<int>(ending)]) + " after " + std::to_string(size) +
         " bytes, before: " + befores[static_cast<int>(before)] + ", the reader " +
         readers[static_cast<int>(reader)];
}

// As much as there is room for.
std::size_t write_now(const File& peer, std::string_view bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t result =
        ::send(peer.fileno(), bytes.data() + written, bytes.size() - written, MSG_DONTWAIT);
    if (result <= 0) break;
    written += static_cast<std::size_t>(result);
  }
  return written;
}

// Without a turn of the loop.
void end(File& peer, Ending ending) {
  if (ending == Ending::SHUT_DOWN) {
    ::shutdown(peer.fileno(), SHUT_WR);
    return;
  }
  const linger reset{1, 0};
  if (ending == Ending::RESET) ::setsockopt(peer.fileno(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  peer = File();
}

struct Outcome {
  std::string got;
  std::error_code code;  // none: the end
};

template <class Stream>
Task<Outcome> read_to_end(Stream& stream, Reader reader) {
  Outcome outcome;
  try {
    for (;;) {
      if (reader == Reader::ASKS_FIRST) co_await stream.readable();
      const std::string more = co_await read_some(stream, 16384);
      if (more.empty()) break;
      outcome.got += more;
    }
  } catch (const std::system_error& error) {
    outcome.code = error.code();
  }
  co_return outcome;
}

// So that whatever watches a connection has got used to it.
template <class Stream>
Task<void> use(Stream& stream, File& peer, Before before) {
  if (before == Before::NOTHING) co_return;
  const std::string message = pattern(before == Before::SMALL_READS ? 10 : 16384);
  for (int i = 0; i < 12; ++i) {
    std::size_t missing = write_now(peer, message);
    while (missing > 0) {
      const std::string part = co_await read_some(stream, missing);
      missing -= part.size();
    }
  }
}

template <class Stream>
Task<void> check_ending(Stream stream, File peer, Ending ending, Before before, Reader reader,
                        std::size_t size) {
  INFO(name_of(ending, before, reader, size));
  co_await use(stream, peer, before);
  // A Unix socket that is closed with something unread is what a reset is.
  if (ending == Ending::RESET) co_await stream.write_all("unread");
  auto reading = [&]() -> Task<Outcome> {
    if (reader == Reader::COMES_LATER) co_await sleep(1ms);
    co_return co_await read_to_end(stream, reader);
  };
  auto task = spawn(reading());
  if (reader == Reader::JUST_WAITS)
    co_await yield();  // what it waits for is asked for after this turn
  else
    co_await sleep(1ms);
  const std::string bytes = pattern(size);
  const std::size_t sent = write_now(peer, bytes);
  end(peer, ending);
  const Outcome outcome = co_await timeout(5s, task);
  const bool reset = ending == Ending::RESET;
  const bool right = outcome.got == std::string_view(bytes).substr(0, reset ? outcome.got.size() : sent);
  CHECK(right);
  if (size <= 3000) CHECK(outcome.got.size() == sent);
  CHECK(outcome.code.value() == (reset ? ECONNRESET : 0));
}

template <class Stream>
Task<void> check_all(Pair (*make)()) {
  for (const Ending ending : {Ending::SHUT_DOWN, Ending::CLOSED, Ending::RESET})
    for (const Before before : {Before::NOTHING, Before::SMALL_READS, Before::LARGE_READS})
      for (const Reader reader :
           {Reader::HAS_WAITED, Reader::JUST_WAITS, Reader::COMES_LATER, Reader::ASKS_FIRST})
        for (const std::size_t size : {0U, 1U, 3000U, 200'000U}) {
          Pair pair = make();
          co_await check_ending(Stream(Fd(::dup(pair.a.fileno()))), std::move(pair.b), ending, before, reader,
                                size);
        }
}

}  // namespace

ON_SELECTORS(
    "a reader of TCP gets the last bytes and then the end or the reset that came right behind them") {
  run_on(selector, []() -> Task<void> { co_await check_all<TcpStream>(&Pair::tcp); });
}

ON_SELECTORS("a reader of a Unix stream gets the last bytes and then the end that came right behind them") {
  run_on(selector, []() -> Task<void> { co_await check_all<UnixStream>(&Pair::sockets); });
}
