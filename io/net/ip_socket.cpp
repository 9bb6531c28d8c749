// IpSocket, TcpSocket: addresses and options.
// SPDX-License-Identifier: MIT
#include "ip_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "../../selector/errors.hpp"

// An option that the platform lacks is -1, which setsockopt(2) refuses with ENOPROTOOPT.
#ifndef TCP_KEEPIDLE
#ifdef TCP_KEEPALIVE
#define TCP_KEEPIDLE TCP_KEEPALIVE
#else
#define TCP_KEEPIDLE -1
#endif
#endif
#ifndef TCP_USER_TIMEOUT
#define TCP_USER_TIMEOUT -1
#endif
#ifndef TCP_CONGESTION
#define TCP_CONGESTION -1
#endif
#ifndef TCP_FASTOPEN
#define TCP_FASTOPEN -1
#endif
#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT -1
#endif
#ifndef TCP_NOTSENT_LOWAT
#define TCP_NOTSENT_LOWAT -1
#endif
#ifndef TCP_QUICKACK
#define TCP_QUICKACK -1
#endif

namespace heddle {

using namespace detail;

namespace {

template <class Rep, class Period>
int clamped(std::chrono::duration<Rep, Period> time) noexcept {
  return static_cast<int>(std::clamp<Rep>(time.count(), 0, std::numeric_limits<int>::max()));
}

}  // namespace

Address IpSocket::local_address() const {
  Address address;
  address.set_length(own_name(address.data(), Address::capacity()));
  return address;
}

Address IpSocket::peer_address() const {
  Address address;
  address.set_length(peer_name(address.data(), Address::capacity()));
  return address;
}

bool IpSocket::is_v6() const { return local_address().family() == AF_INET6; }

void IpSocket::set_v6_only(bool on) { set_option(IPPROTO_IPV6, IPV6_V6ONLY, on, "IPV6_V6ONLY"); }
bool IpSocket::v6_only() const { return option(IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY") != 0; }

void IpSocket::set_hop_limit(int hops) {
  if (is_v6())
    set_option(IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops, "IPV6_UNICAST_HOPS");
  else
    set_option(IPPROTO_IP, IP_TTL, hops, "IP_TTL");
}
int IpSocket::hop_limit() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS")
                 : option(IPPROTO_IP, IP_TTL, "IP_TTL");
}

void IpSocket::set_traffic_class(int bits) {
  if (is_v6())
    set_option(IPPROTO_IPV6, IPV6_TCLASS, bits, "IPV6_TCLASS");
  else
    set_option(IPPROTO_IP, IP_TOS, bits, "IP_TOS");
}
int IpSocket::traffic_class() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_TCLASS, "IPV6_TCLASS") : option(IPPROTO_IP, IP_TOS, "IP_TOS");
}

void TcpSocket::set_nodelay(bool on) { set_option(IPPROTO_TCP, TCP_NODELAY, on, "TCP_NODELAY"); }
bool TcpSocket::nodelay() const { return option(IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY") != 0; }

void TcpSocket::set_keepalive(const Keepalive& how) {
  set_option(SOL_SOCKET, SO_KEEPALIVE, how.on, "SO_KEEPALIVE");
  if (how.idle) set_option(IPPROTO_TCP, TCP_KEEPIDLE, clamped(*how.idle), "TCP_KEEPIDLE");
  if (how.interval) set_option(IPPROTO_TCP, TCP_KEEPINTVL, clamped(*how.interval), "TCP_KEEPINTVL");
  if (how.count) set_option(IPPROTO_TCP, TCP_KEEPCNT, *how.count, "TCP_KEEPCNT");
}

void TcpSocket::set_keepalive(bool on, std::optional<std::chrono::seconds> idle,
                              std::optional<std::chrono::seconds> interval) {
  set_keepalive(Keepalive{on, idle, interval, std::nullopt});
}

Keepalive TcpSocket::keepalive() const {
  Keepalive how;
  how.on = option(SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE") != 0;
  how.idle = std::chrono::seconds(option(IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE"));
  how.interval = std::chrono::seconds(option(IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL"));
  how.count = option(IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT");
  return how;
}

void TcpSocket::set_user_timeout(std::chrono::milliseconds time) {
  set_option(IPPROTO_TCP, TCP_USER_TIMEOUT, clamped(time), "TCP_USER_TIMEOUT");
}
std::chrono::milliseconds TcpSocket::user_timeout() const {
  return std::chrono::milliseconds(option(IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"));
}

void TcpSocket::set_congestion_control(const std::string& name) {
  set_option(IPPROTO_TCP, TCP_CONGESTION, name.data(), static_cast<unsigned>(name.size()), "TCP_CONGESTION");
}
std::string TcpSocket::congestion_control() const {
  char name[64] = "";
  option(IPPROTO_TCP, TCP_CONGESTION, name, sizeof name - 1, "TCP_CONGESTION");
  return name;
}

void TcpSocket::set_fast_open(int backlog) { set_option(IPPROTO_TCP, TCP_FASTOPEN, backlog, "TCP_FASTOPEN"); }
int TcpSocket::fast_open() const { return option(IPPROTO_TCP, TCP_FASTOPEN, "TCP_FASTOPEN"); }
void TcpSocket::set_fast_open_connect(bool on) {
  set_option(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, on, "TCP_FASTOPEN_CONNECT");
}
bool TcpSocket::fast_open_connect() const {
  return option(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, "TCP_FASTOPEN_CONNECT") != 0;
}

void TcpSocket::set_not_sent_low_water(unsigned bytes) {
  set_option(IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<int>(bytes), "TCP_NOTSENT_LOWAT");
}
unsigned TcpSocket::not_sent_low_water() const {
  return static_cast<unsigned>(option(IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"));
}

void TcpSocket::set_quick_ack(bool on) { set_option(IPPROTO_TCP, TCP_QUICKACK, on, "TCP_QUICKACK"); }
bool TcpSocket::quick_ack() const { return option(IPPROTO_TCP, TCP_QUICKACK, "TCP_QUICKACK") != 0; }
void TcpSocket::set_max_segment(int bytes) { set_option(IPPROTO_TCP, TCP_MAXSEG, bytes, "TCP_MAXSEG"); }
int TcpSocket::max_segment() const { return option(IPPROTO_TCP, TCP_MAXSEG, "TCP_MAXSEG"); }

}  // namespace heddle
