// What the tests of io/ are written with: a connected pair of streams, and a peer that isn't heddle.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "../../io/net/tcp.hpp"
#include "../../runtime/task/gather.hpp"
#include "../../runtime/task/run.hpp"
#include "../../runtime/task/sleep.hpp"
#include "../../runtime/task/timeout.hpp"
#include "../selector/files.hpp"
#include "../support/on_selectors.hpp"

namespace heddle::test {

using namespace std::chrono_literals;

inline Address any_port() { return Address("127.0.0.1", 0); }

struct Streams {
  TcpStream client;
  TcpStream server;
};

inline Task<TcpStream> accept_one(TcpListener& listener) { co_return co_await listener.accept(); }

/// Two ends of a TCP connection.
inline Task<Streams> connect_pair() {
  auto listener = TcpListener::bind(any_port());
  auto ends = co_await gather(TcpStream::connect(listener.local_address()), accept_one(listener));
  Streams streams{std::move(std::get<0>(ends)), std::move(std::get<1>(ends))};
  co_return streams;
}

/// A stream of heddle's whose peer is a plain socket.
struct HalfPair {
  TcpStream stream;
  File peer;
};
inline HalfPair stream_and_peer() {
  Pair pair = Pair::tcp();
  HalfPair half{TcpStream(Fd(::dup(pair.a.fileno()))), std::move(pair.b)};
  return half;
}

/// Nine bytes that the kernel gives to the reader of a Unix stream in three parts.
template <class UnixStream>
Task<void> send_apart(UnixStream& stream) {
  const std::array<int, 1> fds{0};
  co_await stream.send_with_fds("abc", fds);
  co_await stream.write_all("def");
  co_await stream.send_with_fds("ghi", fds);
}

/// Reads until the peer ends its side.
template <class Stream>
Task<std::string> read_all(Stream& stream, std::size_t chunk = 65536) {
  std::string all;
  std::string buffer(chunk, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
  co_return all;
}

template <class Stream>
Task<std::string> read_some(Stream& stream, std::size_t most = 65536) {
  std::string buffer(most, '\0');
  buffer.resize(co_await stream.read_some(std::span(buffer)));
  co_return buffer;
}

/// Bytes that repeat only after a long while.
inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string bytes(size, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

/// A scenario that cancel_at_every_suspension() is to tell apart by the system calls it made.
template <class System>
long calls_of(const System& system) {
  long calls = 0;
  for (const int n : system.calls) calls += n;
  return calls;
}

/// What `awaitable` failed with; no error if it didn't.
template <class Awaitable>
Task<std::error_code> error_of(Awaitable awaitable, std::string* message = nullptr) {
  try {
    co_await std::move(awaitable);
  } catch (const std::system_error& error) {
    if (message != nullptr) *message = error.what();
    co_return error.code();
  }
  co_return std::error_code();
}

}  // namespace heddle::test
