// IpSocket, TcpSocket: what all sockets of IP have in common, and what those of TCP have beyond that.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>
#include <optional>
#include <string>

#include "../address/address.hpp"
#include "socket.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// A socket of IPv4 or IPv6. For what an option means see ip(7) and ipv6(7).
class HEDDLE_EXPORT IpSocket : public Socket {
 public:
  using Socket::Socket;

  Address local_address() const;
  Address peer_address() const;

  /// IPV6_V6ONLY: whether it takes no IPv4. To be set before the socket is bound. ENOPROTOOPT for IPv4.
  void set_v6_only(bool on);
  bool v6_only() const;
  /// IP_TTL or IPV6_UNICAST_HOPS: how many routers a packet may pass.
  void set_hop_limit(int hops);
  int hop_limit() const;
  /// IP_TOS or IPV6_TCLASS: differentiated services and congestion bits of each packet.
  void set_traffic_class(int bits);
  int traffic_class() const;

 protected:
  /// AF_INET6, or AF_INET.
  bool is_v6() const;
};

/// How a connection that is idle is probed, after SO_KEEPALIVE is on.
struct Keepalive {
  bool on = true;
  std::optional<std::chrono::seconds> idle;      ///< before the first probe; nullopt: as it is
  std::optional<std::chrono::seconds> interval;  ///< between probes
  std::optional<int> count;                      ///< so many unanswered ones end the connection
};

namespace detail {

/// A socket of TCP. For what an option means see tcp(7).
class HEDDLE_EXPORT TcpSocket : public IpSocket {
 public:
  using IpSocket::IpSocket;

  /// TCP_NODELAY: send small writes at once. heddle doesn't set it by itself.
  void set_nodelay(bool on);
  bool nodelay() const;
  /// SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; the times in whole seconds.
  void set_keepalive(const Keepalive& how);
  void set_keepalive(bool on, std::optional<std::chrono::seconds> idle = std::nullopt,
                     std::optional<std::chrono::seconds> interval = std::nullopt);
  Keepalive keepalive() const;
  /// TCP_USER_TIMEOUT: how long what was sent may stay unacknowledged before the connection ends with
  /// ETIMEDOUT; 0: the system's default.
  void set_user_timeout(std::chrono::milliseconds time);
  std::chrono::milliseconds user_timeout() const;
  /// TCP_CONGESTION: the algorithm by name, "cubic".
  void set_congestion_control(const std::string& name);
  std::string congestion_control() const;
  /// TCP_FASTOPEN, of a listener: how many connections that came with data may wait; 0: none.
  void set_fast_open(int backlog);
  int fast_open() const;
  /// TCP_FASTOPEN_CONNECT: the connection is made when the first bytes are sent, with them. To be set
  /// before connecting.
  void set_fast_open_connect(bool on);
  bool fast_open_connect() const;
  /// TCP_NOTSENT_LOWAT: the socket is writable only while fewer bytes than this wait to be sent.
  void set_not_sent_low_water(unsigned bytes);
  unsigned not_sent_low_water() const;
  /// TCP_QUICKACK: acknowledge at once; the system may turn it off again.
  void set_quick_ack(bool on);
  bool quick_ack() const;
  /// TCP_MAXSEG: the largest segment that is sent, in bytes.
  void set_max_segment(int bytes);
  int max_segment() const;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
