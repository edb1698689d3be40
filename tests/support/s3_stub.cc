#include "support/s3_stub.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <sstream>
#include <system_error>
#include <utility>

namespace sluice::testing {
namespace {

using std::chrono::system_clock;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    text += digits.data();
  }
  return text;
}

std::string digest(const EVP_MD* kind, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), bytes.data(), &size, kind, nullptr);
  return {reinterpret_cast<const char*>(bytes.data()), size};
}
std::string md5(const std::string& text) { return digest(EVP_md5(), text); }
std::string sha256(const std::string& text) { return digest(EVP_sha256(), text); }

std::string hmac(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes.data(), &size);
  return {reinterpret_cast<const char*>(bytes.data()), size};
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string decoded(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      result += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::string encoded(const std::string& text, const std::string& kept) {
  std::string result;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || kept.find(c) != std::string::npos) {
      result += c;
    } else {
      std::array<char, 4> digits{};
      std::snprintf(digits.data(), digits.size(), "%%%02X",
                    static_cast<unsigned>(static_cast<unsigned char>(c)));
      result += digits.data();
    }
  }
  return result;
}

std::string time_text(system_clock::time_point moment, const char* format) {
  const std::time_t seconds = system_clock::to_time_t(moment);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}
std::string iso_time(system_clock::time_point moment) { return time_text(moment, "%Y-%m-%dT%H:%M:%S.000Z"); }
std::string http_time(system_clock::time_point moment) {
  return time_text(moment, "%a, %d %b %Y %H:%M:%S GMT");
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') {
      result += "&amp;";
    } else if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += c;
    }
  }
  return result;
}

void reset_and_close(int socket) {
  const linger now{1, 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

std::string_view name_of(S3Fault fault) {
  constexpr std::array<std::string_view, 19> kNames = {"none",
                                                       "internal_error",
                                                       "bad_gateway",
                                                       "unavailable",
                                                       "gateway_timeout",
                                                       "slow_down",
                                                       "too_many",
                                                       "request_timeout",
                                                       "cut_request",
                                                       "no_answer",
                                                       "cut_answer",
                                                       "wrong_etag",
                                                       "error_in_good_answer",
                                                       "huge_answer",
                                                       "garbage",
                                                       "forbidden",
                                                       "no_bucket",
                                                       "redirect",
                                                       "silence"};
  return kNames.at(static_cast<std::size_t>(fault));
}

struct S3Stub::Request {
  std::string method;
  std::string target;
  std::string path;                               // as it came
  std::string query;                              // as it came
  std::map<std::string, std::string> parameters;  // decoded
  std::map<std::string, std::string> headers;     // by lower-case names
  std::string body;

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
  [[nodiscard]] std::string parameter(const std::string& name) const {
    const auto found = parameters.find(name);
    return found == parameters.end() ? std::string() : found->second;
  }
  [[nodiscard]] bool has(const std::string& name) const { return parameters.contains(name); }
};

struct S3Stub::Answer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string body{};
  std::optional<std::uint64_t> length{};  // where it is not that of the body: HEAD

  static Answer error(int status, const std::string& code, const std::string& message = "So it is.") {
    Answer answer;
    answer.status = status;
    answer.headers = {{"Content-Type", "application/xml"}};
    answer.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code + "</Code><Message>" +
                  message + "</Message><RequestId>1</RequestId></Error>";
    return answer;
  }
  static Answer xml(const std::string& element, const std::string& inner) {
    Answer answer;
    answer.headers = {{"Content-Type", "application/xml"}};
    answer.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<" + element +
                  " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" + inner + "</" + element + ">";
    return answer;
  }
};

S3Stub::S3Stub(S3StubOptions options) : options_(std::move(options)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) fail("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("bind");
  if (listen(listener_, 64) != 0) fail("listen");
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) fail("getsockname");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

S3Stub::~S3Stub() {
  stop_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
}

std::string S3Stub::endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

void S3Stub::arm(S3Fault fault, int at, bool sticky, std::string method, std::string part) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  fault_at_ = at;
  fault_sticky_ = sticky;
  fault_method_ = std::move(method);
  fault_part_ = std::move(part);
  counted_ = 0;
  faults_ = 0;
}

void S3Stub::disarm() { arm(S3Fault::none, 0, false); }

void S3Stub::cut_at(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  cut_at_ = bytes;
}

int S3Stub::faults() const {
  const std::lock_guard lock(mutex_);
  return faults_;
}

std::map<std::string, S3StubObject> S3Stub::objects() const {
  const std::lock_guard lock(mutex_);
  return objects_;
}

