// Sends its standard input to a server and prints what comes back, both at the same time.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/runtime/task/gather.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/threads/to_thread.hpp>
#include <string>

heddle::Task<void> send_input(heddle::TcpStream& server) {
  // Standard input may be a file, which can't be waited for: a thread reads it.
  std::string chunk;
  do {
    auto reading = heddle::to_thread([] {
      char data[65536];
      const ssize_t size = ::read(STDIN_FILENO, data, sizeof data);
      return std::string(data, size < 0 ? 0 : static_cast<std::size_t>(size));
    });
    chunk = co_await reading;
    co_await server.write_all(chunk);
  } while (!chunk.empty());
  server.shutdown(heddle::Shutdown::WRITE);
}

heddle::Task<void> print_answers(heddle::TcpStream& server) {
  std::array<char, 65536> buffer;
  while (const std::size_t size = co_await server.read_some(buffer)) {
    std::fwrite(buffer.data(), 1, size, stdout);
    std::fflush(stdout);
  }
}

heddle::Task<void> talk(std::string host, std::uint16_t port) {
  auto server = co_await heddle::TcpStream::connect(host, port);
  co_await heddle::gather(send_input(server), print_answers(server));
}

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  if (argc != 3 || std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), port).ec != std::errc()) {
    std::fprintf(stderr, "usage: %s HOST PORT\n", argv[0]);
    return 2;
  }
  try {
    heddle::run(talk(argv[1], port));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "echo_client: %s\n", error.what());
    return 1;
  }
}
