// A store in a bucket, against a server that verifies whatever can be verified.

#include "io/store/s3_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/model/error.h"
#include "io/store/open_store.h"
#include "store/s3_options.h"
#include "support/bytes_content.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/error_of.h"
#include "support/s3_stub.h"
#include "support/seed.h"
#include "support/temporary_directory.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

class S3StoreTest : public ::testing::Test {
 protected:
  S3Options small_parts() const { return options_for(stub_, 10'000); }

  void put(FileStore& store, const FileName& name, BytesContent& content) {
    const auto batch = store.begin_batch();
    batch->put(name, content);
    batch->settle();
  }

  std::vector<std::string> requests_with(const std::string& method, const std::string& part = {}) const {
    std::vector<std::string> found;
    for (const S3StubRequest& request : stub_.requests()) {
      if (request.method == method && contains(request.target, part)) found.push_back(request.target);
    }
    return found;
  }

  S3Stub stub_;
  S3Store store_{"bucket", "some/pre fix+", small_parts()};
  std::mt19937_64 random_{test_seed()};
};

TEST_F(S3StoreTest, FilesOfAllSizesComeBackAsTheyWere) {
  EXPECT_EQ(store_.uri(), "s3://bucket/some/pre fix+");
  EXPECT_EQ(store_.kind(), "s3");
  std::vector<BytesContent> files;
  for (const std::size_t size : {0, 1, 9999, 39'999, 40'000, 40'001, 50'000, 123'457}) {
    files.emplace_back(random_bytes(random_, size), 7'777);
  }
  for (int i = 0; i < 60; ++i) files.emplace_back(random_bytes(random_, random_() % 5000));
  std::uint64_t bytes = 0;
  const auto batch = store_.begin_batch();
  for (BytesContent& content : files) {
    batch->put(content.name(), content);
    batch->put(content.name(), content);
    bytes += content.size();
  }
  batch->settle();
  EXPECT_EQ(batch->files_written(), files.size());
  EXPECT_EQ(batch->bytes_written(), bytes);
  std::map<std::string, std::uint64_t> expected;
  const auto objects = stub_.objects();
  for (BytesContent& content : files) {
    EXPECT_EQ(objects.at("some/pre fix+/" + content.name().text()).bytes, text_of(content.bytes()));
    EXPECT_EQ(read_file(store_, content.name()), content.bytes());
    EXPECT_EQ(store_.size_of(content.name()), content.size());
    expected[content.name().text()] = content.size();
  }
  EXPECT_EQ(objects.size(), files.size());
  std::map<std::string, std::uint64_t> listed;
  store_.list([&](const StoredFile& stored) {
    listed[stored.name] = stored.bytes;
    EXPECT_LT(std::chrono::abs(std::chrono::system_clock::now() - stored.modified), 1h);
  });
  EXPECT_EQ(listed, expected);
  EXPECT_TRUE(stub_.uploads().empty());
  for (const S3StubRequest& request : stub_.requests()) {
    EXPECT_TRUE(request.status < 300 || (request.method == "HEAD" && request.status == 404))
        << request.method << " " << request.target << " " << request.status;
  }
}

TEST_F(S3StoreTest, WhatIsNotThereIsNotThere) {
  const FileName name = BytesContent(random_bytes(random_, 10)).name();
  EXPECT_EQ(store_.size_of(name), std::nullopt);
  EXPECT_EQ(read_file(store_, name), std::nullopt);
  EXPECT_FALSE(store_.remove(name));
  EXPECT_EQ(store_.abandon_unfinished(0s), 0U);
  store_.list([](const StoredFile& stored) { ADD_FAILURE() << stored.name; });
}

TEST_F(S3StoreTest, RemovesWhatIsThere) {
  BytesContent content(random_bytes(random_, 10));
  put(store_, content.name(), content);
  EXPECT_TRUE(store_.remove(content.name()));
  EXPECT_FALSE(store_.remove(content.name()));
  EXPECT_TRUE(stub_.objects().empty());
}

TEST_F(S3StoreTest, AYoungObjectIsNotPutAgainAndAnOldOneIs) {
  for (const std::size_t size : {1000, 50'000}) {
    BytesContent content(random_bytes(random_, size));
    put(store_, content.name(), content);
    const std::string key = "some/pre fix+/" + content.name().text();
    const auto put_again = [&] {
      stub_.forget_requests();
      const auto batch = store_.begin_batch();
      batch->put(content.name(), content);
      batch->settle();
      EXPECT_EQ(batch->files_written(), 0U);
      return requests_with("PUT").size();
    };
    EXPECT_EQ(put_again(), 0U);
    stub_.make_older(key, 11h);
    EXPECT_EQ(put_again(), 0U);
    stub_.make_older(key, 2h);  // half of a day
    EXPECT_EQ(put_again(), size == 1000 ? 1U : 5U);
    EXPECT_LT(std::chrono::system_clock::now() - stub_.objects().at(key).modified, 1h);
    // Of another size it is damaged.
    stub_.put_object(key, "damaged");
    const auto batch = store_.begin_batch();
    batch->put(content.name(), content);
    batch->settle();
    EXPECT_EQ(read_file(store_, content.name()), content.bytes());
  }
}

TEST_F(S3StoreTest, SmallFilesAreUnderWayTogetherWithinTheirBounds) {
  S3StubOptions slow;
  slow.delay = 20ms;
  S3Stub stub(slow);
  S3Options options = small_parts();
  options.calls.address = s3_address(stub.endpoint(), "us-east-1", "bucket");
  S3Store store("bucket", "", options);
  {
    const auto batch = store.begin_batch();
    for (int i = 0; i < 100; ++i) {
      BytesContent content(random_bytes(random_, 100));
      batch->put(content.name(), content);
    }
    batch->settle();
  }
  EXPECT_GT(stub.most_at_once(), 3);
  EXPECT_LE(stub.most_at_once(), 8);
  EXPECT_LE(stub.connections(), 8) << "connections are kept";
  stub.forget_requests();
  {
    const auto batch = store.begin_batch();
    for (int i = 0; i < 20; ++i) {
      BytesContent content(random_bytes(random_, 19'000));
      batch->put(content.name(), content);
    }
    batch->settle();
  }
  EXPECT_LE(stub.most_at_once(), 2) << "40,000 bytes at most are in memory";
  stub.forget_requests();
  BytesContent large(random_bytes(random_, 300'000));
  put(store, large.name(), large);
  EXPECT_GT(stub.most_at_once(), 2);
  EXPECT_LE(stub.most_at_once(), 4);
  EXPECT_EQ(read_file(store, large.name()), large.bytes());
}

TEST_F(S3StoreTest, PartsGrowSoThatTenThousandAreEnough) {
  S3Options options = small_parts();
  options.single_put_max = 1000;
  options.part_bytes = 100;  // 20,000 of them
  S3Store store("bucket", "", options);
  BytesContent content(random_bytes(random_, 2'000'000));
  put(store, content.name(), content);
  EXPECT_EQ(requests_with("PUT").size(), 2U) << "of 1 MiB";
  EXPECT_EQ(read_file(store, content.name()), content.bytes());
}

TEST_F(S3StoreTest, ManyThreadsUseOneStore) {
  std::vector<Bytes> contents;
  for (int i = 0; i < 40; ++i) contents.push_back(random_bytes(random_, i % 10 == 0 ? 50'000 : 3000));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      const auto batch = store_.begin_batch();
      for (const Bytes& bytes : contents) {
        BytesContent content(bytes);
        batch->put(content.name(), content);
      }
      batch->settle();
      for (const Bytes& bytes : contents) {
        if (read_file(store_, BytesContent(bytes).name()) != bytes) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(stub_.objects().size(), contents.size());
}

TEST_F(S3StoreTest, ListsPageAfterPageWithEitherVersionOfTheCall) {
  for (const bool only_first : {false, true}) {
    S3StubOptions pages;
    pages.page_keys = 7;
    pages.only_first_list_version = only_first;
    S3Stub stub(pages);
    S3Options options = small_parts();
    options.calls.address = s3_address(stub.endpoint(), "us-east-1", "bucket");
    S3Store store("bucket", "pre/fix", options);
    std::set<std::string> expected;
    for (int i = 0; i < 50; ++i) {
      const std::string name = "na me&<>+%" + std::to_string(i) + "/../\xc3\xa4\n\x01";
      stub.put_object("pre/fix/" + name, "x");
      expected.insert(name);
    }
    stub.put_object("pre/fixed", "x");
    stub.put_object("other", "x");
    std::set<std::string> listed;
    store.list([&](const StoredFile& stored) { EXPECT_TRUE(listed.insert(stored.name).second); });
    EXPECT_EQ(listed, expected);
    EXPECT_EQ(stub.requests().size(), 8U);
  }
}

TEST_F(S3StoreTest, AbandonsOldUploadsOfItsOwn) {
  const std::string ours = "some/pre fix+/" + BytesContent(random_bytes(random_, 10)).name().text();
  const std::string old_id = stub_.begin_upload(ours, 2h);
  const std::string young_id = stub_.begin_upload(ours, 0s);
  const std::string others = stub_.begin_upload("some/pre fix+/other", 2h);
  const std::string elsewhere = stub_.begin_upload(ours.substr(14), 2h);
  EXPECT_EQ(store_.abandon_unfinished(1h), 1U);
  EXPECT_FALSE(stub_.uploads().contains(old_id));
  EXPECT_EQ(stub_.uploads().size(), 3U);
  EXPECT_EQ(store_.abandon_unfinished(0s), 1U);
  EXPECT_FALSE(stub_.uploads().contains(young_id));
  EXPECT_TRUE(stub_.uploads().contains(others));
  EXPECT_TRUE(stub_.uploads().contains(elsewhere));
}

TEST_F(S3StoreTest, AbandonsUploadsPageAfterPage) {
  S3StubOptions pages;
  pages.page_keys = 3;
  S3Stub stub(pages);
  S3Options options = small_parts();
  options.calls.address = s3_address(stub.endpoint(), "us-east-1", "bucket");
  S3Store store("bucket", "", options);
  for (int i = 0; i < 20; ++i) {
    const std::string key = i % 2 == 0 ? "other" : BytesContent(random_bytes(random_, 10)).name().text();
    stub.begin_upload(key, 2h);
  }
  EXPECT_EQ(store.abandon_unfinished(1h), 10U);
  EXPECT_EQ(stub.uploads().size(), 10U);
}

TEST_F(S3StoreTest, AnUploadThatWasKilledIsAbandonedLater) {
  BytesContent content(random_bytes(random_, 100'000));
  stub_.arm(S3Fault::silence, 3, true, "PUT");
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    S3Store store("bucket", "", small_parts());
    store.begin_batch()->put(content.name(), content);
    ::_exit(0);
  }
  EXPECT_TRUE(wait_until([&] { return stub_.faults() > 0; }));
  ::kill(child, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  stub_.disarm();
  EXPECT_TRUE(stub_.objects().empty());
  EXPECT_EQ(stub_.uploads().size(), 1U);
  S3Store store("bucket", "", small_parts());
  EXPECT_EQ(store.abandon_unfinished(1h), 0U);
  EXPECT_EQ(store.abandon_unfinished(0s), 1U);
  EXPECT_TRUE(stub_.uploads().empty());
}

TEST_F(S3StoreTest, ABatchThatIsNotSettledIsCutOff) {
  BytesContent content(random_bytes(random_, 1000));
  stub_.arm(S3Fault::silence, 1, true, "PUT");
  store_.begin_batch()->put(content.name(), content);
  EXPECT_TRUE(stub_.objects().empty());
}

// ---- Checked beforehand ----

TEST_F(S3StoreTest, CheckPutsAndRemovesOneObject) {
  store_.check();
  EXPECT_TRUE(stub_.objects().empty());
  EXPECT_EQ(requests_with("PUT").size(), 1U);
  EXPECT_EQ(requests_with("DELETE").size(), 1U);
}

TEST_F(S3StoreTest, CheckTellsWhatIsWrongApart) {
  const auto complaint = [&](const std::function<void(S3Options&)>& change,
                             const std::string& bucket = "bucket") {
    S3Options options = small_parts();
    options.calls.address = s3_address(stub_.endpoint(), "us-east-1", bucket);
    change(options);
    stub_.forget_requests();
    const Error error = error_of([&] { S3Store(bucket, "", options).check(); });
    EXPECT_EQ(error.fault(), Fault::store);
    EXPECT_EQ(error.describe().find(stub_.options().secret_access_key), std::string::npos);
    EXPECT_EQ(error.describe().find("wr0ng-secret"), std::string::npos);
    EXPECT_EQ(stub_.requests().size(), 1U) << "nothing of this passes by itself";
    return error.describe();
  };
  EXPECT_EQ(complaint([](S3Options&) {}, "no-bucket"),
            "file store: s3://no-bucket: no file can be put there: there is no such bucket (NoSuchBucket, "
            "404); make "
            "the bucket first, or look for a slip in its name");
  EXPECT_EQ(
      complaint([](S3Options& options) { options.calls.credentials.secret_access_key = "wr0ng-secret"; }),
      "file store: s3://bucket: no file can be put there: the secret key is wrong (SignatureDoesNotMatch, "
      "403); "
      "compare AWS_SECRET_ACCESS_KEY with what the server has");
  EXPECT_NE(complaint([](S3Options& options) {
              options.calls.credentials.access_key_id = "other";
            }).find("the access key is not known there (InvalidAccessKeyId, 403)"),
            std::string::npos);
  EXPECT_NE(complaint([](S3Options& options) {
              options.calls.credentials.session_token = "wr0ng-secret";
            }).find("the session token is wrong (InvalidToken, 400)"),
            std::string::npos);
  EXPECT_NE(complaint([](S3Options& options) {
              options.calls.region = "eu-west-1";
            }).find("the region or the access key is wrong (AuthorizationHeaderMalformed, 400)"),
            std::string::npos);
  stub_.arm(S3Fault::forbidden, 1, true, "PUT");
  EXPECT_NE(complaint([](S3Options&) {}).find("no right to do that (AccessDenied, 403)"), std::string::npos);
  stub_.arm(S3Fault::forbidden, 1, true, "DELETE");
  EXPECT_NE(error_of([&] { store_.check(); })
                .describe()
                .find("no file can be removed there: this access key has no"),
            std::string::npos);
}

TEST_F(S3StoreTest, ASessionTokenGoesAlong) {
  S3StubOptions with_token;
  with_token.session_token = "to/ken==";
  S3Stub stub(with_token);
  S3Options options = small_parts();
  options.calls.address = s3_address(stub.endpoint(), "us-east-1", "bucket");
  options.calls.credentials.session_token = "to/ken==";
  S3Store("bucket", "", options).check();
}

TEST_F(S3StoreTest, NoRedirectIsFollowedToAnotherHost) {
  stub_.arm(S3Fault::redirect, 1, false);
  const Error error = error_of([&] { store_.check(); });
  EXPECT_NE(error.describe().find("where we do not go"), std::string::npos) << error.describe();
  EXPECT_EQ(stub_.requests().size(), 1U);
}

TEST_F(S3StoreTest, WhereNobodyListensItSaysSo) {
  S3Options options = small_parts();
  options.calls.address = s3_address("http://127.0.0.1:9", "us-east-1", "bucket");
  options.calls.retry_for = 20ms;
  const Error error = error_of([&] { S3Store("bucket", "", options).check(); });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_NE(error.describe().find("Connection refused (127.0.0.1:9); tried "), std::string::npos)
      << error.describe();
}

// The signature is for one server, and so is the trust.
TEST_F(S3StoreTest, ACertificateThatNobodyVouchesForIsRefusedAtOnce) {
  const TemporaryDirectory folder;
  const std::string key = folder / "key.pem";
  const std::string certificate = folder / "certificate.pem";
  const CommandResult made = run_command({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                                          "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                                          "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"});
  if (made.exit_status == 127) GTEST_SKIP() << "there is no openssl command";
  ASSERT_EQ(made.exit_status, 0) << made.err;
  RunningCommand server(
      {"openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www"});
  ASSERT_TRUE(wait_until([&] { return contains(server.out_so_far(), "ACCEPT 127.0.0.1:"); }))
      << server.err_so_far();
  const std::string out = server.out_so_far();
  const std::size_t at = out.find("ACCEPT 127.0.0.1:") + 17;
  const std::string port = out.substr(at, out.find_first_not_of("0123456789", at) - at);
  S3Options options = small_parts();
  options.calls.address = s3_address("https://localhost:" + port, "us-east-1", "bucket");
  const Error untrusted = error_of([&] { S3Store("bucket", "", options).check(); });
  EXPECT_TRUE(contains(untrusted.describe(), "SSL peer certificate")) << untrusted.describe();
  EXPECT_FALSE(contains(untrusted.describe(), "tried")) << untrusted.describe();
  // Trusted, but of another host.
  options.calls.http.certificates = certificate;
  options.calls.address = s3_address("https://127.0.0.1:" + port, "us-east-1", "bucket");
  const Error other = error_of([&] { S3Store("bucket", "", options).check(); });
  EXPECT_TRUE(contains(other.describe(), "SSL peer certificate")) << other.describe();
  // Trusted: it is a server, though it never answers a PUT.
  options.calls.retry_for = 0ms;
  options.calls.http.stall_timeout = 1s;
  options.calls.address = s3_address("https://localhost:" + port, "us-east-1", "bucket");
  const Error trusted = error_of([&] { S3Store("bucket", "", options).check(); });
  EXPECT_TRUE(contains(trusted.describe(), "Timeout was reached")) << trusted.describe();
}

// ---- Opened by its address ----

TEST_F(S3StoreTest, IsOpenedByItsAddressAndTheEnvironment) {
  StoreOptions options;
  std::map<std::string, std::string> variables = {
      {"AWS_ACCESS_KEY_ID", stub_.options().access_key_id},
      {"AWS_SECRET_ACCESS_KEY", stub_.options().secret_access_key},
      {"AWS_ENDPOINT_URL_S3", stub_.endpoint() + "/"}};
  options.environment = [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  const auto store = open_store("s3://bucket/a/b//", options);
  EXPECT_EQ(store->uri(), "s3://bucket/a/b");
  store->check();
  // What is given is stronger than the environment.
  variables["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9";
  variables["AWS_REGION"] = "eu-west-1";
  options.endpoint = stub_.endpoint();
  options.region = "us-east-1";
  open_store("s3://bucket", options)->check();
  // A proxy is one where the environment says so.
  variables["http_proxy"] = "http://user:pr0xypass@127.0.0.1:9";
  options.retry_for = 0ms;
  const Error error = error_of([&] { open_store("s3://bucket", options)->check(); });
  EXPECT_EQ(error.fault(), Fault::store);
  EXPECT_FALSE(contains(error.describe(), "pr0xypass")) << error.describe();
  variables["no_proxy"] = "127.0.0.1";
  open_store("s3://bucket", options)->check();

  for (const std::string uri :
       {"s3:", "s3://", "s3:///x", "s3://ab", "s3://.abc", "s3://a..b", "s3://a@b", "s3://a b", "s3://a:80",
        "s3://bucket/../x", "s3://bucket/a/../b", "s3://bucket/./a", "s3://bucket//a", "s3://bucket/a//b",
        "s3://bucket/a\nb", "S3://bucket"}) {
    EXPECT_EQ(error_of([&] { static_cast<void>(open_store(uri, options)); }).fault(), Fault::usage) << uri;
  }
  for (const std::string endpoint : {"127.0.0.1", "ftp://x", "http://", "http://user:secret@x", "http://x?y",
                                     "http://x/a b", "http://:80", "https://x y"}) {
    options.endpoint = endpoint;
    const Error refused = error_of([&] { static_cast<void>(open_store("s3://bucket", options)); });
    EXPECT_EQ(refused.fault(), Fault::usage) << endpoint;
    EXPECT_FALSE(contains(refused.describe(), "secret")) << refused.describe();
  }
}

TEST(S3Address, IsAmazonsWhereNoOtherIsGiven) {
  EXPECT_EQ(s3_address("", "eu-west-1", "bucket").origin, "https://bucket.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(s3_address("", "eu-west-1", "bucket").base_path, "");
  EXPECT_EQ(s3_address("", "cn-north-1", "bucket").host, "bucket.s3.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(s3_address("", "eu-west-1", "www.bucket").host, "s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(s3_address("", "eu-west-1", "www.bucket").base_path, "/www.bucket");
  const S3Address own = s3_address("https://minio:443/path/", "x", "bucket");
  EXPECT_EQ(own.origin, "https://minio:443");
  EXPECT_EQ(own.host, "minio");
  EXPECT_EQ(own.base_path, "/path/bucket");
  EXPECT_EQ(s3_address("http://[::1]:9000", "x", "bucket").host, "[::1]:9000");
}

}  // namespace
}  // namespace sluice::testing
