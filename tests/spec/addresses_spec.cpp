// What is read from the addresses of those who connect.
//
//   1. ThoseWhoConnectAreToldApart
#include "open/addresses.hpp"

#include <gtest/gtest.h>

namespace rondo::testing {
namespace {

TEST(Addresses, ThoseWhoConnectAreToldApart) {
  using detail::origin_of;
  EXPECT_EQ(origin_of("192.0.2.7:1"), origin_of("192.0.2.7:65535"));
  EXPECT_NE(origin_of("192.0.2.7:1"), origin_of("192.0.2.8:1"));
  EXPECT_EQ(origin_of("[2001:db8:0:7::1]:1"), origin_of("[2001:db8:0:7:ffff::2]:2"));
  EXPECT_NE(origin_of("[2001:db8:0:7::1]:1"), origin_of("[2001:db8:0:8::1]:1"));
  EXPECT_EQ(origin_of("[fe80::1%a-zone-of-sixteen]:1"), origin_of("[fe80::2%a-zone-of-sixteen]:2"));
  EXPECT_NE(origin_of("[fe80::1%a-zone-of-sixteen]:1"), origin_of("[fe80::1%lo]:1"));
  EXPECT_NE(origin_of("[fe80::1%2]:1"), origin_of("[fe80::1%3]:1"));
  EXPECT_NE(origin_of("[fe80::1%2]:1"), origin_of("0.0.0.0:1"));
  EXPECT_NE(origin_of("0.0.0.0:1"), origin_of("[::]:1"));
}

}  // namespace
}  // namespace rondo::testing
