// A key-value server that speaks Redis's protocol (RESP2). Try: redis-cli -p 7000, or
//     redis-benchmark -p 7000 -q -P 16 -t ping,set,get,incr,lpush,rpush,lpop,rpop,lrange
// SPDX-License-Identifier: MIT
#include <signal.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/server/server.hpp>
#include <heddle/io/stream/stream_reader.hpp>
#include <heddle/runtime/loop/signals.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <heddle/runtime/task/when_any.hpp>

#include "announce.hpp"
#include "kv_commands.hpp"
#include "options.hpp"
#include "resp_parser.hpp"

using namespace std::chrono_literals;

constexpr std::size_t most_unsent = 65536;

/// Answers whatever is complete of what has come; false: the client is to be closed.
bool answer(std::string_view bytes, std::size_t& used, RespParser& parser, Store& store, Reply& reply) {
  used = 0;
  while (reply.size() < most_unsent && parser.parse(bytes.substr(used))) {
    used += parser.size();
    if (!parser.words().empty() && !execute(store, parser.words(), reply)) return false;
    parser.next();
  }
  return true;
}

heddle::Task<void> converse(heddle::TcpStream& client, Store& store, heddle::Duration patience) {
  client.set_nodelay(true);
  heddle::StreamReader reader(client, RespParser::longest_command);
  RespParser parser;
  Reply reply;
  try {
    for (heddle::TimePoint deadline;;) {
      std::size_t used = 0;
      const bool goes_on = answer(reader.buffered(), used, parser, store, reply);
      reader.consume(used);
      // One write for all that was asked for together.
      const bool more = reply.size() >= most_unsent;
      if (reply.size() != 0) co_await client.write_all(reply.text());
      reply.clear();
      if (!goes_on) break;
      if (more) continue;
      if (used != 0) deadline = heddle::TimePoint();
      bool came = false;
      if (reader.buffered().empty()) {
        came = co_await reader.fill();  // for whoever says nothing, the Server has a limit
      } else {
        if (deadline == heddle::TimePoint()) deadline = heddle::EventLoop::running().time() + patience;
        came = co_await heddle::timeout_at(deadline, reader.fill());
      }
      if (!came) co_return;
    }
  } catch (const RespError& error) {
    reply.error(std::string("ERR Protocol error: ") + error.what());
  } catch (const heddle::TimeoutError&) {
    reply.error("ERR this command doesn't come to its end");
  } catch (const heddle::LimitOverrunError&) {
    reply.error("ERR Protocol error: too big command");
  }
  if (reply.size() != 0) co_await client.write_all(reply.text());
  co_await client.finish(1s);
}

heddle::Task<void> serve(Options options, heddle::Duration idle, heddle::Duration patience) {
  Store store;
  heddle::ServerOptions limits;
  limits.max_connections = 10'000;
  limits.idle = idle;
  heddle::Server server(limits);
  auto handler = [&store, patience](heddle::TcpStream& client) -> heddle::Task<void> {
    co_await converse(client, store, patience);
  };
  announce(co_await server.listen(options.host, options.port, handler));
  co_await heddle::when_any(server.serve(), heddle::signal(SIGTERM));
}

int main(int argc, char** argv) {
  std::string idle = "300", patience = "30";
  const Options options =
      parse_options(argc, argv,
                    {{"idle", "SECONDS", "who says nothing for so long is closed (300)", &idle},
                     {"patience", "SECONDS", "how long a command may take to come (30)", &patience}});
  try {
    heddle::run(serve(options, seconds("idle", idle), seconds("patience", patience)),
                {.selector = options.selector, .dump_on_sigquit = true, .busy_poll = 20us});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kv_server: %s\n", error.what());
    return 1;
  }
}
