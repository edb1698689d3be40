// Files that go to S3: to OpenStack Swift, a server that did not learn its language from us, and to a stub
// that fails on request.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/conditions.h"
#include "support/corpus.h"
#include "support/query.h"
#include "support/s3_stub.h"
#include "support/swift_server.h"
#include "support/temporary_directory.h"
#include "support/test_server.h"

namespace sluice::testing {
namespace {

namespace fs = std::filesystem;

using Environment = std::vector<std::pair<std::string, std::string>>;

class OffloadS3 : public ::testing::Test {
 protected:
  void SetUp() override { target_ = shared_test_server().create_database("offload_s3_test"); }

  [[nodiscard]] std::string source() const { return (folder_ / "source.sqlite").string(); }

  CommandResult migrate(const std::string& table, const std::string& column, const std::string& uri,
                        const Environment& environment, std::vector<std::string> flags = {}) {
    const std::string config = (folder_ / "mapping.toml").string();
    std::ofstream(config) << "[tables.\"" << table << "\".offload.\"" << column << "\"]\nstore = \"" << uri
                          << "\"\nsha256 = \"sha\"\nsize = \"bytes\"\n";
    flags.insert(flags.begin(), {sluice_program(), "migrate", source(), target_, "--config", config});
    CommandOptions options;
    options.environment = environment;
    return run_command(flags, options);
  }

  CommandResult offload(const std::string& table, const std::string& column, const std::string& uri,
                        const Environment& environment, std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(), {sluice_program(), "offload", target_, "--table", table, "--column", column,
                                 "--store", uri, "--sha256", "sha", "--size", "bytes"});
    CommandOptions options;
    options.environment = environment;
    return run_command(flags, options);
  }

  static Environment environment_of(const SwiftServer& server) {
    return {{"AWS_ENDPOINT_URL", server.endpoint()},
            {"AWS_REGION", SwiftServer::kRegion},
            {"AWS_ACCESS_KEY_ID", SwiftServer::kAccessKeyId},
            {"AWS_SECRET_ACCESS_KEY", SwiftServer::kSecretAccessKey}};
  }
  static Environment environment_of(const S3Stub& stub) {
    return {{"AWS_ENDPOINT_URL", stub.endpoint()},
            {"AWS_REGION", stub.options().region},
            {"AWS_ACCESS_KEY_ID", stub.options().access_key_id},
            {"AWS_SECRET_ACCESS_KEY", stub.options().secret_access_key}};
  }

  void make_table(int rows) {
    execute(
        target_,
        "DROP TABLE IF EXISTS file; CREATE TABLE file (id bigint PRIMARY KEY, data text); INSERT INTO file "
        "SELECT i, translate(encode(convert_to(repeat(md5(i::text), 1 + i % 40), 'UTF8'), 'base64'), "
        "E'\\n', '') FROM generate_series(1, " +
            std::to_string(rows) + ") i");
  }

  // Rows whose path has no object behind it, or another one.
  std::vector<std::string> dangling(const S3Stub& stub, const std::string& prefix) {
    std::vector<std::string> wrong;
    const std::map<std::string, S3StubObject> objects = stub.objects();
    for (const QueryRow& row :
         query(target_,
               "SELECT DISTINCT \"filePath\", bytes FROM file WHERE \"filePath\" IS NOT "
               "NULL")) {
      const auto object = objects.find(prefix + "/" + *row[0]);
      if (object == objects.end() || std::to_string(object->second.bytes.size()) != *row[1])
        wrong.push_back(*row[0]);
    }
    return wrong;
  }

