// UdpSocket: datagrams over IP, one by one or many at once.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <span>
#include <string_view>

#include "../operation/datagram_batch.hpp"
#include "../operation/datagram_operation.hpp"
#include "ip_socket.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// How to bind a UdpSocket.
struct UdpOptions {
  bool reuse_address = false;  ///< SO_REUSEADDR: several sockets may receive a multicast group at one port
  bool reuse_port =
      false;             ///< SO_REUSEPORT: several sockets share the port, and the kernel spreads datagrams
  bool v6_only = false;  ///< an IPv6 socket takes no IPv4
};

/// A UDP socket. Owns it; move-only. Any number of tasks of one loop may send and receive at the same time:
/// operations of a direction complete in the order in which they were started. Buffers, batches and addresses
/// must live until the co_await returns. All operations throw std::system_error (EMSGSIZE: the datagram is
/// too large; ECONNREFUSED, on a connected socket: an earlier one was not received; ECANCELED when the socket
/// is closed under them; EBADF when it was closed before) and Cancelled; `co_await operation.as_result()`
/// yields a Result instead of a system_error. Nothing here allocates.
class HEDDLE_EXPORT UdpSocket : public IpSocket {
 public:
  UdpSocket() noexcept = default;
  /// Takes over a non-blocking socket.
  explicit UdpSocket(Fd fd) noexcept : IpSocket(std::move(fd)) {}

  /// A socket at `address`; port 0: the kernel picks one (see local_address). Throws std::system_error that
  /// names the address.
  static UdpSocket bind(const Address& address, const UdpOptions& options = {});
  /// A socket that sends to `peer`, and receives only from there. Nothing is sent yet, so an unreachable peer
  /// is no error. Throws std::system_error that names the address.
  static UdpSocket connect(const Address& peer);
  /// The same for a socket that was bound. May be called again.
  void connect_to(const Address& peer);
  /// Undoes connect_to(): datagrams go to and come from any address again.
  void disconnect();

  /// Waits for a datagram; yields a ReceivedFrom: its size, whether it was truncated, where it came from.
  /// A datagram may have a size of 0.
  [[nodiscard]] detail::ReceiveFromOperation<Address> recv_from(std::span<std::byte> buffer) {
    return detail::ReceiveFromOperation<Address>(fd(), buffer);
  }
  [[nodiscard]] detail::ReceiveFromOperation<Address> recv_from(std::span<char> buffer) {
    return recv_from(std::as_writable_bytes(buffer));
  }
  /// The same without the address: yields a Received.
  [[nodiscard]] detail::ReceiveDatagramOperation recv(std::span<std::byte> buffer) {
    return detail::ReceiveDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] detail::ReceiveDatagramOperation recv(std::span<char> buffer) {
    return recv(std::as_writable_bytes(buffer));
  }
  /// Sends a datagram: yields nothing. (The network may lose it.)
  [[nodiscard]] detail::SendDatagramOperation send_to(std::span<const std::byte> buffer, const Address& to) {
    return detail::SendDatagramOperation(fd(), buffer, to);
  }
  [[nodiscard]] detail::SendDatagramOperation send_to(std::string_view text, const Address& to) {
    return send_to(std::as_bytes(std::span(text)), to);
  }
  /// The same to the peer that the socket is connected to.
  [[nodiscard]] detail::SendDatagramOperation send(std::span<const std::byte> buffer) {
    return detail::SendDatagramOperation(fd(), buffer);
  }
  [[nodiscard]] detail::SendDatagramOperation send(std::string_view text) {
    return send(std::as_bytes(std::span(text)));
  }

  /// Waits for datagrams and puts what is there into the batch: yields how many, at least one.
  [[nodiscard]] detail::ReceiveBatchOperation recv_batch(DatagramBatch& batch) {
    return detail::ReceiveBatchOperation(fd(), batch);
  }
  /// Sends what the batch holds: yields how many those were.
  [[nodiscard]] detail::SendBatchOperation send_batch(DatagramBatch& batch) {
    return detail::SendBatchOperation(fd(), batch);
  }

  /// SO_BROADCAST: sending to a broadcast address is allowed.
  void set_broadcast(bool on);
  bool broadcast() const;
  /// Receives what is sent to the multicast address `group`; `interface` is the number of a network interface
  /// (if_nametoindex(3)), 0: the system picks one. Throws std::system_error that names the group.
  void join_group(const Address& group, unsigned interface = 0);
  void leave_group(const Address& group, unsigned interface = 0);
  /// The interface that multicasts are sent on.
  void set_multicast_interface(unsigned interface);
  /// How many routers a multicast may pass; 1 unless set.
  void set_multicast_hops(int hops);
  int multicast_hops() const;
  /// Whether multicasts that are sent are received on this machine, too.
  void set_multicast_loop(bool on);
  bool multicast_loop() const;

  // What recv_batch() puts into DatagramDetails: off unless set. A std::system_error with ENOPROTOOPT says
  // that the kernel lacks it.

  /// IP_RECVTOS and IPV6_RECVTCLASS, both on a dual-stack socket: `ecn` and `dscp`.
  void set_receive_ecn(bool on);
  bool receive_ecn() const;
  /// IP_PKTINFO or IPV6_RECVPKTINFO: `local` and `interface`.
  void set_receive_destination(bool on);
  bool receive_destination() const;
  /// UDP_GRO: datagrams of one sender that have the same size, but for the last, may come as one with a
  /// `segment_size`, of up to 65,535 bytes, which cost little more than one. Without details, and by recv()
  /// and recv_from(), their bounds are lost.
  void set_receive_coalesced(bool on);
  bool receive_coalesced() const;
  /// Whether the kernel has that.
  bool can_receive_coalesced() const;
  /// Whether the kernel takes a `segment_size` when sending (UDP_SEGMENT). That all network cards on the way
  /// to a peer can do it isn't known before send_batch() has tried.
  bool can_send_segments() const;
  /// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER, both on a dual-stack socket. On: no datagram is fragmented here
  /// or by a router, and one that the interface can't send whole fails with EMSGSIZE; what was learnt of the
  /// path doesn't count (IP_PMTUDISC_PROBE), as whoever probes it by himself needs (RFC 8899). Off: the
  /// kernel decides (IP_PMTUDISC_WANT).
  void set_dont_fragment(bool on);
  bool dont_fragment() const;
};

}  // namespace heddle

HEDDLE_HEADER_END
