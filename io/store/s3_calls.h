#pragma once
// Calls to one bucket of S3: signed, several at a time, and tried again for as long as what went wrong may
// pass by itself.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/model/error.h"
#include "io/store/credentials.h"
#include "io/store/http_transfers.h"
#include "io/store/s3_answers.h"
#include "io/store/sigv4.h"

namespace sluice {

// Where a bucket is.
struct S3Address {
  std::string origin;     // "https://host:port"
  std::string host;       // as in the header Host
  std::string base_path;  // encoded, before the key and without a slash at its end: "/bucket", or empty
};

// In an endpoint the bucket is part of the path; at Amazon's it is part of the host's name, unless it has
// dots, for which certificates do not hold. Throws Error (Fault::usage) for what is no endpoint.
[[nodiscard]] S3Address s3_address(const std::string& endpoint, const std::string& region,
                                   const std::string& bucket);

struct S3CallOptions {
  S3Address address{};
  std::string region{};
  Credentials credentials{};
  HttpSettings http{};
  std::chrono::milliseconds retry_for = std::chrono::seconds(60);  // from a call's first failure on
  std::chrono::milliseconds first_pause = std::chrono::milliseconds(200);
  std::chrono::milliseconds last_pause = std::chrono::seconds(5);  // each is twice the one before, up to this
  std::function<bool()> stop{};
};

struct S3Answer {
  HttpAnswer http;
  S3Problem problem;    // what the body says about it
  std::string refused;  // what S3Call::objection said, and time was over
  int attempts = 1;

  [[nodiscard]] bool fine() const {
    // A good status may be sent before the server knows how it ends; then the body tells.
    return http.failure.empty() && refused.empty() && http.status >= 200 && http.status < 300 &&
           problem.code.empty();
  }
};

struct S3Call {
  std::string method = "GET";
  std::string key{};  // not encoded; empty: the bucket itself
  NameValues query{};
  NameValues headers{};  // signed, beside host and those that every call has

  // Borrowed until the answer is there; for a PUT of data its MD5 goes along.
  std::span<const std::byte> body{};
  bool with_md5 = false;

  std::size_t answer_max = std::size_t{64} << 10;
  // As HttpRequest::on_body. True when this brought something new: the time to try again then begins anew.
  std::function<bool(const HttpAnswer& answer, std::span<const std::byte> bytes)> on_body{};

  // Changes the headers before each attempt.
  std::function<void(NameValues& headers)> prepare{};
  // What is wrong with an answer that has a good status, so that the call is tried again; empty: nothing.
  std::function<std::string(const S3Answer& answer)> objection{};

  // For clearing up after a failure: goes on when the user has asked to stop, but not for long.
  bool last_wish = false;
};

// 32 digits, and in Base64 as in Content-MD5.
struct Md5 {
  std::string hex;
  std::string base64;
};
[[nodiscard]] Md5 md5_of(std::span<const std::byte> bytes);

// One thread at a time.
class S3Calls {
 public:
  explicit S3Calls(S3CallOptions options);
  ~S3Calls();  // cuts off what is under way
  S3Calls(const S3Calls&) = delete;
  S3Calls& operator=(const S3Calls&) = delete;

  // `done` is called once, by wait() or perform(), unless these throw; it may start further calls.
  void start(S3Call call, std::function<void(S3Answer)> done);

  // Until `enough` says so; it is asked whenever a call has ended. REQUIRES: it will, when all calls have
  // ended. Throws Error (Fault::interrupted) when the user asks to stop.
  void wait(const std::function<bool()>& enough);

  // Alone, or beside those under way.
  S3Answer perform(S3Call call);

  [[nodiscard]] std::size_t under_way() const { return calls_.size(); }
  void cancel_all();

  // What went wrong, with a way out: "cannot put x: the secret key is wrong (SignatureDoesNotMatch, 403)".
  // REQUIRES: !answer.fine().
  [[nodiscard]] Error error(const std::string& uri, const std::string& what, const S3Answer& answer) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct State;

  void attempt(State& state);
  void answered(State& state, HttpAnswer http);
  void step(Clock::time_point until);
  [[nodiscard]] std::string without_secrets(std::string text) const;

  S3CallOptions options_;
  std::map<std::uint64_t, std::unique_ptr<State>> calls_;
  std::uint64_t next_number_ = 0;
  std::mt19937_64 random_;
  HttpTransfers transfers_;  // last: it refers to the calls
};

}  // namespace sluice
