#include "io/store/s3_calls.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "engine/model/hex.h"
#include "io/store/sha256.h"

namespace sluice {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick(100);                                 // how often stop() is asked
constexpr milliseconds kLastWish = std::chrono::seconds(5);        // clearing up may take so long
constexpr milliseconds kRetryAfterMax = std::chrono::seconds(30);  // whatever the server asks for

bool is_passing_status(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

// Whatever status they come with. The last three: the body was damaged or cut on its way.
bool is_passing_code(std::string_view code) {
  constexpr std::array<std::string_view, 9> kPassing = {
      "SlowDown",           "RequestTimeout", "InternalError",
      "ServiceUnavailable", "Throttling",     "RequestLimitExceeded",
      "BadDigest",          "IncompleteBody", "XAmzContentSHA256Mismatch"};
  return std::find(kPassing.begin(), kPassing.end(), code) != kPassing.end();
}

// What the code of an error means to whoever reads it, and what to do.
struct Meaning {
  std::string_view code;
  std::string_view meaning;
  std::string_view advice;
};
constexpr std::array<Meaning, 17> kMeanings = {{
    {"NoSuchBucket", "there is no such bucket", "make the bucket first, or look for a slip in its name"},
    {"SignatureDoesNotMatch", "the secret key is wrong",
     "compare AWS_SECRET_ACCESS_KEY with what the server has"},
    {"InvalidAccessKeyId", "the access key is not known there",
     "compare AWS_ACCESS_KEY_ID with what the server has"},
    {"AccessDenied", "this access key has no right to do that",
     "it needs to get, put, delete and list objects there, and to abort uploads"},
    {"AllAccessDisabled", "the bucket is locked", ""},
    {"ExpiredToken", "the credentials have expired", "get new ones, then run the same command again"},
    {"InvalidToken", "the session token is wrong", "compare AWS_SESSION_TOKEN with what was handed out"},
    {"RequestTimeTooSkewed", "this machine's clock is wrong",
     "set the clock, then run the same command again"},
    {"PermanentRedirect", "the bucket is elsewhere", "set AWS_REGION or AWS_ENDPOINT_URL_S3 to where it is"},
    {"TemporaryRedirect", "the bucket is elsewhere", "set AWS_REGION or AWS_ENDPOINT_URL_S3 to where it is"},
    {"AuthorizationHeaderMalformed", "the region or the access key is wrong",
     "set AWS_REGION to where the bucket is"},
    {"IllegalLocationConstraintException", "the bucket is in another region",
     "set AWS_REGION to where it is"},
    {"InvalidBucketName", "the server takes no bucket of that name", ""},
    {"EntityTooLarge", "the server takes no file of that size", ""},
    {"QuotaExceeded", "the quota is used up", "make room there, then run the same command again"},
    {"SlowDown", "the server is too busy", "run the same command again later"},
    {"ServiceUnavailable", "the server is too busy", "run the same command again later"},
}};

std::string_view meaning_of_status(int status) {
  switch (status) {
    case 301:
    case 302:
    case 307:
    case 308:
      return "the server sends us elsewhere, where we do not go with our signature";
    case 401:
    case 403:
      return "the server does not let us";
    case 404:
      return "there is no such thing";
    case 412:
      return "it has changed meanwhile";
    case 413:
      return "the server takes no file of that size";
    case 507:
      return "the server has no room left";
    default:
      return "the server refuses it";
  }
}

// "http://host:port/path", without a slash at its end.
struct Endpoint {
  std::string origin;
  std::string host;
  std::string path;
};

Endpoint parse_endpoint(const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    // Not the text: some write a password into it.
    throw Error(Fault::usage, "the endpoint of S3 is no address: " + why,
                "write https://host or http://host:port");
  };
  const std::size_t scheme_end = text.find("://");
  const std::string scheme = text.substr(0, scheme_end);
  if (scheme_end == std::string::npos || (scheme != "http" && scheme != "https")) {
    refuse("it begins with neither http:// nor https://");
  }
  const std::string rest = text.substr(scheme_end + 3);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string host = rest.substr(0, slash);
  std::string path = rest.substr(slash);
  while (path.ends_with('/')) path.pop_back();
  if (host.find('@') != std::string::npos) refuse("it holds a user name");
  constexpr std::string_view kHost = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
  if (host.empty() || host.front() == ':' || host.find_first_not_of(kHost) != std::string::npos) {
    refuse("it has no name of a host");
  }
  constexpr std::string_view kPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~/";
  if (path.find_first_not_of(kPath) != std::string::npos) refuse("it has more than a host and a path");
  std::string origin = scheme + "://" + host;
  // As everybody writes it into the header Host: without the port that is understood.
  const std::string understood = scheme == "http" ? ":80" : ":443";
  if (host.ends_with(understood)) host.resize(host.size() - understood.size());
  return {std::move(origin), std::move(host), std::move(path)};
}

std::string base64_of(std::span<const unsigned char> bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // and a zero
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace

S3Address s3_address(const std::string& endpoint, const std::string& region, const std::string& bucket) {
  if (!endpoint.empty()) {
    const Endpoint parsed = parse_endpoint(endpoint);
    return {parsed.origin, parsed.host, parsed.path + "/" + percent_encode(bucket, Slashes::encoded)};
  }
  const std::string host = "s3." + region + ".amazonaws.com" + (region.starts_with("cn-") ? ".cn" : "");
  if (bucket.find('.') != std::string::npos) {
    return {"https://" + host, host, "/" + percent_encode(bucket, Slashes::encoded)};
  }
  return {"https://" + bucket + "." + host, bucket + "." + host, ""};
}

Md5 md5_of(std::span<const std::byte> bytes) {
  std::array<unsigned char, 16> digest{};
  std::size_t size = digest.size();
  // Not for secrecy: also where the machine's policy allows it for nothing else.
  if (EVP_Q_digest(nullptr, "MD5", "-fips", bytes.data(), bytes.size(), digest.data(), &size) != 1) {
    throw Error(Fault::internal, "OpenSSL refuses to compute MD5");
  }
  return {hex_of({reinterpret_cast<const char*>(digest.data()), digest.size()}), base64_of(digest)};
}

struct S3Calls::State {
  std::uint64_t number = 0;
  S3Call call;
  std::function<void(S3Answer)> done;
  std::string sha256;
  std::string md5_base64;
  int attempts = 0;
  std::optional<Clock::time_point> give_up_at;  // since the first failure
  std::optional<Clock::time_point> next_at;     // waiting for another attempt
  milliseconds pause{0};
};

S3Calls::S3Calls(S3CallOptions options)
    : options_(std::move(options)), random_(std::random_device{}()), transfers_(options_.http) {}

S3Calls::~S3Calls() = default;

void S3Calls::start(S3Call call, std::function<void(S3Answer)> done) {
  auto state = std::make_unique<State>();
  state->number = next_number_++;
  state->call = std::move(call);
  state->done = std::move(done);
  state->sha256 = to_hex(sha256_of(state->call.body));
  if (state->call.with_md5) state->md5_base64 = md5_of(state->call.body).base64;
  state->pause = options_.first_pause;
  State& kept = *calls_.emplace(state->number, std::move(state)).first->second;
  attempt(kept);
}

void S3Calls::attempt(State& state) {
  const S3Call& call = state.call;
  state.next_at.reset();
  ++state.attempts;
  RequestToSign request;
  request.method = call.method;
  request.path = options_.address.base_path;
  if (!call.key.empty()) request.path += "/" + percent_encode(call.key, Slashes::stay);
  if (call.key.empty() && request.path.empty()) request.path = "/";
  request.query = call.query;
  request.headers = call.headers;
  if (call.prepare) call.prepare(request.headers);
  request.payload_sha256 = state.sha256;
  // Signed anew each time: a signature is good for a quarter of an hour.
  const SigningScope scope{amz_date(std::chrono::system_clock::now()), options_.region};
  request.headers.emplace_back("host", options_.address.host);
  request.headers.emplace_back("x-amz-date", scope.date_time);
  request.headers.emplace_back("x-amz-content-sha256", state.sha256);
  if (!state.md5_base64.empty()) request.headers.emplace_back("content-md5", state.md5_base64);
  if (!options_.credentials.session_token.empty()) {
    request.headers.emplace_back("x-amz-security-token", options_.credentials.session_token);
  }
  HttpRequest http;
  http.method = call.method;
  http.url = options_.address.origin + request.path;
  if (!call.query.empty()) http.url += "?" + canonical_query(call.query);
  for (const auto& [name, value] : request.headers) http.headers.push_back(name + ": " + value);
  http.headers.push_back("authorization: " + authorization(request, scope, options_.credentials));
  http.body = call.body;
  http.body_max = call.answer_max;
  if (call.on_body) {
    http.on_body = [this, &state](const HttpAnswer& answer, std::span<const std::byte> bytes) {
      if (!state.call.on_body(answer, bytes)) return;
      state.give_up_at.reset();
      state.pause = options_.first_pause;
    };
  }
  transfers_.start(std::move(http),
                   [this, &state](HttpAnswer answer) { answered(state, std::move(answer)); });
}

void S3Calls::answered(State& state, HttpAnswer http) {
  if (http.thrown) std::rethrow_exception(http.thrown);
  S3Answer answer;
  answer.http = std::move(http);
  answer.attempts = state.attempts;
  answer.problem = parse_problem(answer.http.body);
  bool passing = false;
  if (!answer.http.failure.empty()) {
    passing = answer.http.may_pass;
  } else if (!answer.fine()) {
    passing = is_passing_status(answer.http.status) || is_passing_code(answer.problem.code);
  } else if (state.call.objection) {
    answer.refused = state.call.objection(answer);
    passing = !answer.refused.empty();
  }
  if (passing) {
    const milliseconds retry_for =
        state.call.last_wish ? std::min(options_.retry_for, kLastWish) : options_.retry_for;
    const Clock::time_point now = Clock::now();
    if (!state.give_up_at) state.give_up_at = now + retry_for;
    if (now < *state.give_up_at) {
      // Between half of it and all of it, so that those who were refused together do not come back together.
      std::uniform_real_distribution<double> share(0.5, 1);
      auto pause = std::chrono::duration_cast<milliseconds>(state.pause * share(random_));
      state.pause = std::min(2 * state.pause, options_.last_pause);
      if (const auto asked = parse_number(answer.http.header("retry-after")); asked && *asked < 3600) {
        pause = std::max(pause, std::min<milliseconds>(std::chrono::seconds(*asked), kRetryAfterMax));
      }
      state.next_at = std::min(now + pause, *state.give_up_at);
      return;
    }
  }
  const auto done = std::move(state.done);
  calls_.erase(state.number);  // `state` is gone
  done(std::move(answer));
}

void S3Calls::step(Clock::time_point until) {
  std::vector<State*> due;
  const Clock::time_point now = Clock::now();
  for (const auto& [number, state] : calls_) {
    if (!state->next_at) continue;
    if (*state->next_at <= now) {
      due.push_back(state.get());
    } else {
      until = std::min(until, *state->next_at);
    }
  }
  for (State* state : due) attempt(*state);
  const auto wait = std::chrono::ceil<milliseconds>(until - Clock::now());
  transfers_.step(std::max(wait, milliseconds(0)));
}

void S3Calls::wait(const std::function<bool()>& enough) {
  while (!enough()) {
    const bool only_wishes = std::all_of(calls_.begin(), calls_.end(),
                                         [](const auto& entry) { return entry.second->call.last_wish; });
    if (!only_wishes && options_.stop && options_.stop()) {
      throw Error(Fault::interrupted, "stopped while the file store was waited for");
    }
    step(Clock::now() + kTick);
  }
}

S3Answer S3Calls::perform(S3Call call) {
  std::optional<S3Answer> answer;
  start(std::move(call), [&](S3Answer given) { answer = std::move(given); });
  try {
    wait([&] { return answer.has_value(); });
  } catch (...) {
    cancel_all();  // `done` refers to what is on our stack
    throw;
  }
  return std::move(*answer);
}

void S3Calls::cancel_all() {
  transfers_.cancel_all();
  calls_.clear();
}

std::string S3Calls::without_secrets(std::string text) const {
  const Credentials& credentials = options_.credentials;
  for (const std::string* secret :
       {&credentials.secret_access_key, &credentials.session_token, &options_.http.proxy}) {
    if (secret->size() < 4) continue;
    for (std::size_t at = text.find(*secret); at != std::string::npos; at = text.find(*secret, at)) {
      text.replace(at, secret->size(), "***");
    }
  }
  return text;
}

Error S3Calls::error(const std::string& uri, const std::string& what, const S3Answer& answer) const {
  std::string text = uri + ": " + what + ": ";
  std::string advice;
  if (!answer.http.failure.empty()) {
    text += answer.http.failure + " (" + options_.address.host + ")";
    if (answer.http.may_pass)
      advice = "see whether the server can be reached, then run the same command again";
  } else if (!answer.refused.empty()) {
    text += answer.refused;
  } else {
    const std::string& code = answer.problem.code;
    const auto* known = std::find_if(kMeanings.begin(), kMeanings.end(),
                                     [&](const Meaning& meaning) { return meaning.code == code; });
    if (known != kMeanings.end()) {
      text += known->meaning;
      advice = known->advice;
    } else {
      text += meaning_of_status(answer.http.status);
    }
    text += " (" + (code.empty() ? "" : code + ", ") + std::to_string(answer.http.status) + ")";
    if (known == kMeanings.end() && !answer.problem.message.empty()) text += ": " + answer.problem.message;
    std::string region = answer.problem.region;
    if (region.empty()) region = answer.http.header("x-amz-bucket-region");
    const bool printable =
        std::all_of(region.begin(), region.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (!region.empty() && region.size() < 64 && printable && region != options_.region) {
      text += "; it is in the region " + region;
    }
  }
  if (answer.attempts > 1) text += "; tried " + std::to_string(answer.attempts) + " times";
  return {Fault::store, without_secrets(std::move(text)), advice};
}

}  // namespace sluice
