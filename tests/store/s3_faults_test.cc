// A server of S3 that fails at every request of a job in turn, once and for good. Whatever was put is there
// then, and nothing that is not whole has the name of a file.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/model/error.h"
#include "io/store/s3_store.h"
#include "store/s3_options.h"
#include "support/bytes_content.h"
#include "support/conditions.h"
#include "support/error_of.h"
#include "support/s3_stub.h"
#include "support/seed.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

// Those that may pass by themselves.
constexpr S3Fault kPassing[] = {
    S3Fault::internal_error, S3Fault::bad_gateway,     S3Fault::unavailable, S3Fault::gateway_timeout,
    S3Fault::slow_down,      S3Fault::too_many,        S3Fault::cut_request, S3Fault::no_answer,
    S3Fault::cut_answer,     S3Fault::request_timeout, S3Fault::wrong_etag,  S3Fault::error_in_good_answer};
constexpr S3Fault kFinal[] = {S3Fault::forbidden, S3Fault::no_bucket, S3Fault::redirect, S3Fault::huge_answer,
                              S3Fault::garbage};

struct Case {
  S3Fault fault;
  bool sticky;
};

class S3Faults : public ::testing::TestWithParam<Case> {
 protected:
  static bool passes(S3Fault fault) {
    return std::find(std::begin(kPassing), std::end(kPassing), fault) != std::end(kPassing);
  }

  std::mt19937_64 random_{test_seed()};
};

