// Names as --identifiers asks for them.

#include "engine/plan/names.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/seed.h"

namespace sluice {
namespace {

TEST(Identifiers, PreserveChangesNothing) {
  for (const char* name : {"", "Order Item", "x", "Ä\n"}) {
    EXPECT_EQ(identifier_in(Identifiers::preserve, name), name);
  }
}

TEST(Identifiers, LowerFoldsAsciiAlone) {
  EXPECT_EQ(identifier_in(Identifiers::lower, "OrderItem No"), "orderitem no");
  EXPECT_EQ(identifier_in(Identifiers::lower, "ÄPFEL"), "Äpfel");
}

TEST(Identifiers, SnakeFindsTheWords) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"OrderItem", "order_item"},
      {"orderItem", "order_item"},
      {"order_item", "order_item"},
      {"ORDER", "order"},
      {"ORDER_ITEM", "order_item"},
      {"HTTPServer", "http_server"},
      {"userID", "user_id"},
      {"userIDs", "user_i_ds"},
      {"sha256Sum", "sha256_sum"},
      {"Order Item-No.", "order_item_no"},
      {"  padded  ", "padded"},
      {"a.b/c", "a_b_c"},
      {"_id", "_id"},
      {"__Version__", "__version__"},
      {"Größe in m²", "größe_in_m²"},
      {"ÜberUns", "Über_uns"},
      {"1st", "1st"},
      {"", ""},
      {"???", "???"},
      {"A", "a"},
  };
  for (const auto& [name, snake] : names) {
    EXPECT_EQ(identifier_in(Identifiers::snake, name), snake) << name;
  }
}

TEST(Identifiers, SnakeOfSnakeIsItself) {
  const std::uint64_t seed = testing::test_seed();
  std::mt19937_64 random(seed);
  const std::string letters = "aAbZ09_ .-\xc3\xa4";
  for (int round = 0; round < 20'000; ++round) {
    std::string name;
    for (std::uint64_t length = random() % 9; length > 0; --length)
      name += letters[random() % letters.size()];
    const std::string snake = identifier_in(Identifiers::snake, name);
    EXPECT_EQ(identifier_in(Identifiers::snake, snake), snake) << name;
    EXPECT_EQ(snake.empty(), name.empty()) << name;
  }
}

TEST(Identifiers, NamesThatBecomeEqualStayApart) {
  NameSpace names;
  std::set<std::string> given;
  for (const char* name : {"OrderItem", "order_item", "Order Item", "ORDER-ITEM"}) {
    EXPECT_TRUE(given.insert(names.claim(identifier_in(Identifiers::snake, name))).second) << name;
  }
  EXPECT_TRUE(given.contains("order_item"));
}

}  // namespace
}  // namespace sluice
