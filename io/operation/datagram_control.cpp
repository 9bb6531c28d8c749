// DatagramDetails as control messages: ip(7), ipv6(7), udp(7).
// SPDX-License-Identifier: MIT
#include "datagram_control.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cstring>

namespace heddle::detail {

namespace {

template <class SocketAddress>
SocketAddress as(const Address& address) noexcept {
  SocketAddress copy;
  std::memcpy(&copy, address.data(), sizeof copy);
  return copy;
}

class ControlWriter {
 public:
  explicit ControlWriter(std::byte* room) noexcept : room_(room) {}

  template <class T>
  void add(int level, int type, const T& value) noexcept {
    auto* const header = reinterpret_cast<cmsghdr*>(room_ + size_);
    std::memset(header, 0, CMSG_SPACE(sizeof value));
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(header), &value, sizeof value);
    size_ += CMSG_SPACE(sizeof value);
  }
  std::size_t size() const noexcept { return size_; }

 private:
  std::byte* room_;
  std::size_t size_ = 0;
};

// False where there are fewer bytes: the last one may have been cut off.
template <class T>
bool get(cmsghdr* header, T& value) noexcept {
  if (header->cmsg_len < CMSG_LEN(sizeof value)) return false;
  std::memcpy(&value, CMSG_DATA(header), sizeof value);
  return true;
}

bool is_mapped(const Address& address) noexcept {
  if (address.family() != AF_INET6) return false;
  const in6_addr host = as<sockaddr_in6>(address).sin6_addr;
  return IN6_IS_ADDR_V4MAPPED(&host);
}

in6_addr mapped(in_addr host) noexcept {
  in6_addr address{};
  address.s6_addr[10] = address.s6_addr[11] = 0xff;
  std::memcpy(&address.s6_addr[12], &host, sizeof host);
  return address;
}

#ifdef IPV6_PKTINFO
void add_v6_source(ControlWriter& control, const DatagramDetails& details, bool to_mapped) noexcept {
  in6_pktinfo info{};
  info.ipi6_ifindex = details.interface;
  if (details.local.family() == AF_INET6) {
    const auto local = as<sockaddr_in6>(details.local);
    info.ipi6_addr = local.sin6_addr;
    if (info.ipi6_ifindex == 0) info.ipi6_ifindex = local.sin6_scope_id;
  } else if (details.local.family() == AF_INET) {
    info.ipi6_addr = mapped(as<sockaddr_in>(details.local).sin_addr);
  } else if (to_mapped) {
    info.ipi6_addr = mapped({});
  }
  control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
}

void read_v6_destination(cmsghdr* header, DatagramDetails& details) noexcept {
  in6_pktinfo info;
  if (!get(header, info)) return;
  sockaddr_in6 local{};
  local.sin6_family = AF_INET6;
  local.sin6_addr = info.ipi6_addr;
  if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) local.sin6_scope_id = info.ipi6_ifindex;
  details.local = Address(reinterpret_cast<const sockaddr*>(&local), sizeof local);
  details.interface = info.ipi6_ifindex;
}
#endif

#ifdef IP_PKTINFO
void add_v4_source(ControlWriter& control, const DatagramDetails& details) noexcept {
  in_pktinfo info{};
  info.ipi_ifindex = static_cast<int>(details.interface);
  if (details.local.family() == AF_INET) {
    info.ipi_spec_dst = as<sockaddr_in>(details.local).sin_addr;
  } else if (is_mapped(details.local)) {
    const in6_addr local = as<sockaddr_in6>(details.local).sin6_addr;
    std::memcpy(&info.ipi_spec_dst, &local.s6_addr[12], sizeof info.ipi_spec_dst);
  } else if (details.local.length() != 0) {
    // An IPv6 source of what goes to IPv4: no address is left to say it with. This one the kernel refuses
    // (EINVAL).
    info.ipi_spec_dst.s_addr = INADDR_BROADCAST;
  }
  control.add(IPPROTO_IP, IP_PKTINFO, info);
}

