// A store in a bucket of a real server, OpenStack Swift, and boto3 as another client of it.

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "io/store/open_store.h"
#include "io/store/s3_store.h"
#include "support/bytes_content.h"
#include "support/command.h"
#include "support/conditions.h"
#include "support/error_of.h"
#include "support/seed.h"
#include "support/swift_server.h"
#include "support/temporary_directory.h"

namespace sluice::testing {
namespace {

using namespace std::chrono_literals;

class Swift : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    obstacle_ = SwiftServer::obstacle();
    if (!obstacle_.empty()) return;
    server_ = std::make_unique<SwiftServer>();
    for (const char* bucket : {"files", "many", "odd"}) {
      S3CallOptions options;
      options.address = s3_address(server_->endpoint(), SwiftServer::kRegion, bucket);
      options.region = SwiftServer::kRegion;
      options.credentials = {SwiftServer::kAccessKeyId, SwiftServer::kSecretAccessKey, ""};
      S3Calls calls(options);
      S3Call make;
      make.method = "PUT";
      const S3Answer made = calls.perform(make);
      if (!made.fine()) throw calls.error(bucket, "cannot be made", made);
    }
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    if (!obstacle_.empty()) GTEST_SKIP() << obstacle_;
  }

  static StoreOptions options(const std::string& secret = SwiftServer::kSecretAccessKey) {
    StoreOptions options;
    options.endpoint = server_->endpoint();
    options.environment = [secret](const std::string& name) -> std::optional<std::string> {
      if (name == "AWS_ACCESS_KEY_ID") return SwiftServer::kAccessKeyId;
      if (name == "AWS_SECRET_ACCESS_KEY") return secret;
      return std::nullopt;
    };
    return options;
  }

  // Runs a script, by the Python that Debian's packages are for, that has boto3's client as `s3`.
  static CommandResult boto(const std::string& script, const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> argv = {
        "/usr/bin/python3", "-c",
        "import sys, boto3, botocore.config\n"
        "s3 = boto3.client('s3', config=botocore.config.Config(s3={'addressing_style': 'path'}), "
        "endpoint_url='" +
            server_->endpoint() + "')\n" + script};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_command(argv, {.environment = {{"AWS_ACCESS_KEY_ID", SwiftServer::kAccessKeyId},
                                              {"AWS_SECRET_ACCESS_KEY", SwiftServer::kSecretAccessKey},
                                              {"AWS_DEFAULT_REGION", SwiftServer::kRegion},
                                              {"NO_PROXY", "127.0.0.1"}}});
  }
  static bool has_boto() { return run_command({"/usr/bin/python3", "-c", "import boto3"}).exit_status == 0; }

  static inline std::unique_ptr<SwiftServer> server_;
  static inline std::string obstacle_;
  std::mt19937_64 random_{test_seed()};
};