  TemporaryDirectory folder_;
  std::string target_;
};

// Everything that is in the bucket, with boto3: sizes and SHA-256 of all objects below the prefix.
constexpr const char* kJudge = R"py(
import base64, hashlib, os, sqlite3, sys, boto3
source, table, column, bucket, prefix = sys.argv[1:6]
s3 = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT_URL'], config=boto3.session.Config(s3={'addressing_style': 'path'}))
found = {}
for page in s3.get_paginator('list_objects').paginate(Bucket=bucket, Prefix=prefix):
    for entry in page.get('Contents', []):
        body = s3.get_object(Bucket=bucket, Key=entry['Key'])['Body'].read()
        found[entry['Key']] = hashlib.sha256(body).hexdigest()
wanted = set()
for (value,) in sqlite3.connect(source).execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL'):
    content = base64.b64decode(value, validate=True)
    wanted.add(hashlib.sha256(content).hexdigest())
for name in wanted:
    key = f'{prefix}/{name[:2]}/{name}'
    if found.pop(key, None) != name:
        sys.exit(f'{key} is missing or another')
print(len(wanted), len(found))
)py";

TEST_F(OffloadS3, MigratesTheCorporaIntoARealServer) {
  const std::string obstacle = SwiftServer::obstacle();
  if (!obstacle.empty()) GTEST_SKIP() << obstacle;
  SwiftServer server;
  const Environment environment = environment_of(server);
  CommandOptions python;
  python.environment = environment;
  const CommandResult bucket =
      run_command({"python3", "-c",
                   "import boto3, os; boto3.client('s3', "
                   "endpoint_url=os.environ['AWS_ENDPOINT_URL']).create_bucket(Bucket='files')"},
                  python);
  if (bucket.exit_status != 0) GTEST_SKIP() << "no boto3 to make a bucket with: " << bucket.err;

  ASSERT_EQ(run_command({generate_dataset_program(), "workspace", source(), "--rows", "2000"}).exit_status,
            0);
  CommandResult result = migrate("File", "data", "s3://files/team", environment);
  ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
  CommandResult judged =
      run_command({"python3", "-c", kJudge, source(), "File", "data", "files", "team"}, python);
  EXPECT_EQ(judged.out, "240 0\n") << judged.err;
  EXPECT_EQ(
      query_value(target_, "SELECT count(*) FROM \"File\" WHERE \"storageType\" = 's3' AND data IS NULL"),
      "240");
  result = offload("File", "data", "s3://files/team", environment, {"--verify"});
  EXPECT_EQ(result.exit_status, 0) << result.err << result.out;

  const auto corpus = corpus_file("micro_pgloader_storage");
  if (corpus) {
    fs::copy_file(*corpus, source(), fs::copy_options::overwrite_existing);
    result = migrate("files", "file_data", "s3://files/web2py", environment);
    ASSERT_EQ(result.exit_status, 0) << result.err << result.out;
    judged =
        run_command({"python3", "-c", kJudge, source(), "files", "file_data", "files", "web2py"}, python);
    EXPECT_EQ(judged.exit_status, 0) << judged.err;
  }

  // In place, and what nobody refers to any more.
  make_table(100);
  result = offload("file", "data", "s3://files/place", environment);
  ASSERT_EQ(result.exit_status, 0) << result.err;
  execute(target_, "DELETE FROM file WHERE id = 50");
  result =
      offload("file", "data", "s3://files/place", environment, {"--gc", "--older-than", "0", "--delete"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "1 removed")) << result.out;
  EXPECT_EQ(offload("file", "data", "s3://files/place", environment, {"--verify"}).exit_status, 0);

  // What is wrong for good.
  Environment wrong = environment;
  wrong[3].second = "not-the-secret";
  result = offload("file", "data", "s3://files/place", wrong, {"--verify"});
  EXPECT_EQ(result.exit_status, 40) << result.out;
  EXPECT_TRUE(contains(result.err, "SignatureDoesNotMatch")) << result.err;
  EXPECT_FALSE(contains(result.err, "not-the-secret")) << result.err;
  result = offload("file", "data", "s3://nowhere/place", environment, {"--verify"});
  EXPECT_EQ(result.exit_status, 40) << result.out;
  EXPECT_TRUE(contains(result.err, "NoSuchBucket")) << result.err;
}

