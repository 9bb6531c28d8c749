// heddle's echo of datagrams.
// SPDX-License-Identifier: MIT
#include <heddle/io/net/udp.hpp>
#include <heddle/runtime/task/run.hpp>

#include "udp_peer.h"

namespace {

heddle::Task<void> serve(udp_peer peer) {
  heddle::UdpSocket socket{heddle::Fd(peer.fd)};
  socket.set_receive_ecn(peer.details);
  socket.set_receive_destination(peer.details);
  if (peer.offload) socket.set_receive_coalesced(true);
  const std::size_t capacity = peer.offload ? UDP_OFFLOAD_BATCH : UDP_BATCH;
  const std::size_t room = peer.offload ? UDP_OFFLOAD_ROOM : UDP_ROOM;
  heddle::DatagramBatch batch = peer.details ? heddle::DatagramBatch::with_details(capacity, room)
                                             : heddle::DatagramBatch(capacity, room);
  for (;;) {
    co_await socket.recv_batch(batch);
    while (!co_await socket.send_batch(batch).as_result()) batch.skip();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const udp_peer peer = udp_peer_start(argc, argv);
  heddle::run(serve(peer), {.selector = "epoll"});
}
