// UDP: binding, connecting, and multicast groups.
// SPDX-License-Identifier: MIT
#include "udp.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <system_error>

#include "../address/error_text.hpp"

namespace heddle {

using namespace detail;

namespace {

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

}  // namespace heddle