TEST_F(OffloadS3, LivesThroughWhatPassesAndEndsWith40Otherwise) {
  struct Case {
    S3Fault fault;
    bool sticky;
    int status;
  };
  int number = 0;
  for (const Case& shot : {Case{S3Fault::unavailable, false, 0}, Case{S3Fault::slow_down, false, 0},
                           Case{S3Fault::cut_answer, false, 0}, Case{S3Fault::cut_request, false, 0},
                           Case{S3Fault::no_answer, false, 0}, Case{S3Fault::wrong_etag, false, 0},
                           Case{S3Fault::unavailable, true, 40}, Case{S3Fault::cut_answer, true, 40},
                           Case{S3Fault::forbidden, true, 40}, Case{S3Fault::no_bucket, true, 40},
                           Case{S3Fault::garbage, true, 40}}) {
    const std::string prefix = "shot" + std::to_string(++number);
    SCOPED_TRACE(std::string(name_of(shot.fault)) + (shot.sticky ? " from then on" : " once"));
    S3Stub stub;
    const std::string uri = "s3://bucket/" + prefix;
    make_table(150);
    // The first requests are the look whether the store takes anything; a sticky fault begins among the
    // files.
    stub.arm(shot.fault, 40, shot.sticky);
    CommandResult result =
        offload("file", "data", uri, environment_of(stub), {"--retry-for", "2s", "--jobs", "2"});
    EXPECT_GT(stub.faults(), 0);
    if (shot.fault == S3Fault::garbage && result.exit_status == 0) {
      // A PUT's answer has no body that anybody reads.
    } else {
      EXPECT_EQ(result.exit_status, shot.status) << result.err << result.out;
    }
    EXPECT_EQ(dangling(stub, prefix), std::vector<std::string>());
    EXPECT_FALSE(contains(result.err + result.out, stub.options().secret_access_key));
    stub.disarm();
    result = offload("file", "data", uri, environment_of(stub));
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(
        query_value(target_, "SELECT count(*) FROM file WHERE data IS NULL AND \"filePath\" IS NOT NULL"),
        "150");
    EXPECT_EQ(dangling(stub, prefix), std::vector<std::string>());
  }
}

TEST_F(OffloadS3, OfAMigrationLeavesNothingDanglingWhereverTheStoreFails) {
  CommandOptions script;
  script.input = "CREATE TABLE file (id INTEGER PRIMARY KEY, data TEXT);";
  ASSERT_EQ(run_command({"sqlite3", "-batch", source()}, script).exit_status, 0);
  const CommandResult filled = run_command(
      {"python3", "-c",
       "import base64, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executemany('INSERT INTO file "
       "VALUES (?, ?)', "
       "((i, base64.b64encode(b'file %d ' % i * (1 + i % 50)).decode()) for i in range(300))); c.commit()",
       source()});
  ASSERT_EQ(filled.exit_status, 0) << filled.err;
  S3Stub stub;
  int failed = 0;
  for (const int at : {5, 60, 150, 290}) {
    SCOPED_TRACE(at);
    target_ = shared_test_server().create_database("offload_s3_test");
    stub.arm(S3Fault::forbidden, at, true);
    CommandResult result = migrate("file", "data", "s3://bucket/m" + std::to_string(at), environment_of(stub),
                                   {"--range-size", "16KB"});
    EXPECT_EQ(result.exit_status, 40) << result.err << result.out;
    failed += result.exit_status == 40 ? 1 : 0;
    EXPECT_TRUE(contains(result.err, "AccessDenied")) << result.err;
    if (query_value(target_, "SELECT to_regclass('file') IS NOT NULL") == "t") {
      EXPECT_EQ(dangling(stub, "m" + std::to_string(at)), std::vector<std::string>());
    }
    stub.disarm();
    result = migrate("file", "data", "s3://bucket/m" + std::to_string(at), environment_of(stub),
                     {"--range-size", "16KB"});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(dangling(stub, "m" + std::to_string(at)), std::vector<std::string>());
    EXPECT_EQ(query_value(target_, "SELECT count(*) FROM file WHERE \"filePath\" IS NOT NULL"), "300");
  }
  EXPECT_EQ(failed, 4);
}

}  // namespace
}  // namespace sluice::testing