void S3Stub::put_object(const std::string& key, const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  objects_[key] = {bytes, system_clock::now()};
}

void S3Stub::make_older(const std::string& key, std::chrono::seconds by) {
  const std::lock_guard lock(mutex_);
  objects_.at(key).modified -= by;
}

std::map<std::string, S3Stub::Upload> S3Stub::uploads() const {
  const std::lock_guard lock(mutex_);
  return uploads_;
}

std::string S3Stub::begin_upload(const std::string& key, std::chrono::seconds ago) {
  const std::lock_guard lock(mutex_);
  const std::string id = "upload+" + std::to_string(next_upload_++) + "/=";
  uploads_[id] = {key, system_clock::now() - ago};
  return id;
}

std::vector<S3StubRequest> S3Stub::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void S3Stub::forget_requests() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
  most_at_once_ = 0;
}

int S3Stub::most_at_once() const {
  const std::lock_guard lock(mutex_);
  return most_at_once_;
}

int S3Stub::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

void S3Stub::accept_all() {
  while (!stop_) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) {
      if (stop_) return;
      continue;
    }
    const int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const std::lock_guard lock(mutex_);
    sockets_.insert(socket);
    ++connections_;
    threads_.emplace_back([this, socket] { serve(socket); });
  }
}

void S3Stub::serve(int socket) {
  std::string buffer;
  while (!stop_) {
    S3Fault fault = S3Fault::none;
    const std::optional<Request> request = receive(socket, buffer, fault);
    if (!request) {
      if (fault == S3Fault::cut_request) reset_and_close(socket);
      break;
    }
    if (fault == S3Fault::silence) {
      pollfd gone{socket, POLLIN, 0};
      while (!stop_ && ::poll(&gone, 1, 50) == 0) {
      }
      break;
    }
    if (options_.delay.count() > 0) std::this_thread::sleep_for(options_.delay);
    const Answer answer = answer_to(*request, fault);
    std::string text =
        "HTTP/1.1 " + std::to_string(answer.status) + " So\r\nDate: " + http_time(system_clock::now()) +
        "\r\nServer: stub\r\nContent-Length: " + std::to_string(answer.length.value_or(answer.body.size())) +
        "\r\n";
    for (const auto& [name, value] : answer.headers)
      text.append(name).append(": ").append(value).append("\r\n");
    text += "\r\n";
    if (request->method != "HEAD") text += answer.body;
    if (fault == S3Fault::cut_answer) {
      const std::lock_guard lock(mutex_);
      text.resize(std::min(text.size(), cut_at_.value_or(text.size() / 2 + 1)));
    }
    const bool sends = fault != S3Fault::no_answer;
    {
      const std::lock_guard lock(mutex_);
      --at_once_;
      requests_.push_back({request->method, request->target, sends ? answer.status : 0});
    }
    if (!sends) {
      reset_and_close(socket);
      break;
    }
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t some = ::send(socket, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (some <= 0) break;
      sent += static_cast<std::size_t>(some);
    }
    // Without an end, until nobody listens any more.
    if (fault == S3Fault::huge_answer) {
      const std::string more(65536, ' ');
      while (!stop_ && ::send(socket, more.data(), more.size(), MSG_NOSIGNAL) > 0) {
      }
    }
    if (sent < text.size() || fault == S3Fault::cut_answer || fault == S3Fault::huge_answer) break;
  }
  const std::lock_guard lock(mutex_);
  sockets_.erase(socket);
  ::close(socket);
}

std::optional<S3Stub::Request> S3Stub::receive(int socket, std::string& buffer, S3Fault& fault) {
  const auto more = [&] {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (got <= 0) return false;
    buffer.append(bytes.data(), static_cast<std::size_t>(got));
    return true;
  };
  std::size_t end = 0;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return std::nullopt;
  }
  Request request;
  std::istringstream head(buffer.substr(0, end));
  buffer.erase(0, end + 4);
  std::string line;
  std::getline(head, line);
  std::istringstream(line) >> request.method >> request.target;
  while (std::getline(head, line)) {
    if (line.ends_with('\r')) line.pop_back();
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    std::string value = line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(' '));
    request.headers[name] = value;
  }
  const std::size_t question = std::min(request.target.find('?'), request.target.size());
  request.path = request.target.substr(0, question);
  request.query = question == request.target.size() ? "" : request.target.substr(question + 1);
  for (const std::string& pair : split(request.query, '&')) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    request.parameters[decoded(pair.substr(0, equals))] =
        equals == pair.size() ? "" : decoded(pair.substr(equals + 1));
  }
  fault = fault_for(request);
  const std::string length = request.header("content-length");
  const std::size_t size = length.empty() ? 0 : std::stoul(length);
  const std::size_t wanted = fault == S3Fault::cut_request ? size / 2 : size;
  while (buffer.size() < wanted) {
    if (!more()) return std::nullopt;
  }
  if (fault == S3Fault::cut_request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back({request.method, request.target, 0});
    return std::nullopt;
  }
  request.body = buffer.substr(0, size);
  buffer.erase(0, size);
  const std::lock_guard lock(mutex_);
  most_at_once_ = std::max(most_at_once_, ++at_once_);
  return request;
}

