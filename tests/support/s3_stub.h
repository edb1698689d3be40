#pragma once
// A small server that speaks the language of S3, correctly until it is told otherwise.
//
// It has one bucket, in memory. Signatures, MD5 and SHA-256 of requests are verified by code of its own, and
// what does not hold is refused as S3 refuses it. Every member function may be called from any thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sluice::testing {

// What becomes of a request in place of what should.
enum class S3Fault : std::uint8_t {
  none,
  internal_error,        // 500 InternalError
  bad_gateway,           // 502 and a page in HTML
  unavailable,           // 503 without a body
  gateway_timeout,       // 504
  slow_down,             // 503 SlowDown
  too_many,              // 429
  request_timeout,       // 400 RequestTimeout
  cut_request,           // the connection is reset when half of the request has come
  no_answer,             // the request is done, and the connection reset
  cut_answer,            // the request is done, and half of the answer sent
  wrong_etag,            // a PUT stores one byte that is another, and says so by its ETag
  error_in_good_answer,  // 200 with <Error>
  huge_answer,           // an answer without an end
  garbage,               // 200, and it is no XML
  forbidden,             // 403 AccessDenied
  no_bucket,             // 404 NoSuchBucket
  redirect,              // 307 to another host
  silence,               // nothing, until the other end gives up
};
std::string_view name_of(S3Fault fault);

struct S3StubOptions {
  std::string bucket = "bucket";
  std::string region = "us-east-1";
  std::string access_key_id = "test:tester";  // a colon, as at Swift's
  std::string secret_access_key = "s3cret/key+with=signs";
  std::string session_token{};   // empty: none is asked for
  std::size_t page_keys = 1000;  // of a list, at most
  bool only_first_list_version = false;
  std::size_t range_bytes_max = SIZE_MAX;  // an answer to a range has no more, as a server may choose
  std::chrono::milliseconds delay{0};      // before each answer
};

struct S3StubObject {
  std::string bytes;
  std::chrono::system_clock::time_point modified;
  bool in_parts = false;
};

struct S3StubRequest {
  std::string method;
  std::string target;
  int status = 0;  // 0: none was sent
};

class S3Stub {
 public:
  explicit S3Stub(S3StubOptions options = {});
  ~S3Stub();
  S3Stub(const S3Stub&) = delete;
  S3Stub& operator=(const S3Stub&) = delete;

  [[nodiscard]] std::string endpoint() const;
  [[nodiscard]] const S3StubOptions& options() const { return options_; }

  // The N-th request from now on, counted from 1; with `sticky` all from it on. `method` and `part` narrow
  // down which are counted: those of that method, with that text in their target.
  void arm(S3Fault fault, int at, bool sticky, std::string method = {}, std::string part = {});
  void disarm();
  // Where cut_answer cuts: so many bytes of the answer are sent. Half of them otherwise.
  void cut_at(std::size_t bytes);
  // How many requests have met the fault since arm().
  [[nodiscard]] int faults() const;

  [[nodiscard]] std::map<std::string, S3StubObject> objects() const;
  void put_object(const std::string& key, const std::string& bytes);
  void make_older(const std::string& key, std::chrono::seconds by);

  // By their identifiers: key, and when it began.
  struct Upload {
    std::string key;
    std::chrono::system_clock::time_point begun;
    std::map<int, std::string> parts{};
  };
  [[nodiscard]] std::map<std::string, Upload> uploads() const;
  std::string begin_upload(const std::string& key, std::chrono::seconds ago);

  [[nodiscard]] std::vector<S3StubRequest> requests() const;
  void forget_requests();
  // How many were between their first byte and their answer at the same time, since forget_requests().
  [[nodiscard]] int most_at_once() const;
  [[nodiscard]] int connections() const;

 private:
  struct Request;
  struct Answer;

  void accept_all();
  void serve(int socket);
  [[nodiscard]] std::optional<Request> receive(int socket, std::string& buffer, S3Fault& fault);
  [[nodiscard]] S3Fault fault_for(const Request& request);
  [[nodiscard]] Answer answer_to(const Request& request, S3Fault fault);
  [[nodiscard]] std::optional<Answer> refusal_of(const Request& request) const;
  Answer on_bucket(const Request& request);
  Answer on_object(const Request& request, const std::string& key, S3Fault fault);
  [[nodiscard]] Answer list_objects(const Request& request) const;
  [[nodiscard]] Answer list_uploads(const Request& request) const;
  Answer complete(const Request& request, const std::string& key, const std::string& id);

  const S3StubOptions options_;
  int listener_ = -1;
  int port_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, S3StubObject> objects_;
  std::map<std::string, Upload> uploads_;
  int next_upload_ = 1;
  S3Fault fault_ = S3Fault::none;
  int fault_at_ = 0;
  bool fault_sticky_ = false;
  std::string fault_method_;
  std::string fault_part_;
  std::optional<std::size_t> cut_at_;
  int counted_ = 0;
  int faults_ = 0;
  std::vector<S3StubRequest> requests_;
  int at_once_ = 0;
  int most_at_once_ = 0;
  int connections_ = 0;
  std::set<int> sockets_;
  std::vector<std::thread> threads_;

  std::atomic<bool> stop_{false};
  std::thread acceptor_;
};

}  // namespace sluice::testing