// Some small files, one in parts, and one that is there already but old.
TEST_P(S3Faults, WhatWasPutIsThereAndNothingIsHalfThere) {
  const auto [fault, sticky] = GetParam();
  std::vector<BytesContent> files;
  for (const std::size_t size : {0, 1, 1500, 4000, 3999})
    files.emplace_back(random_bytes(random_, size), 500);
  files.emplace_back(random_bytes(random_, 6'500), 700);
  BytesContent& old = files[2];
  const std::string old_key = "p/" + old.name().text();
  int failed = 0;
  for (int at = 1;; ++at) {
    ASSERT_LT(at, 60);
    S3Stub stub;
    S3Options options = options_for(stub, 1'000);
    if (sticky) options.calls.retry_for = 12ms;
    // What a server has done with a request that was cut off, nobody can know.
    if (sticky && fault == S3Fault::wrong_etag) options.puts_under_way = 1;
    S3Store store("bucket", "p", options);
    S3Store healthy("bucket", "p", options_for(stub, 1'000));
    stub.put_object(old_key, text_of(old.bytes()));
    stub.make_older(old_key, 100h);
    stub.arm(fault, at, sticky);
    Error failure{Fault::internal, "none"};
    {
      const auto batch = store.begin_batch();
      failure = error_of([&] {
        for (BytesContent& content : files) batch->put(content.name(), content);
        batch->settle();
      });
      // Failed once, it stays so.
      if (failure.fault() == Fault::store) {
        EXPECT_EQ(error_of([&] { batch->settle(); }).fault(), Fault::store);
      }
    }
    const bool clean = stub.faults() == 0;
    stub.disarm();
    SCOPED_TRACE(std::string(name_of(fault)) + " at request " + std::to_string(at) + ": " +
                 failure.describe());
    for (const auto& [key, object] : stub.objects()) {
      const std::optional<FileName> name = FileName::parse(key.substr(2));
      ASSERT_TRUE(name) << key;
      // What rows may refer to is not removed, even if it is put again and comes out wrong.
      if (fault == S3Fault::wrong_etag && sticky && key == old_key) continue;
      EXPECT_EQ(to_hex(sha256_of(std::as_bytes(std::span(object.bytes)))), to_hex(name->sha256)) << key;
    }
    EXPECT_TRUE(stub.objects().contains(old_key));
    if (failure.fault() == Fault::internal) {
      ASSERT_EQ(failure.describe().find("none"), std::string::npos);
      for (BytesContent& content : files) EXPECT_EQ(read_file(healthy, content.name()), content.bytes());
      EXPECT_EQ(stub.objects().size(), files.size());
      EXPECT_LT(std::chrono::system_clock::now() - stub.objects().at(old_key).modified, 1h);
    } else {
      ++failed;
      EXPECT_EQ(failure.fault(), Fault::store);
      // To HEAD, 400 is all that the server says.
      EXPECT_TRUE(sticky || !passes(fault) || contains(failure.what(), "the server refuses it (400)"))
          << "once is no reason to give up";
      EXPECT_TRUE(contains(failure.what(), "s3://bucket/p: ")) << failure.what();
      EXPECT_FALSE(contains(failure.describe(), stub.options().secret_access_key));
      EXPECT_FALSE(contains(failure.describe(), "Signature="));
    }
    // What is left of uploads is cleared away, and another batch goes well.
    if (!sticky && fault != S3Fault::no_answer && fault != S3Fault::cut_answer) {
      EXPECT_TRUE(stub.uploads().empty());
    }
    healthy.abandon_unfinished(0s);
    EXPECT_TRUE(stub.uploads().empty());
    const auto again = healthy.begin_batch();
    for (BytesContent& content : files) again->put(content.name(), content);
    again->settle();
    for (BytesContent& content : files) EXPECT_EQ(read_file(healthy, content.name()), content.bytes());
    if (clean) {
      EXPECT_GE(at, 20) << "the job is too small";
      break;
    }
  }
  if (sticky || !passes(fault)) {
    EXPECT_GT(failed, fault == S3Fault::garbage && !sticky ? 0 : 5) << "the fault does no harm";
  }
}

TEST_P(S3Faults, WhatIsReadIsWholeOrAnError) {
  const auto [fault, sticky] = GetParam();
  if (fault == S3Fault::error_in_good_answer || fault == S3Fault::garbage || fault == S3Fault::huge_answer) {
    return;  // another file; the name tells, and whoever reads compares
  }
  BytesContent content(random_bytes(random_, 500'000));
  for (int at = 1; at < 3; ++at) {
    S3Stub stub;
    S3Options options = options_for(stub, 1'000);
    if (sticky) options.calls.retry_for = 12ms;
    S3Store store("bucket", "", options);
    stub.put_object(content.name().text(), text_of(content.bytes()));
    stub.arm(fault, at, sticky);
    Bytes got;
    bool found = false;
    const Error error = error_of([&] {
      found = store.read(content.name(), [&](std::span<const std::byte> piece) {
        got.insert(got.end(), piece.begin(), piece.end());
      });
    });
    SCOPED_TRACE(std::string(name_of(fault)) + " at request " + std::to_string(at) + ": " + error.describe());
    if (error.fault() == Fault::internal && found) {
      EXPECT_EQ(got, content.bytes());
    } else if (error.fault() == Fault::internal) {
      EXPECT_EQ(fault, S3Fault::no_bucket);
    } else {
      EXPECT_EQ(error.fault(), Fault::store);
      EXPECT_TRUE(sticky || !passes(fault));
    }
  }
}

TEST_P(S3Faults, ListsAndRemovalsAreWholeOrErrors) {
  const auto [fault, sticky] = GetParam();
  for (int at = 1;; ++at) {
    ASSERT_LT(at, 30);
    S3StubOptions pages;
    pages.page_keys = 2;
    S3Stub stub(pages);
    S3Options options = options_for(stub, 1'000);
    if (sticky) options.calls.retry_for = 12ms;
    S3Store store("bucket", "", options);
    std::set<std::string> expected;
    FileName first{};
    for (int i = 0; i < 5; ++i) {
      first = BytesContent(random_bytes(random_, 10)).name();
      stub.put_object(first.text(), "0123456789");
      stub.begin_upload(first.text(), 2h);
      expected.insert(first.text());
    }
    stub.arm(fault, at, sticky);
    std::set<std::string> listed;
    std::size_t abandoned = 0;
    bool removed = false;
    const Error error = error_of([&] {
      store.list([&](const StoredFile& stored) { listed.insert(stored.name); });
      abandoned = store.abandon_unfinished(1h);
      removed = store.remove(first);
    });
    SCOPED_TRACE(std::string(name_of(fault)) + " at request " + std::to_string(at) + ": " + error.describe());
    if (error.fault() == Fault::internal) {
      EXPECT_EQ(listed, expected);
      EXPECT_TRUE(stub.uploads().empty());
      // When the answer to an abort was lost, it was not there the second time.
      EXPECT_GE(abandoned, 4U);
      EXPECT_TRUE(removed || fault == S3Fault::no_bucket);
      EXPECT_EQ(stub.objects().size(), removed ? 4U : 5U);
    } else {
      EXPECT_EQ(error.fault(), Fault::store);
      EXPECT_TRUE(sticky || !passes(fault) || contains(error.what(), "the server refuses it (400)"));
    }
    if (stub.faults() == 0) break;
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const bool sticky : {false, true}) {
    for (const S3Fault fault : kPassing) cases.push_back({fault, sticky});
    for (const S3Fault fault : kFinal) cases.push_back({fault, sticky});
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, S3Faults, ::testing::ValuesIn(all_cases()), [](const auto& info) {
  return std::string(name_of(info.param.fault)) + (info.param.sticky ? "_for_good" : "_once");
});

class S3Cuts : public ::testing::Test {
 protected:
  S3Stub stub_;
  std::mt19937_64 random_{test_seed()};
};

TEST_F(S3Cuts, AnAnswerThatIsCutAtAnyByteIsNoticedAndReadOn) {
  BytesContent content(random_bytes(random_, 300));
  stub_.put_object(content.name().text(), text_of(content.bytes()));
  S3Store store("bucket", "", options_for(stub_, 1'000));
  std::size_t whole = 0;
  for (std::size_t cut = 0; cut < 700 && whole == 0; ++cut) {
    stub_.arm(S3Fault::cut_answer, 1, false);
    stub_.cut_at(cut);
    stub_.forget_requests();
    EXPECT_EQ(read_file(store, content.name()), content.bytes()) << "cut at " << cut;
    if (stub_.requests().size() == 1) whole = cut;
  }
  EXPECT_GT(whole, 400U) << "the headers and 300 bytes";
}

TEST_F(S3Cuts, ARangeThatIsShorterThanAskedForIsNotTheEnd) {
  S3StubOptions short_ranges;
  short_ranges.range_bytes_max = 100;
  S3Stub stub(short_ranges);
  BytesContent content(random_bytes(random_, 1000));
  stub.put_object(content.name().text(), text_of(content.bytes()));
  S3Store store("bucket", "", options_for(stub, 1'000));
  stub.arm(S3Fault::cut_answer, 1, false);
  EXPECT_EQ(read_file(store, content.name()), content.bytes());
  EXPECT_GT(stub.requests().size(), 4U);
}

TEST_F(S3Cuts, AnAnswerToAPutThatIsCutAtAnyByteIsNotTakenForOne) {
  S3Store store("bucket", "", options_for(stub_, 1'000));
  for (std::size_t cut = 0; cut < 220; cut += 3) {
    BytesContent content(random_bytes(random_, 300));
    stub_.arm(S3Fault::cut_answer, 1, false, "PUT");
    stub_.cut_at(cut);
    const auto batch = store.begin_batch();
    batch->put(content.name(), content);
    batch->settle();
    EXPECT_EQ(batch->files_written(), 1U);
    EXPECT_EQ(read_file(store, content.name()), content.bytes()) << "cut at " << cut;
  }
}

TEST_F(S3Cuts, AFileThatChangesWhileItIsReadIsAnError) {
  BytesContent content(random_bytes(random_, 300'000));
  stub_.put_object(content.name().text(), text_of(content.bytes()));
  S3Store store("bucket", "", options_for(stub_, 1'000));
  stub_.arm(S3Fault::cut_answer, 1, false);
  bool changed = false;
  const Error error = error_of([&] {
    store.read(content.name(), [&](std::span<const std::byte>) {
      if (!std::exchange(changed, true)) stub_.put_object(content.name().text(), std::string(300'000, 'x'));
    });
  });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_TRUE(contains(error.describe(), "has changed meanwhile")) << error.describe();
}

TEST_F(S3Cuts, WhatTheReaderThrowsComesThrough) {
  stub_.put_object(BytesContent({}).name().text(), "bytes");
  S3Store store("bucket", "", options_for(stub_, 1'000));
  EXPECT_EQ(error_of([&] {
              store.read(BytesContent({}).name(),
                         [](std::span<const std::byte>) { throw Error(Fault::output, "no room"); });
            }).fault(),
            Fault::output);
}

// ---- Waiting ----

TEST_F(S3Cuts, AStopEndsEveryWaitAtOnce) {
  BytesContent small(random_bytes(random_, 1000));
  BytesContent large(random_bytes(random_, 10'000));
  for (BytesContent* content : {&small, &large}) {
    for (const S3Fault fault : {S3Fault::silence, S3Fault::slow_down}) {
      std::atomic<bool> stop = false;
      S3Options options = options_for(stub_, 1'000);
      options.calls.retry_for = 1h;
      options.calls.first_pause = 10min;  // it waits for the next attempt
      options.calls.last_pause = 10min;
      options.calls.stop = [&] { return stop.load(); };
      S3Store store("bucket", "", options);
      stub_.arm(fault, 1, true, "PUT");
      std::thread stopper([&] {
        wait_until([&] { return stub_.faults() > 0; });
        stop = true;
      });
      const auto batch = store.begin_batch();
      const Error error = error_of([&] {
        batch->put(content->name(), *content);
        batch->settle();
      });
      stopper.join();
      stub_.disarm();
      EXPECT_EQ(error.fault(), Fault::interrupted) << error.describe();
      EXPECT_TRUE(stub_.objects().empty());
      EXPECT_TRUE(stub_.uploads().empty()) << "a last wish";
    }
  }
}

TEST_F(S3Cuts, ASilentServerIsGivenUp) {
  S3Options options = options_for(stub_, 1'000);
  options.calls.http.stall_timeout = 1s;
  options.calls.retry_for = 0ms;
  S3Store store("bucket", "", options);
  stub_.arm(S3Fault::silence, 1, true);
  const Error error = error_of([&] { store.check(); });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_TRUE(contains(error.describe(), "Timeout was reached (127.0.0.1:")) << error.describe();
  EXPECT_EQ(stub_.faults(), 1);
}

TEST_F(S3Cuts, WithNoTimeToTryAgainThereIsOneAttempt) {
  S3Options options = options_for(stub_, 1'000);
  options.calls.retry_for = 0ms;
  S3Store store("bucket", "", options);
  stub_.arm(S3Fault::slow_down, 1, true);
  EXPECT_TRUE(
      contains(error_of([&] { store.check(); }).describe(), "the server is too busy (SlowDown, 503)"));
  EXPECT_EQ(stub_.faults(), 1);
}

TEST_F(S3Cuts, ThePausesBecomeLonger) {
  S3Options options = options_for(stub_, 1'000);
  options.calls.retry_for = 3s;
  options.calls.first_pause = 100ms;
  options.calls.last_pause = 10s;
  S3Store store("bucket", "", options);
  stub_.arm(S3Fault::slow_down, 1, true);
  const Error error = error_of([&] { store.check(); });
  // 100 + 200 + 400 + 800 + 1600 ms, each with half of it off at most, and one at the end.
  EXPECT_GE(stub_.faults(), 4);
  EXPECT_LE(stub_.faults(), 8);
  EXPECT_TRUE(contains(error.describe(), "tried " + std::to_string(stub_.faults()) + " times"));
}

}  // namespace
}  // namespace sluice::testing
