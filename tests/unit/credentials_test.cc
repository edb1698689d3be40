// Credentials, region and endpoint from an environment and files that the test makes up.

#include "io/store/credentials.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "engine/model/error.h"
#include "support/temporary_directory.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialsTest() { variables_["HOME"] = home_.path(); }

  void set(const std::string& name, const std::string& value) { variables_[name] = value; }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories((home_ / name).parent_path());
    std::ofstream(home_ / name) << text;
  }
  EnvironmentLookup environment() {
    return [this](const std::string& name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
  }
  std::string complaint() {
    try {
      static_cast<void>(find_credentials(environment()));
    } catch (const Error& error) {
      EXPECT_EQ(error.fault(), Fault::usage);
      return error.describe();
    }
    return {};
  }

  testing::TemporaryDirectory home_;
  std::map<std::string, std::string> variables_;
};

TEST_F(CredentialsTest, TheEnvironmentComesFirst) {
  write(".aws/credentials", "[default]\naws_access_key_id=file\naws_secret_access_key=file\n");
  set("AWS_ACCESS_KEY_ID", "id");
  set("AWS_SECRET_ACCESS_KEY", "secret");
  EXPECT_EQ(find_credentials(environment()), (Credentials{"id", "secret", ""}));
  set("AWS_SESSION_TOKEN", "token");
  EXPECT_EQ(find_credentials(environment()), (Credentials{"id", "secret", "token"}));
}

TEST_F(CredentialsTest, HalfOfThemIsAMistakeThatSaysNoSecret) {
  set("AWS_SECRET_ACCESS_KEY", "s3cret");
  EXPECT_NE(complaint().find("AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not"),
            std::string::npos);
  EXPECT_EQ(complaint().find("s3cret"), std::string::npos);
  // Empty is not set.
  set("AWS_ACCESS_KEY_ID", "");
  EXPECT_NE(complaint(), "");
}

TEST_F(CredentialsTest, AProfileOfTheFile) {
  write(".aws/credentials",
        "# comment\n[default]\r\naws_access_key_id = one\r\naws_secret_access_key= a=b/+c \r\n\n"
        "[work]\naws_access_key_id=two\naws_secret_access_key=three\naws_session_token=four\n[half]\n"
        "aws_access_key_id=five\n");
  EXPECT_EQ(find_credentials(environment()), (Credentials{"one", "a=b/+c", ""}));
  set("AWS_PROFILE", "work");
  EXPECT_EQ(find_credentials(environment()), (Credentials{"two", "three", "four"}));
  set("AWS_PROFILE", "half");
  EXPECT_NE(complaint().find("in the profile half"), std::string::npos);
  set("AWS_PROFILE", "none");
  EXPECT_NE(complaint(), "");
  write("elsewhere", "[none]\naws_access_key_id=six\naws_secret_access_key=seven\n");
  set("AWS_SHARED_CREDENTIALS_FILE", home_ / "elsewhere");
  EXPECT_EQ(find_credentials(environment()), (Credentials{"six", "seven", ""}));
}

TEST_F(CredentialsTest, NoneAtAll) {
  EXPECT_NE(complaint().find("there are no credentials"), std::string::npos);
  EXPECT_THROW(static_cast<void>(find_credentials({})), Error);
  set("AWS_SHARED_CREDENTIALS_FILE", home_.path());  // a folder
  EXPECT_NE(complaint().find("cannot be read"), std::string::npos);
  write("large", std::string((1 << 20) + 1, '#'));
  set("AWS_SHARED_CREDENTIALS_FILE", home_ / "large");
  EXPECT_NE(complaint().find("too large"), std::string::npos);
}

TEST_F(CredentialsTest, TheRegion) {
  EXPECT_EQ(find_region(environment()), "us-east-1");
  write(".aws/config",
        "[default]\nregion = eu-west-1\ns3 =\n  region = nested\n[profile  work]\nregion=eu-west-2\n");
  EXPECT_EQ(find_region(environment()), "eu-west-1");
  set("AWS_PROFILE", "work");
  EXPECT_EQ(find_region(environment()), "eu-west-2");
  set("AWS_DEFAULT_REGION", "eu-west-3");
  EXPECT_EQ(find_region(environment()), "eu-west-3");
  set("AWS_REGION", "eu-west-4");
  EXPECT_EQ(find_region(environment()), "eu-west-4");
}

TEST_F(CredentialsTest, TheEndpoint) {
  EXPECT_EQ(find_endpoint(environment()), std::nullopt);
  write(".aws/config", "[default]\nendpoint_url = http://one\n");
  EXPECT_EQ(find_endpoint(environment()), "http://one");
  set("AWS_ENDPOINT_URL", "http://two");
  EXPECT_EQ(find_endpoint(environment()), "http://two");
  set("AWS_ENDPOINT_URL_S3", "http://three");
  EXPECT_EQ(find_endpoint(environment()), "http://three");
}

TEST(IniFileTest, ToleratesWhatIsNoIniFile) {
  EXPECT_TRUE(parse_ini("").empty());
  EXPECT_TRUE(parse_ini("key=before any section\n[\n[]\n=\nx\n").empty());
  EXPECT_EQ(parse_ini("[a]\n=\nb\nc=\n"), (IniFile{{"a", {{"", ""}, {"c", ""}}}}));
  EXPECT_EQ(parse_ini("[a]\nk=1\nk=2"), (IniFile{{"a", {{"k", "2"}}}}));
}

}  // namespace
}  // namespace sluice
