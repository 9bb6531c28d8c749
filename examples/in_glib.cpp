// heddle inside a GLib main loop, as GTK programs have one: a GSource that polls the loop's descriptor.
// SPDX-License-Identifier: MIT
#include <glib-unix.h>
#include <glib.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/runtime/loop/event_loop.hpp>
#include <heddle/runtime/task/join_handle.hpp>
#include <new>

heddle::Task<void> echo(heddle::TcpStream client) try {
  std::array<std::byte, 16384> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all({buffer.data(), size});
} catch (const std::exception&) {  // the client is gone
}

heddle::Task<void> serve() {
  auto listener = heddle::TcpListener::bind(heddle::Address::parse("127.0.0.1:0"));
  std::printf("listening on %s (selector %s)\n", to_string(listener.local_address()).c_str(),
              heddle::EventLoop::running().selector_name());
  std::fflush(stdout);
  for (;;) {
    auto client = co_await listener.accept();
    try {
      heddle::spawn(echo(std::move(client)));
    } catch (const std::bad_alloc&) {
      // No memory for another client: this one is closed, and the others go on.
    }
  }
}

// The glue: GLib asks before it polls how long it may, and after it whether there is something to do.
struct HeddleSource {
  GSource base;
  heddle::EventLoop* loop;
  gpointer tag;
};

gboolean prepare(GSource* source, gint* timeout) {
  heddle::EventLoop& loop = *reinterpret_cast<HeddleSource*>(source)->loop;
  *timeout = -1;
  if (const auto deadline = loop.next_deadline()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - loop.time()).count();
    *timeout = static_cast<gint>(CLAMP(left, 0, 60'000));
  }
  return *timeout == 0;
}

gboolean check(GSource* source) {
  auto& self = *reinterpret_cast<HeddleSource*>(source);
  const auto deadline = self.loop->next_deadline();
  return g_source_query_unix_fd(source, self.tag) != 0 || (deadline && *deadline <= self.loop->time());
}

gboolean dispatch(GSource* source, GSourceFunc, gpointer) {
  reinterpret_cast<HeddleSource*>(source)->loop->run_once(heddle::Duration(0));
  return G_SOURCE_CONTINUE;
}

gboolean quit(gpointer main_loop) {
  g_main_loop_quit(static_cast<GMainLoop*>(main_loop));
  return G_SOURCE_REMOVE;
}

int main() {
  heddle::EventLoop loop;
  loop.call_soon([] { heddle::spawn(serve()); });

  GSourceFuncs functions = {};
  functions.prepare = prepare;
  functions.check = check;
  functions.dispatch = dispatch;
  GSource* const source = g_source_new(&functions, sizeof(HeddleSource));
  auto& self = *reinterpret_cast<HeddleSource*>(source);
  self.loop = &loop;
  self.tag = g_source_add_unix_fd(source, loop.fileno(), G_IO_IN);
  g_source_attach(source, nullptr);

  GMainLoop* const main_loop = g_main_loop_new(nullptr, FALSE);
  g_unix_signal_add(SIGINT, quit, main_loop);
  g_main_loop_run(main_loop);

  g_source_destroy(source);
  g_source_unref(source);
  g_main_loop_unref(main_loop);
  loop.close();  // ends what is still running
}
