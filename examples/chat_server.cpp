// A chat room: who says a line says it to all others. Who doesn't keep up is shown out. Try: nc 127.0.0.1
// 7000
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/server/server.hpp>
#include <heddle/io/stream/lines.hpp>
#include <heddle/runtime/loop/signals.hpp>
#include <heddle/runtime/sync/broadcast.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/sleep.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <heddle/runtime/task/when_any.hpp>
#include <set>

#include "announce.hpp"
#include "options.hpp"

using namespace std::chrono_literals;

constexpr std::size_t longest_line = 1024, longest_name = 20, most_behind = 256;
using Reader = heddle::StreamReader<heddle::TcpStream>;

struct Message {
  std::string from;  // who doesn't get it
  std::string text;
};

struct Room {
  void tell(const std::string& from, const std::string& text) { messages.send({from, text + "\n"}); }

  heddle::Broadcast<Message> messages{most_behind};
  std::set<std::string, std::less<>> names;
  heddle::Duration patience;  // with somebody who takes nothing, or doesn't give a name
};

/// A name in the room, while it lives.
struct Seat {
  Seat(Room& its_room, std::string its_name) : room(its_room), name(std::move(its_name)) {
    room.names.insert(name);
    room.tell(name, "* " + name + " has joined");
  }
  Seat(const Seat&) = delete;
  ~Seat() {
    room.names.erase(name);
    room.tell(name, "* " + name + " has left");
  }
  Room& room;
  const std::string name;
};

/// Why somebody can't be called so; empty: that is fine.
std::string objection(const Room& room, std::string_view name) {
  const auto is_plain = [](char letter) { return letter > ' ' && letter < 0x7f; };
  if (name.empty() || name.size() > longest_name || !std::ranges::all_of(name, is_plain))
    return "a name has 1 to " + std::to_string(longest_name) + " letters, without spaces";
  return room.names.contains(name) ? std::string(name) + " is here already" : "";
}

heddle::Task<std::string> ask_name(heddle::TcpStream& client, Reader& reader, const Room& room) {
  for (;;) {
    co_await client.write_all("* who are you?\n");
    const auto name = co_await reader.read_line();
    if (!name) co_return "";
    const std::string why_not = objection(room, *name);
    if (why_not.empty()) co_return std::string(*name);
    co_await client.write_all("* " + why_not + "\n");
  }
}

heddle::Task<void> listen_to(heddle::TcpStream& client, Reader& reader, const Seat& seat) {
  auto lines = heddle::lines(reader);
  while (const auto line = co_await lines.next()) {
    if (*line == "/quit") co_return;
    if (*line == "/who") {
      std::string all = "*";
      for (const std::string& name : seat.room.names) all += ' ' + name;
      co_await client.write_all(all + "\n");
    } else if (!line->empty()) {
      std::string text(*line);
      std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
      seat.room.tell(seat.name, seat.name + ": " + text);
    }
    co_await heddle::yield();  // one line a turn, so that the others can keep up
  }
}

heddle::Task<void> pass_on(heddle::TcpStream& client, const Seat& seat,
                           heddle::Subscription<Message>& inbox) {
  std::string text;
  while (auto message = co_await inbox.receive()) {
    // All there is, in one piece.
    for (; message; message = inbox.try_receive())
      if (message->from != seat.name) text += message->text;
    co_await heddle::timeout(seat.room.patience, client.write_all(text));
    text.clear();
  }
}

heddle::Task<void> chat(heddle::TcpStream& client, Room& room) {
  std::string last_words;
  try {
    client.set_keepalive(true, 60s);  // who says nothing may be here, or not any more
    client.set_send_buffer(65536);    // rather than in the kernel, what somebody hasn't read waits here
    Reader reader(client, longest_line);
    const std::string name = co_await heddle::timeout(room.patience, ask_name(client, reader, room));
    if (name.empty()) co_return;
    heddle::Subscription<Message> inbox = room.messages.subscribe();
    const Seat seat(room, name);
    co_await client.write_all("* welcome, " + name + ". /who tells who is here, /quit leaves\n");
    co_await heddle::when_any(listen_to(client, reader, seat), pass_on(client, seat, inbox));
  } catch (const heddle::LimitOverrunError&) {
    last_words = "* a line has at most " + std::to_string(longest_line) + " bytes\n";
  } catch (const heddle::Lagged&) {
    last_words = "* you are too slow\n";
  } catch (const heddle::TimeoutError&) {
    last_words = "* your time is up\n";
  }
  if (last_words.empty()) co_return;
  try {
    co_await heddle::timeout(100ms, client.write_all(last_words));
    co_await client.finish(1s);
  } catch (const heddle::TimeoutError&) {  // who reads nothing doesn't read this
  }
}

heddle::Task<void> serve(Options options, heddle::Duration patience) {
  Room room;
  room.patience = patience;
  heddle::ServerOptions limits;
  limits.max_connections = 1000;
  heddle::Server server(limits);
  auto handler = [&room](heddle::TcpStream& client) -> heddle::Task<void> { co_await chat(client, room); };
  announce(co_await server.listen(options.host, options.port, handler));
  co_await heddle::when_any(server.serve(), heddle::signal(SIGTERM));
}

int main(int argc, char** argv) {
  std::string patience = "20";
  const Options options = parse_options(
      argc, argv,
      {{"patience", "SECONDS", "for how long somebody may not give a name, or take nothing that is said (20)",
        &patience}});
  try {
    heddle::run(serve(options, seconds("patience", patience)), {.selector = options.selector});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "chat_server: %s\n", error.what());
    return 1;
  }
}
