// MemoryListener: where MemoryStreams come from, for a server without sockets.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>

#include "../../runtime/sync/queue.hpp"
#include "memory_stream.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// For MemoryStreams what TcpListener is for TcpStreams; for one loop's thread. Not movable. Who waits when
/// it is destroyed gets std::logic_error.
class HEDDLE_EXPORT MemoryListener {
 public:
  /// What accept() is.
  class HEDDLE_EXPORT Accept {
   public:
    using Native = void;

    explicit Accept(MemoryListener& listener) noexcept : get_(listener.waiting_.get()) {}

    bool await_ready() { return get_.await_ready(); }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) {
      get_.await_suspend(coroutine);
    }
    MemoryStream await_resume();

   private:
    Queue<MemoryStream>::GetOperation get_;
  };

  /// `backlog`: how many connections may wait to be accepted.
  explicit MemoryListener(std::size_t backlog = 4096) noexcept : waiting_(backlog) {}

  bool is_open() const noexcept { return !waiting_.is_shut_down(); }
  /// Connections that weren't accepted are closed. Tasks that wait in accept() get QueueShutDown.
  void close() noexcept { waiting_.shutdown(true); }

  /// The client's end of a new connection. Throws std::system_error (ECONNREFUSED) when this is closed, or
  /// `backlog` connections wait.
  MemoryStream connect(std::size_t capacity = 65536);
  /// Waits for the other end of a connect(). Cancel-safe: no connection is lost.
  [[nodiscard]] Accept accept() noexcept { return Accept(*this); }
  /// How many wait to be accepted.
  std::size_t waiting() const noexcept { return waiting_.qsize(); }

 private:
  Queue<MemoryStream> waiting_;
};

}  // namespace heddle

HEDDLE_HEADER_END
