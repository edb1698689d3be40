#include "engine/app/blot.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

std::string blotted(std::string argument) {
  blot_passwords(argument);
  return argument;
}

TEST(Blot, ThePasswordOfAUri) {
  EXPECT_EQ(blotted("postgresql://me:hunter2@host:5432/x"), "postgresql://me:xxxxxxx@host:5432/x");
  EXPECT_EQ(blotted("--target=postgres://me:hunter2@host/x"), "--target=postgres://me:xxxxxxx@host/x");
  // More than libpq takes: whoever forgot to encode it must not see it in a list of processes.
  EXPECT_EQ(blotted("postgresql://me:hun@ter/2@host/x"), "postgresql://me:xxxxxxxxx@host/x");
  EXPECT_EQ(blotted("postgress://me:hunter2@host/x"), "postgress://me:xxxxxxx@host/x");
}

TEST(Blot, TheParametersOfAUri) {
  EXPECT_EQ(blotted("postgresql:///x?host=h&sslpassword=hunter2"),
            "postgresql:///x?host=h&sslpassword=xxxxxxx");
  EXPECT_EQ(blotted("postgresql:///x?password=hun%20ter"), "postgresql:///x?password=xxxxxxxxx");
  EXPECT_EQ(blotted("postgresql:///x?pass%77ord=hunter2&host=h"),
            "postgresql:///x?pass%77ord=xxxxxxx&host=h");
  EXPECT_EQ(blotted("postgresql:///x?host=h%"), "postgresql:///x?host=h%");
}

TEST(Blot, TheValueOfAKey) {
  EXPECT_EQ(blotted("host=h password=hunter2 dbname=x"), "host=h password=xxxxxxx dbname=x");
  EXPECT_EQ(blotted("password = 'hun ter\\'2' dbname=x"), "password = xxxxxxxxxxxx dbname=x");
  EXPECT_EQ(blotted("password='hunter2"), "password=xxxxxxxx");
  EXPECT_EQ(blotted("password=hun\\ ter dbname=x"), "password=xxxxxxxx dbname=x");
  EXPECT_EQ(blotted("sslpassword=a password=b"), "sslpassword=x password=x");
  EXPECT_EQ(blotted("password=a://b@c host=h"), "password=xxxxxxx host=h");
  EXPECT_EQ(blotted("password="), "password=");
  EXPECT_EQ(blotted("password"), "password");
}

TEST(Blot, WhatHoldsNoneStays) {
  for (const char* argument :
       {"", "app.sqlite", "sqlite:///srv/app.sqlite", "postgresql://me@host:5432/x?user=a",
        "host=h port=5432", "local:try", "--exclude", "passwords_*", "postgresql://host:5432/x"}) {
    EXPECT_EQ(blotted(argument), argument);
  }
}

}  // namespace
}  // namespace sluice
