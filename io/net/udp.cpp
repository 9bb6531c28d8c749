// UDP: binding, connecting, and multicast groups.
// SPDX-License-Identifier: MIT
#include "udp.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "../address/error_text.hpp"

// An option that the platform lacks is -1, which setsockopt(2) refuses with ENOPROTOOPT.
#ifndef IP_RECVTOS
#define IP_RECVTOS -1
#endif
#ifndef IP_PKTINFO
#define IP_PKTINFO -1
#endif
#ifndef IPV6_RECVTCLASS
#define IPV6_RECVTCLASS -1
#endif
#ifndef IPV6_RECVPKTINFO
#define IPV6_RECVPKTINFO -1
#endif
#ifndef IP_MTU_DISCOVER
#define IP_MTU_DISCOVER -1
#define IP_PMTUDISC_WANT 0
#define IP_PMTUDISC_DO 0
#define IP_PMTUDISC_PROBE 0
#endif
#ifndef IPV6_MTU_DISCOVER
#define IPV6_MTU_DISCOVER -1
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT -1
#endif
#ifndef UDP_GRO
#define UDP_GRO -1
#endif

namespace heddle {

using namespace detail;

namespace {

bool knows(const UdpSocket& socket, int option, const char* text) {
  try {
    static_cast<void>(socket.option(IPPROTO_UDP, option, text));
    return true;
  } catch (const std::system_error& error) {
    if (error.code().value() != ENOPROTOOPT && error.code().value() != EOPNOTSUPP) throw;
    return false;
  }
}

// MCAST_JOIN_GROUP and MCAST_LEAVE_GROUP take both families alike.
void change_membership(UdpSocket& socket, int option, const char* text, const Address& group,
                       unsigned interface) {
  group_req request{};
  request.gr_interface = interface;
  std::memcpy(&request.gr_group, group.data(), group.length());
  const int level = group.family() == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
  socket.set_option(level, option, &request, sizeof request, text);
}

}  // namespace

UdpSocket UdpSocket::bind(const Address& address, const UdpOptions& options) {
  try {
    UdpSocket socket(make_socket(address.family(), SOCK_DGRAM));
    if (options.reuse_address) socket.set_reuse_address(true);
    if (options.reuse_port) socket.set_reuse_port(true);
    if (address.family() == AF_INET6) socket.set_v6_only(options.v6_only);
    socket.bind_to(address.data(), address.length());
    return socket;
  } catch (const std::system_error& error) {
    throw_for(error, "bind to", address);
  }
}

UdpSocket UdpSocket::connect(const Address& peer) {
  try {
    UdpSocket socket(make_socket(peer.family(), SOCK_DGRAM));
    socket.connect_now(peer.data(), peer.length());
    return socket;
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", peer);
  }
}

void UdpSocket::connect_to(const Address& peer) {
  try {
    connect_now(peer.data(), peer.length());
  } catch (const std::system_error& error) {
    throw_for(error, "connect to", peer);
  }
}

void UdpSocket::disconnect() {
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  connect_now(&nobody, sizeof nobody);
}

void UdpSocket::set_broadcast(bool on) { set_option(SOL_SOCKET, SO_BROADCAST, on, "SO_BROADCAST"); }
bool UdpSocket::broadcast() const { return option(SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST") != 0; }

void UdpSocket::join_group(const Address& group, unsigned interface) {
  try {
    change_membership(*this, MCAST_JOIN_GROUP, "MCAST_JOIN_GROUP", group, interface);
  } catch (const std::system_error& error) {
    throw_for(error, "join", group);
  }
}

void UdpSocket::leave_group(const Address& group, unsigned interface) {
  try {
    change_membership(*this, MCAST_LEAVE_GROUP, "MCAST_LEAVE_GROUP", group, interface);
  } catch (const std::system_error& error) {
    throw_for(error, "leave", group);
  }
}

void UdpSocket::set_multicast_interface(unsigned interface) {
  if (is_v6()) {
    set_option(IPPROTO_IPV6, IPV6_MULTICAST_IF, static_cast<int>(interface), "IPV6_MULTICAST_IF");
    return;
  }
  ip_mreqn request{};
  request.imr_ifindex = static_cast<int>(interface);
  set_option(IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request, "IP_MULTICAST_IF");
}

void UdpSocket::set_multicast_hops(int hops) {
  if (is_v6())
    set_option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, "IPV6_MULTICAST_HOPS");
  else
    set_option(IPPROTO_IP, IP_MULTICAST_TTL, hops, "IP_MULTICAST_TTL");
}
int UdpSocket::multicast_hops() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, "IPV6_MULTICAST_HOPS")
                 : option(IPPROTO_IP, IP_MULTICAST_TTL, "IP_MULTICAST_TTL");
}