TEST_F(Swift, FilesOfAllSizesComeBackAsTheyWere) {
  const auto store = open_store("s3://files/some/prefix", options());
  store->check();
  std::vector<BytesContent> files;
  for (const std::size_t size : {0, 1, 5000, 1'000'000, 16 << 20, (16 << 20) + 1, 40'000'000}) {
    files.emplace_back(random_bytes(random_, size));
  }
  for (int i = 0; i < 30; ++i) files.emplace_back(random_bytes(random_, random_() % 20'000));
  const auto put_all = [&] {
    auto batch = store->begin_batch();
    for (BytesContent& content : files) batch->put(content.name(), content);
    batch->settle();
    return batch->files_written();
  };
  EXPECT_EQ(put_all(), files.size());
  std::set<std::string> names;
  for (BytesContent& content : files) {
    EXPECT_TRUE(read_file(*store, content.name()) == content.bytes()) << content.size();
    EXPECT_EQ(store->size_of(content.name()), content.size());
    names.insert(content.name().text());
  }
  std::set<std::string> listed;
  store->list([&](const StoredFile& stored) {
    listed.insert(stored.name);
    EXPECT_LT(std::chrono::abs(std::chrono::system_clock::now() - stored.modified), 1h);
  });
  EXPECT_EQ(listed, names);
  EXPECT_EQ(put_all(), 0U) << "they are there";
  EXPECT_TRUE(store->remove(files[3].name()));
  EXPECT_FALSE(store->remove(files[3].name()));
  EXPECT_EQ(store->size_of(files[3].name()), std::nullopt);
}

TEST_F(Swift, AnotherClientReadsTheSameBytes) {
  if (!has_boto()) GTEST_SKIP() << "there is no boto3";
  const auto store = open_store("s3://files/for boto+", options());
  const TemporaryDirectory folder;
  const auto batch = store->begin_batch();
  std::vector<BytesContent> files;
  for (const std::size_t size : {0, 70'000, 17'000'000}) files.emplace_back(random_bytes(random_, size));
  for (BytesContent& content : files) batch->put(content.name(), content);
  batch->settle();
  for (BytesContent& content : files) {
    const std::string copy = folder / "copy";
    const CommandResult got = boto("s3.download_file('files', sys.argv[1], sys.argv[2])",
                                   {"for boto+/" + content.name().text(), copy});
    ASSERT_EQ(got.exit_status, 0) << got.err;
    std::ifstream file(copy, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    EXPECT_TRUE(text == std::string(reinterpret_cast<const char*>(content.bytes().data()), content.size()))
        << content.size();
  }
  // And the other way round.
  BytesContent theirs(random_bytes(random_, 3000));
  std::ofstream(folder / "theirs", std::ios::binary)
      .write(reinterpret_cast<const char*>(theirs.bytes().data()), 3000);
  const CommandResult put = boto("s3.upload_file(sys.argv[2], 'files', sys.argv[1])",
                                 {"for boto+/" + theirs.name().text(), folder / "theirs"});
  ASSERT_EQ(put.exit_status, 0) << put.err;
  EXPECT_EQ(read_file(*store, theirs.name()), theirs.bytes());
}

TEST_F(Swift, TellsWhatIsWrongApart) {
  const auto complaint = [](const std::string& uri, const StoreOptions& options) {
    const Error error = error_of([&] { open_store(uri, options)->check(); });
    EXPECT_EQ(error.fault(), Fault::store);
    return error.describe();
  };
  EXPECT_TRUE(contains(complaint("s3://files", options("wr0ng-secret")),
                       "the secret key is wrong (SignatureDoesNotMatch, 403)"));
  EXPECT_FALSE(contains(complaint("s3://files", options("wr0ng-secret")), "wr0ng-secret"));
  EXPECT_TRUE(
      contains(complaint("s3://none-of-it", options()), "there is no such bucket (NoSuchBucket, 404)"));
  StoreOptions elsewhere = options();
  elsewhere.region = "eu-west-1";
  EXPECT_TRUE(contains(complaint("s3://files", elsewhere), "the region or the access key is wrong"))
      << complaint("s3://files", elsewhere);
}

TEST_F(Swift, UnfinishedUploadsAreAbandoned) {
  if (!has_boto()) GTEST_SKIP() << "there is no boto3";
  const auto store = open_store("s3://files/unfinished", options());
  const std::string ours = "unfinished/" + BytesContent(random_bytes(random_, 10)).name().text();
  const CommandResult begun = boto(
      "for key in (sys.argv[1], 'unfinished/other'):\n"
      "  id = s3.create_multipart_upload(Bucket='files', Key=key)['UploadId']\n"
      "  s3.upload_part(Bucket='files', Key=key, UploadId=id, PartNumber=1, Body=b'x')\n",
      {ours});
  ASSERT_EQ(begun.exit_status, 0) << begun.err;
  EXPECT_EQ(store->abandon_unfinished(1h), 0U);
  EXPECT_EQ(store->abandon_unfinished(0s), 1U);
  EXPECT_EQ(store->abandon_unfinished(0s), 0U);
  const CommandResult left =
      boto("print([u['Key'] for u in s3.list_multipart_uploads(Bucket='files').get('Uploads', [])])");
  EXPECT_TRUE(contains(left.out, "['unfinished/other']")) << left.out << left.err;
}

TEST_F(Swift, ListsMoreThanAThousandFiles) {
  const auto store = open_store("s3://many/p", options());
  std::set<std::string> names;
  const auto batch = store->begin_batch();
  for (int i = 0; i < 1050; ++i) {
    BytesContent content(random_bytes(random_, 20));
    batch->put(content.name(), content);
    names.insert(content.name().text());
  }
  batch->settle();
  EXPECT_EQ(batch->files_written(), 1050U);
  std::set<std::string> listed;
  store->list([&](const StoredFile& stored) { EXPECT_TRUE(listed.insert(stored.name).second); });
  EXPECT_EQ(listed, names);
}

TEST_F(Swift, NamesOfOthersAreListedAsTheyAreAndLeadNowhere) {
  if (!has_boto()) GTEST_SKIP() << "there is no boto3";
  const std::vector<std::string> names = {"../../x",     "a/../../../etc/x",     "/x",
                                          "a b+c%20&<>", "\xc3\xa4\xe2\x82\xac", "x/./y",
                                          "~",           std::string(900, 'k')};
  const CommandResult put =
      boto("for key in sys.argv[1:]: s3.put_object(Bucket='odd', Key='p/' + key, Body=b'x')", names);
  ASSERT_EQ(put.exit_status, 0) << put.err;
  const auto store = open_store("s3://odd/p", options());
  std::set<std::string> listed;
  store->list([&](const StoredFile& stored) {
    listed.insert(stored.name);
    EXPECT_FALSE(FileName::parse(stored.name));
  });
  EXPECT_EQ(listed, std::set<std::string>(names.begin(), names.end()));
}

// Signed for keys of every kind: what we sign is what the server understands.
TEST_F(Swift, KeysOfEveryKindAreSignedRight) {
  S3CallOptions with;
  with.address = s3_address(server_->endpoint(), SwiftServer::kRegion, "odd");
  with.region = SwiftServer::kRegion;
  with.credentials = {SwiftServer::kAccessKeyId, SwiftServer::kSecretAccessKey, ""};
  S3Calls calls(with);
  for (const std::string key : {"q/../../x", "q/a b", "q/a+b", "q/a%2Fb", "q/!*'()", "q/\xc3\xa4", "q/a//b",
                                "q/~.-_", "q/:@&=,;$?#[]", "q/\"<>\\^`{|}"}) {
    S3Call put;
    put.method = "PUT";
    put.key = key;
    put.body = std::as_bytes(std::span(key));
    put.with_md5 = true;
    EXPECT_TRUE(calls.perform(put).fine()) << key;
    S3Call get;
    get.key = key;
    const S3Answer got = calls.perform(get);
    EXPECT_TRUE(got.fine() && got.http.body == key) << key << ": " << got.http.status;
  }
}

}  // namespace
}  // namespace sluice::testing
