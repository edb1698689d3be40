#pragma once
// HTTP requests, several at a time, over connections that are kept: libcurl, and the only place that knows
// it.
//
// HTTP/1.1. Certificates and host names are verified. No redirect is followed: it would take the signature of
// a request to somebody else. The environment is not asked; a proxy is one only where it is given.

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sluice {

struct HttpSettings {
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
  // A transfer that moves no byte for so long has failed.
  std::chrono::seconds stall_timeout = std::chrono::seconds(30);
  std::string proxy{};         // "http://user:password@proxy:3128"; empty: none
  std::string no_proxy{};      // hosts that are reached without it, separated by commas
  std::string certificates{};  // a file with those to trust, in place of the system's
};

struct HttpAnswer {
  int status = 0;                                // 0: there was none
  std::map<std::string, std::string> headers{};  // by their names in lower case
  std::string body{};

  // Why there is no whole answer; empty when there is one. Words of ours and of libcurl's list of errors, no
  // part of a request.
  std::string failure{};
  bool may_pass = false;        // a failure that may be none the next time
  std::exception_ptr thrown{};  // by HttpRequest::on_body, which ended the transfer

  // Empty where there is none.
  [[nodiscard]] const std::string& header(const std::string& name) const;
};

struct HttpRequest {
  std::string method = "GET";
  std::string url{};                   // encoded, and sent as it is
  std::vector<std::string> headers{};  // "name: value"
  std::span<const std::byte> body{};   // borrowed until the answer is there

  // An answer whose body is larger has failed.
  std::size_t body_max = std::size_t{64} << 10;

  // Where given, gets the bodies of answers 200 and 206, of any size, in place of HttpAnswer::body.
  std::function<void(const HttpAnswer& answer, std::span<const std::byte> bytes)> on_body{};
};

// One thread at a time.
class HttpTransfers {
 public:
  explicit HttpTransfers(HttpSettings settings);
  ~HttpTransfers();  // what is under way is cut off, and its `done` is not called
  HttpTransfers(const HttpTransfers&) = delete;
  HttpTransfers& operator=(const HttpTransfers&) = delete;

  // `done` is called by step(), and may start further ones.
  void start(HttpRequest request, std::function<void(HttpAnswer)> done);

  // Moves bytes; waits for some for at most so long.
  void step(std::chrono::milliseconds wait);

  void cancel_all();

 private:
  struct Transfer;
  struct Handles;

  HttpSettings settings_;
  std::unique_ptr<Handles> handles_;
  std::map<void*, std::unique_ptr<Transfer>> transfers_;
};

}  // namespace sluice