S3Fault S3Stub::fault_for(const Request& request) {
  const std::lock_guard lock(mutex_);
  if (fault_ == S3Fault::none) return S3Fault::none;
  if (!fault_method_.empty() && fault_method_ != request.method) return S3Fault::none;
  if (request.target.find(fault_part_) == std::string::npos) return S3Fault::none;
  ++counted_;
  if (counted_ != fault_at_ && !(fault_sticky_ && counted_ > fault_at_)) return S3Fault::none;
  ++faults_;
  return fault_;
}

S3Stub::Answer S3Stub::answer_to(const Request& request, S3Fault fault) {
  switch (fault) {
    case S3Fault::internal_error:
      return Answer::error(500, "InternalError");
    case S3Fault::bad_gateway:
      return {502, {}, "<html><body>Bad gateway</body>", {}};
    case S3Fault::unavailable:
      return {503, {}, "", {}};
    case S3Fault::gateway_timeout:
      return {504, {}, "", {}};
    case S3Fault::slow_down:
      return Answer::error(503, "SlowDown");
    case S3Fault::too_many:
      return {429, {{"Retry-After", "0"}}, "", {}};
    case S3Fault::request_timeout:
      return Answer::error(400, "RequestTimeout");
    case S3Fault::error_in_good_answer: {
      Answer answer = Answer::error(200, "InternalError");
      answer.headers.emplace_back("ETag", "\"" + hex(md5(request.body)) + "\"");
      return answer;
    }
    case S3Fault::huge_answer:
      return {200, {}, "<?xml version=\"1.0\"?><ListBucketResult><Name>", std::uint64_t{1} << 40};
    case S3Fault::garbage:
      return {200, {}, "<ListBucketResult><Contents></ListBucketResult", {}};
    case S3Fault::forbidden:
      return Answer::error(403, "AccessDenied", "Access Denied");
    case S3Fault::no_bucket:
      return Answer::error(404, "NoSuchBucket");
    case S3Fault::redirect:
      return {307, {{"Location", "http://localhost:" + std::to_string(port_) + request.target}}, "", {}};
    default:
      break;
  }
  if (std::optional<Answer> refusal = refusal_of(request)) return *refusal;
  const std::vector<std::string> parts = split(request.path, '/');  // "", bucket, rest of the key
  if (parts.size() < 2 || decoded(parts[1]) != options_.bucket) return Answer::error(404, "NoSuchBucket");
  const std::size_t key_begin = parts[1].size() + 2;
  const std::string key = request.path.size() > key_begin ? decoded(request.path.substr(key_begin)) : "";
  const std::lock_guard lock(mutex_);
  return key.empty() ? on_bucket(request) : on_object(request, key, fault);
}

