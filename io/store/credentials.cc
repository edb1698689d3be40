#include "io/store/credentials.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::size_t kFileBytes = std::size_t{1} << 20;

constexpr std::string_view kBlanks = " \t\r";

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1));
}

// What is set to nothing is not set.
std::optional<std::string> value_of(const EnvironmentLookup& environment, const std::string& name) {
  std::optional<std::string> value = environment ? environment(name) : std::nullopt;
  if (value && value->empty()) value.reset();
  return value;
}

// They become headers and names of hosts.
std::string require_plain(const std::string& what, std::string value) {
  for (const char c : value) {
    if (c <= ' ' || c > '~')
      throw Error(Fault::usage, "S3: " + what + " holds blanks or characters that no such thing has");
  }
  return value;
}

Credentials require_plain(Credentials credentials) {
  require_plain("the access key", credentials.access_key_id);
  require_plain("the secret key", credentials.secret_access_key);
  require_plain("the session token", credentials.session_token);
  return credentials;
}

std::string profile_of(const EnvironmentLookup& environment) {
  return value_of(environment, "AWS_PROFILE").value_or("default");
}

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

// Nothing when there is none.
std::optional<std::string> read_small_file(const std::string& path) {
  errno = 0;
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rbe"));
  if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  std::string text(kFileBytes + 1, '\0');
  const std::size_t got = file ? std::fread(text.data(), 1, text.size(), file.get()) : 0;
  if (!file || std::ferror(file.get()) != 0) {
    throw Error(Fault::usage, path + " cannot be read: " + std::generic_category().message(errno));
  }
  if (got > kFileBytes) throw Error(Fault::usage, path + " is too large for a file of credentials");
  text.resize(got);
  return text;
}

// The file that `variable` names, or that of the home folder; nothing when there is none.
std::optional<IniFile> ini_file(const EnvironmentLookup& environment, const std::string& variable,
                                const std::string& below_home) {
  std::optional<std::string> path = value_of(environment, variable);
  if (!path) {
    const std::optional<std::string> home = value_of(environment, "HOME");
    if (!home) return std::nullopt;
    path = *home + below_home;
  }
  const std::optional<std::string> text = read_small_file(*path);
  if (!text) return std::nullopt;
  return parse_ini(*text);
}

std::optional<std::string> find_in(const IniFile& file, const std::string& section, const std::string& key) {
  const auto found = file.find(section);
  if (found == file.end()) return std::nullopt;
  const auto value = found->second.find(key);
  if (value == found->second.end() || value->second.empty()) return std::nullopt;
  return value->second;
}

// Of the configuration file, whose sections are called "profile x", and "default".
std::optional<std::string> setting(const EnvironmentLookup& environment, const std::string& key) {
  const std::optional<IniFile> file = ini_file(environment, "AWS_CONFIG_FILE", "/.aws/config");
  if (!file) return std::nullopt;
  const std::string profile = profile_of(environment);
  if (std::optional<std::string> value = find_in(*file, "profile " + profile, key)) return value;
  return profile == "default" ? find_in(*file, profile, key) : std::nullopt;
}

}  // namespace

IniFile parse_ini(std::string_view text) {
  IniFile file;
  std::string section;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const std::string content = trimmed(line);
    if (content.empty() || content.front() == '#' || content.front() == ';') continue;
    if (content.front() == '[') {
      const std::size_t close = content.find(']');
      section = close == std::string::npos ? std::string() : trimmed(content.substr(1, close - 1));
      // "[profile  x]" is "[profile x]"
      if (section.starts_with("profile ")) section = "profile " + trimmed(section.substr(8));
      continue;
    }
    if (kBlanks.find(line.front()) != std::string_view::npos) continue;
    const std::size_t equals = content.find('=');
    if (equals == std::string::npos || section.empty()) continue;
    file[section][trimmed(std::string_view(content).substr(0, equals))] =
        trimmed(std::string_view(content).substr(equals + 1));
  }
  return file;
}

Credentials find_credentials(const EnvironmentLookup& environment) {
  const std::optional<std::string> id = value_of(environment, "AWS_ACCESS_KEY_ID");
  const std::optional<std::string> secret = value_of(environment, "AWS_SECRET_ACCESS_KEY");
  if (id && secret)
    return require_plain({*id, *secret, value_of(environment, "AWS_SESSION_TOKEN").value_or("")});
  if (id || secret) {
    throw Error(Fault::usage,
                std::string("S3: ") + (id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY") + " is set, but " +
                    (id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID") + " is not",
                "set both of them, or neither and use a file of credentials");
  }
  const std::string profile = profile_of(environment);
  if (const std::optional<IniFile> file =
          ini_file(environment, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials")) {
    const std::optional<std::string> file_id = find_in(*file, profile, "aws_access_key_id");
    const std::optional<std::string> file_secret = find_in(*file, profile, "aws_secret_access_key");
    if (file_id && file_secret) {
      return require_plain(
          {*file_id, *file_secret, find_in(*file, profile, "aws_session_token").value_or("")});
    }
  }
  throw Error(
      Fault::usage, "S3: there are no credentials, neither in the environment nor in the profile " + profile,
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and AWS_SHARED_CREDENTIALS_FILE");
}

std::string find_region(const EnvironmentLookup& environment) {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (const std::optional<std::string> value = value_of(environment, name))
      return require_plain(name, *value);
  }
  return require_plain("the region", setting(environment, "region").value_or("us-east-1"));
}

std::optional<std::string> find_endpoint(const EnvironmentLookup& environment) {
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (std::optional<std::string> value = value_of(environment, name)) return value;
  }
  return setting(environment, "endpoint_url");
}

}  // namespace sluice