void UdpSocket::set_multicast_loop(bool on) {
  if (is_v6())
    set_option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on, "IPV6_MULTICAST_LOOP");
  else
    set_option(IPPROTO_IP, IP_MULTICAST_LOOP, on, "IP_MULTICAST_LOOP");
}
bool UdpSocket::multicast_loop() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, "IPV6_MULTICAST_LOOP") != 0
                 : option(IPPROTO_IP, IP_MULTICAST_LOOP, "IP_MULTICAST_LOOP") != 0;
}

void UdpSocket::set_receive_ecn(bool on) {
  const bool v6 = is_v6();
  if (v6) set_option(IPPROTO_IPV6, IPV6_RECVTCLASS, on, "IPV6_RECVTCLASS");
  if (!v6 || !v6_only()) set_option(IPPROTO_IP, IP_RECVTOS, on, "IP_RECVTOS");
}
bool UdpSocket::receive_ecn() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_RECVTCLASS, "IPV6_RECVTCLASS") != 0
                 : option(IPPROTO_IP, IP_RECVTOS, "IP_RECVTOS") != 0;
}

void UdpSocket::set_receive_destination(bool on) {
  if (is_v6())
    set_option(IPPROTO_IPV6, IPV6_RECVPKTINFO, on, "IPV6_RECVPKTINFO");
  else
    set_option(IPPROTO_IP, IP_PKTINFO, on, "IP_PKTINFO");
}
bool UdpSocket::receive_destination() const {
  return is_v6() ? option(IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO") != 0
                 : option(IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO") != 0;
}

void UdpSocket::set_receive_coalesced(bool on) { set_option(IPPROTO_UDP, UDP_GRO, on, "UDP_GRO"); }
bool UdpSocket::receive_coalesced() const { return option(IPPROTO_UDP, UDP_GRO, "UDP_GRO") != 0; }
bool UdpSocket::can_receive_coalesced() const { return knows(*this, UDP_GRO, "UDP_GRO"); }
bool UdpSocket::can_send_segments() const { return knows(*this, UDP_SEGMENT, "UDP_SEGMENT"); }

void UdpSocket::set_dont_fragment(bool on) {
  const int how = on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_WANT;  // IPv6's have the same numbers
  const bool v6 = is_v6();
  if (v6) set_option(IPPROTO_IPV6, IPV6_MTU_DISCOVER, how, "IPV6_MTU_DISCOVER");
  if (!v6 || !v6_only()) set_option(IPPROTO_IP, IP_MTU_DISCOVER, how, "IP_MTU_DISCOVER");
}
bool UdpSocket::dont_fragment() const {
  const int how = is_v6() ? option(IPPROTO_IPV6, IPV6_MTU_DISCOVER, "IPV6_MTU_DISCOVER")
                          : option(IPPROTO_IP, IP_MTU_DISCOVER, "IP_MTU_DISCOVER");
  return how >= IP_PMTUDISC_DO && how <= IP_PMTUDISC_PROBE;
}

}  // namespace heddle