// Written after the documentation, and from what came over the wire, not by what the client signs with.
std::optional<S3Stub::Answer> S3Stub::refusal_of(const Request& request) const {
  const std::string header = request.header("authorization");
  if (header.empty()) return Answer::error(403, "AccessDenied");
  const auto field = [&](const std::string& name) {
    const std::size_t at = header.find(name + "=");
    if (at == std::string::npos) return std::string();
    const std::size_t begin = at + name.size() + 1;
    return header.substr(begin, header.find(',', begin) - begin);
  };
  const std::string credential = field("Credential");
  const std::string date_time = request.header("x-amz-date");
  const std::string scope = date_time.substr(0, 8) + "/" + options_.region + "/s3/aws4_request";
  if (!header.starts_with("AWS4-HMAC-SHA256 ") || !credential.ends_with("/" + scope)) {
    return Answer::error(400, "AuthorizationHeaderMalformed", "the region");
  }
  if (credential != options_.access_key_id + "/" + scope) return Answer::error(403, "InvalidAccessKeyId");
  const auto now = system_clock::now();
  if (date_time > time_text(now + std::chrono::minutes(15), "%Y%m%dT%H%M%SZ") ||
      date_time < time_text(now - std::chrono::minutes(15), "%Y%m%dT%H%M%SZ")) {
    return Answer::error(403, "RequestTimeTooSkewed");
  }
  if (request.header("x-amz-security-token") != options_.session_token)
    return Answer::error(400, "InvalidToken");
  if (request.path != encoded(decoded(request.path), "-._~/"))
    return Answer::error(403, "SignatureDoesNotMatch");
  const std::vector<std::string> signed_names = split(field("SignedHeaders"), ';');
  for (const auto& [name, value] : request.headers) {
    const bool must = name == "host" || name == "content-md5" || name.starts_with("x-amz-");
    if (must && std::find(signed_names.begin(), signed_names.end(), name) == signed_names.end()) {
      return Answer::error(403, "AccessDenied",
                           "There were headers present in the request which were not signed");
    }
  }
  std::vector<std::string> query = split(request.query, '&');
  std::sort(query.begin(), query.end());
  std::string canonical = request.method + "\n" + request.path + "\n";
  for (const std::string& pair : query) canonical += (&pair == query.data() ? "" : "&") + pair;
  canonical += "\n";
  for (const std::string& name : signed_names) canonical += name + ":" + request.header(name) + "\n";
  canonical += "\n" + field("SignedHeaders") + "\n" + request.header("x-amz-content-sha256");
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + date_time + "\n" + scope + "\n" + hex(sha256(canonical));
  const std::string key = hmac(
      hmac(hmac(hmac("AWS4" + options_.secret_access_key, date_time.substr(0, 8)), options_.region), "s3"),
      "aws4_request");
  if (field("Signature") != hex(hmac(key, to_sign))) return Answer::error(403, "SignatureDoesNotMatch");
  if (request.header("x-amz-content-sha256") != hex(sha256(request.body))) {
    return Answer::error(400, "XAmzContentSHA256Mismatch");
  }
  if (!request.header("content-md5").empty() && request.header("content-md5") != base64(md5(request.body))) {
    return Answer::error(400, "BadDigest");
  }
  return std::nullopt;
}

S3Stub::Answer S3Stub::on_bucket(const Request& request) {
  if (request.method != "GET") return Answer::error(405, "MethodNotAllowed");
  return request.has("uploads") ? list_uploads(request) : list_objects(request);
}

S3Stub::Answer S3Stub::list_objects(const Request& request) const {
  const bool second = request.parameter("list-type") == "2" && !options_.only_first_list_version;
  const bool url = request.parameter("encoding-type") == "url";
  const std::string prefix = request.parameter("prefix");
  const std::string after =
      second ? request.parameter("continuation-token").substr(request.has("continuation-token") ? 6 : 0)
             : request.parameter("marker");
  std::size_t room = options_.page_keys;
  std::string inner = "<Name>" + options_.bucket + "</Name><Prefix>" + escaped(prefix) + "</Prefix>";
  std::string last;
  bool truncated = false;
  for (const auto& [key, object] : objects_) {
    if (!key.starts_with(prefix) || key <= after) continue;
    if (room == 0) {
      truncated = true;
      break;
    }
    --room;
    last = key;
    inner += "<Contents><Key>" + (url ? encoded(key, "-._*/") : escaped(key)) + "</Key><LastModified>" +
             iso_time(object.modified) + "</LastModified><ETag>&quot;" + hex(md5(object.bytes)) +
             "&quot;</ETag><Size>" + std::to_string(object.bytes.size()) +
             "</Size><StorageClass>STANDARD</StorageClass></Contents>";
  }
  inner += std::string("<IsTruncated>") + (truncated ? "true" : "false") + "</IsTruncated>";
  if (truncated && second)
    inner += "<NextContinuationToken>" + escaped("<to&n>" + last) + "</NextContinuationToken>";
  if (url) inner += "<EncodingType>url</EncodingType>";
  return Answer::xml("ListBucketResult", inner);
}

S3Stub::Answer S3Stub::list_uploads(const Request& request) const {
  const std::string prefix = request.parameter("prefix");
  std::vector<std::pair<std::string, std::string>> order;  // key, id
  for (const auto& [id, upload] : uploads_) {
    if (upload.key.starts_with(prefix)) order.emplace_back(upload.key, id);
  }
  std::sort(order.begin(), order.end());
  const std::pair<std::string, std::string> after{request.parameter("key-marker"),
                                                  request.parameter("upload-id-marker")};
  std::string inner;
  std::size_t room = options_.page_keys;
  std::pair<std::string, std::string> last;
  bool truncated = false;
  for (const auto& entry : order) {
    if (!after.first.empty() && entry <= after) continue;
    if (room == 0) {
      truncated = true;
      break;
    }
    --room;
    last = entry;
    inner += "<Upload><Key>" + escaped(entry.first) + "</Key><UploadId>" + entry.second +
             "</UploadId><Initiator><ID>1" + "</ID></Initiator><Initiated>" +
             iso_time(uploads_.at(entry.second).begun) + "</Initiated></Upload>";
  }
  inner += std::string("<IsTruncated>") + (truncated ? "true" : "false") + "</IsTruncated>";
  if (truncated) {
    inner += "<NextKeyMarker>" + escaped(last.first) + "</NextKeyMarker><NextUploadIdMarker>" + last.second +
             "</NextUploadIdMarker>";
  }
  return Answer::xml("ListMultipartUploadsResult", inner);
}