void read_v4_destination(cmsghdr* header, DatagramDetails& details) noexcept {
  in_pktinfo info;
  if (!get(header, info)) return;
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr = info.ipi_addr;
  details.local = Address(reinterpret_cast<const sockaddr*>(&local), sizeof local);
  details.interface = static_cast<unsigned>(info.ipi_ifindex);
}
#endif

// To an unknown place both go along: a socket ignores what isn't of its family.
void add_traffic_class(ControlWriter& control, const DatagramDetails& details, const Address& to) noexcept {
  const int bits = (details.dscp & 0x3f) << 2 | (static_cast<int>(details.ecn) & 3);
  if (bits == 0) return;
  const bool is_v4 = to.family() == AF_INET || is_mapped(to);
  if (is_v4 || to.length() == 0) control.add(IPPROTO_IP, IP_TOS, bits);
#ifdef IPV6_TCLASS
  if (!is_v4) control.add(IPPROTO_IPV6, IPV6_TCLASS, bits);
#endif
}

void set_traffic_class(DatagramDetails& details, int bits) noexcept {
  details.ecn = static_cast<Ecn>(bits & 3);
  details.dscp = static_cast<unsigned char>(bits >> 2 & 0x3f);
}

void read_v4(cmsghdr* header, DatagramDetails& details) noexcept {
  unsigned char bits = 0;
  switch (header->cmsg_type) {
    case IP_TOS:
#if defined(IP_RECVTOS) && IP_RECVTOS != IP_TOS
    case IP_RECVTOS:  // as BSD names it
#endif
      if (get(header, bits)) set_traffic_class(details, bits);
      break;
#ifdef IP_PKTINFO
    case IP_PKTINFO:
      read_v4_destination(header, details);
      break;
#endif
    default:
      break;
  }
}

void read_v6(cmsghdr* header, DatagramDetails& details) noexcept {
  [[maybe_unused]] int bits = 0;
  switch (header->cmsg_type) {
#ifdef IPV6_TCLASS
    case IPV6_TCLASS:
      if (get(header, bits)) set_traffic_class(details, bits);
      break;
#endif
#ifdef IPV6_PKTINFO
    case IPV6_PKTINFO:
      read_v6_destination(header, details);
      break;
#endif
    default:
      break;
  }
}

void read_udp([[maybe_unused]] cmsghdr* header, [[maybe_unused]] DatagramDetails& details) noexcept {
#ifdef UDP_GRO
  int size = 0;
  if (header->cmsg_type == UDP_GRO && get(header, size))
    details.segment_size = static_cast<std::uint16_t>(size);
#endif
}

}  // namespace

std::size_t write_control(std::byte* room, const DatagramDetails& details, std::size_t size,
                          const Address& to) noexcept {
  ControlWriter control(room);
  add_traffic_class(control, details, to);
  if (names_source(details)) {
#ifdef IPV6_PKTINFO
    if (to.family() == AF_INET6) add_v6_source(control, details, is_mapped(to));
#endif
#ifdef IP_PKTINFO
    if (to.family() == AF_INET) add_v4_source(control, details);
#endif
  }
#ifdef UDP_SEGMENT
  if (details.segment_size != 0 && details.segment_size < size)
    control.add(IPPROTO_UDP, UDP_SEGMENT, details.segment_size);
#endif
  return control.size();
}

void read_control(msghdr& message, DatagramDetails& details) noexcept {
  details = DatagramDetails();
  details.incomplete = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    switch (header->cmsg_level) {
      case IPPROTO_IP:
        read_v4(header, details);
        break;
      case IPPROTO_IPV6:
        read_v6(header, details);
        break;
      case IPPROTO_UDP:
        read_udp(header, details);
        break;
      default:
        break;
    }
  }
}

}  // namespace heddle::detail
