// Echo over libuv: one static read buffer, uv_try_write first, as libuv's own benchmarks do.
// SPDX-License-Identifier: MIT
#include <signal.h>
#include <uv.h>

#include "peer.h"

static char buffer[65536];

typedef struct {
  uv_write_t request;
  char bytes[];
} rest_t;

static void on_closed(uv_handle_t* handle) { free(handle); }

static void on_written(uv_write_t* request, int status) {
  if (status < 0 && !uv_is_closing((uv_handle_t*)request->handle))
    uv_close((uv_handle_t*)request->handle, on_closed);
  free(request);
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* out) {
  (void)handle, (void)size;
  *out = uv_buf_init(buffer, sizeof buffer);
}

static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* in) {
  if (count < 0) {
    uv_close((uv_handle_t*)stream, on_closed);
    return;
  }
  uv_buf_t out = uv_buf_init(in->base, (unsigned)count);
  int done = uv_try_write(stream, &out, 1);
  if (done == count) return;
  if (done < 0) done = 0;
  rest_t* rest = malloc(sizeof *rest + (size_t)(count - done));
  memcpy(rest->bytes, in->base + done, (size_t)(count - done));
  out = uv_buf_init(rest->bytes, (unsigned)(count - done));
  uv_write(&rest->request, stream, &out, 1, on_written);
}

static void on_connection(uv_stream_t* listener, int status) {
  if (status < 0) return;
  union uv_any_handle* client = malloc(sizeof *client);
  if (listener->type == UV_NAMED_PIPE) {
    uv_pipe_init(listener->loop, &client->pipe, 0);
    uv_accept(listener, &client->stream);
  } else {
    uv_tcp_init(listener->loop, &client->tcp);
    uv_accept(listener, &client->stream);
    uv_tcp_nodelay(&client->tcp, 1);
  }
  uv_read_start(&client->stream, on_alloc, on_read);
}

static void on_signal(uv_signal_t* handle, int number) {
  (void)number;
  uv_stop(handle->loop);
}

int main(int argc, char** argv) {
  const struct peer peer = peer_start(argc, argv);
  uv_loop_t* loop = uv_default_loop();
  uv_signal_t interrupt;
  uv_signal_init(loop, &interrupt);
  uv_signal_start(&interrupt, on_signal, SIGINT);
  signal(SIGPIPE, SIG_IGN);
  union uv_any_handle listener;
  if (peer.is_unix) {
    uv_pipe_init(loop, &listener.pipe, 0);
    uv_pipe_open(&listener.pipe, peer.listener);
  } else {
    uv_tcp_init(loop, &listener.tcp);
    uv_tcp_open(&listener.tcp, peer.listener);
  }
  if (uv_listen(&listener.stream, 4096, on_connection) < 0) peer_die("listen");
  uv_run(loop, UV_RUN_DEFAULT);
  return 0;
}
