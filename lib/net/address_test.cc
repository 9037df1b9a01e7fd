// SPDX-License-Identifier: Apache-2.0
#include "lib/net/address.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <cstring>

namespace meltemi::net {
namespace {

// Every connection holds some.
static_assert(sizeof(Address) <= 48);

TEST(Address, ReadsAndWritesItsText) {
  for (const std::string text :
       {"1.2.3.4:80", "255.255.255.255:65535", "0.0.0.0:0", "[::1]:80", "[::]:1",
        "[2001:db8::8a2e:370:7334]:443", "unix:/run/app.sock", "unix:@abstract"}) {
    const StatusOr<Address> address = Address::Parse(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->text(), text);
    const Address copy = Address::FromSockaddr(address->data(), address->length());
    EXPECT_EQ(copy, *address);
    EXPECT_EQ(copy.text(), text);
    EXPECT_EQ(copy.Hash(), address->Hash());
  }
  const std::string longest(sizeof(sockaddr_un::sun_path) - 1, 'x');
  EXPECT_EQ(Address::Unix(longest)->text(), "unix:" + longest);
  EXPECT_FALSE(Address::Unix(longest + "x").ok());
  EXPECT_EQ(Address().text(), "");
  EXPECT_EQ(Address().ip(), "");
}

TEST(Address, OfAnUnnamedUnixPeerIsEmpty) {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const Address address =
      Address::FromSockaddr(reinterpret_cast<sockaddr*>(&unnamed), sizeof unnamed.sun_family);
  EXPECT_EQ(address.family(), AF_UNIX);
  EXPECT_EQ(address.text(), "unix:");
  EXPECT_FALSE(address.is_ip());
}

TEST(Address, DiffersByPortAndScope) {
  const Address one = *Address::Parse("10.0.0.1:80");
  EXPECT_NE(one, one.WithPort(81));
  EXPECT_EQ(one.WithPort(81).text(), "10.0.0.1:81");
  sockaddr_in6 local{};
  local.sin6_family = AF_INET6;
  local.sin6_addr.s6_addr[0] = 0xfe;
  local.sin6_addr.s6_addr[1] = 0x80;
  const auto scoped = [&](uint32_t scope) {
    local.sin6_scope_id = scope;
    return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&local), sizeof local);
  };
  EXPECT_NE(scoped(1), scoped(2));
  EXPECT_EQ(scoped(2), scoped(2));
}

}  // namespace
}  // namespace meltemi::net