S3Stub::Answer S3Stub::on_object(const Request& request, const std::string& key, S3Fault fault) {
  const std::string id = request.parameter("uploadId");
  if (!id.empty() && (!uploads_.contains(id) || uploads_[id].key != key))
    return Answer::error(404, "NoSuchUpload");
  if (request.method == "POST" && request.has("uploads")) {
    const std::string new_id = "upload+" + std::to_string(next_upload_++) + "/=";
    uploads_[new_id] = {key, system_clock::now()};
    return Answer::xml("InitiateMultipartUploadResult", "<Bucket>" + options_.bucket + "</Bucket><Key>" +
                                                            escaped(key) + "</Key><UploadId>" + new_id +
                                                            "</UploadId>");
  }
  if (request.method == "POST" && !id.empty()) return complete(request, key, id);
  if (request.method == "PUT") {
    std::string bytes = request.body;
    if (fault == S3Fault::wrong_etag) bytes.empty() ? bytes.push_back('x') : static_cast<void>(bytes[0] ^= 1);
    Answer answer;
    answer.headers = {{"ETag", "\"" + hex(md5(bytes)) + "\""}};
    if (id.empty()) {
      objects_[key] = {std::move(bytes), system_clock::now()};
    } else {
      uploads_[id].parts[std::stoi(request.parameter("partNumber"))] = std::move(bytes);
    }
    return answer;
  }
  if (request.method == "DELETE") {
    if (id.empty()) {
      objects_.erase(key);
    } else {
      uploads_.erase(id);
    }
    return {204, {}, "", {}};
  }
  if (request.method != "GET" && request.method != "HEAD") return Answer::error(405, "MethodNotAllowed");
  const auto found = objects_.find(key);
  if (found == objects_.end()) return Answer::error(404, "NoSuchKey");
  const S3StubObject& object = found->second;
  const std::string etag = "\"" + hex(md5(object.bytes)) + (object.in_parts ? "-2" : "") + "\"";
  if (!request.header("if-match").empty() && request.header("if-match") != etag) {
    return Answer::error(412, "PreconditionFailed");
  }
  Answer answer;
  answer.headers = {{"ETag", etag}, {"Last-Modified", http_time(object.modified)}};
  answer.body = object.bytes;
  const std::string range = request.header("range");
  if (range.starts_with("bytes=")) {
    const std::size_t from = std::stoul(range.substr(6));
    if (from >= object.bytes.size()) return Answer::error(416, "InvalidRange");
    answer.status = 206;
    answer.body = object.bytes.substr(from, options_.range_bytes_max);
    answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(from) + "-" +
                                                     std::to_string(from + answer.body.size() - 1) + "/" +
                                                     std::to_string(object.bytes.size()));
  }
  return answer;
}

S3Stub::Answer S3Stub::complete(const Request& request, const std::string& key, const std::string& id) {
  std::string bytes;
  std::size_t at = 0;
  int number = 0;
  const auto next = [&](const std::string& element) {
    const std::size_t begin = request.body.find("<" + element + ">", at);
    if (begin == std::string::npos) return std::string();
    const std::size_t text = begin + element.size() + 2;
    at = request.body.find("</", text);
    return request.body.substr(text, at - text);
  };
  for (;;) {
    const std::string part = next("PartNumber");
    if (part.empty()) break;
    const std::string etag = next("ETag");
    const auto found = uploads_[id].parts.find(std::stoi(part));
    if (std::stoi(part) != ++number || found == uploads_[id].parts.end() ||
        etag != "\"" + hex(md5(found->second)) + "\"") {
      return Answer::error(400, "InvalidPart");
    }
    bytes += found->second;
  }
  if (number == 0) return Answer::error(400, "MalformedXML");
  objects_[key] = {std::move(bytes), system_clock::now(), true};
  uploads_.erase(id);
  return Answer::xml("CompleteMultipartUploadResult", "<Key>" + escaped(key) + "</Key><ETag>\"1-2\"</ETag>");
}

}  // namespace sluice::testing
