#include "io/store/http_transfers.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/model/error.h"

namespace sluice {
namespace {

constexpr std::size_t kHeaderBytes = std::size_t{64} << 10;
constexpr long kConnections = 16;

struct CleanMulti {
  void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};
struct CleanEasy {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

void require(bool fine, const char* what) {
  if (!fine) throw Error(Fault::internal, std::string("libcurl refuses: ") + what);
}

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  require(code == CURLE_OK, curl_easy_strerror(code));
}

void initialize_once() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  require(code == CURLE_OK, curl_easy_strerror(code));
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct HttpTransfers::Handles {
  std::unique_ptr<CURLM, CleanMulti> multi;
  std::vector<std::unique_ptr<CURL, CleanEasy>> idle;
};

struct HttpTransfers::Transfer {
  HttpRequest request;
  std::function<void(HttpAnswer)> done;
  HttpAnswer answer;
  std::size_t header_bytes = 0;
  std::string refused;  // why we ended it ourselves
  std::unique_ptr<CURL, CleanEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers;

  // Called by C: nothing may be thrown.
  static std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* context) noexcept {
    auto& transfer = *static_cast<Transfer*>(context);
    try {
      return transfer.add_header({bytes, size * count}) ? size * count : 0;
    } catch (...) {
      transfer.answer.thrown = std::current_exception();
      return 0;
    }
  }
  static std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* context) noexcept {
    auto& transfer = *static_cast<Transfer*>(context);
    try {
      return transfer.add_body({reinterpret_cast<const std::byte*>(bytes), size * count}) ? size * count : 0;
    } catch (...) {
      transfer.answer.thrown = std::current_exception();
      return 0;
    }
  }

  bool add_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kHeaderBytes) {
      refused = "the answer has too many headers";
      return false;
    }
    // The last status line decides: "100 Continue" comes before others.
    if (line.starts_with("HTTP/")) {
      answer.headers.clear();
      long status = 0;
      curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
      answer.status = static_cast<int>(status);
      return true;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    std::string name(line.substr(0, colon));
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && std::strchr(" \t\r\n", value.back()) != nullptr) value.remove_suffix(1);
    while (!value.empty() && std::strchr(" \t", value.front()) != nullptr) value.remove_prefix(1);
    answer.headers.insert_or_assign(std::move(name), std::string(value));
    return true;
  }

  bool add_body(std::span<const std::byte> bytes) {
    if (request.on_body && (answer.status == 200 || answer.status == 206)) {
      request.on_body(answer, bytes);
      return true;
    }
    if (answer.body.size() + bytes.size() > request.body_max) {
      refused = "the answer is too large";
      return false;
    }
    answer.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  }
};

const std::string& HttpAnswer::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

HttpTransfers::HttpTransfers(HttpSettings settings)
    : settings_(std::move(settings)), handles_(std::make_unique<Handles>()) {
  initialize_once();
  handles_->multi.reset(curl_multi_init());
  if (!handles_->multi) throw std::bad_alloc();
  curl_multi_setopt(handles_->multi.get(), CURLMOPT_MAXCONNECTS, kConnections);
  curl_multi_setopt(handles_->multi.get(), CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

HttpTransfers::~HttpTransfers() { cancel_all(); }

void HttpTransfers::cancel_all() {
  for (const auto& [easy, transfer] : transfers_) curl_multi_remove_handle(handles_->multi.get(), easy);
  transfers_.clear();
}

void HttpTransfers::start(HttpRequest request, std::function<void(HttpAnswer)> done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->done = std::move(done);
  if (handles_->idle.empty()) {
    transfer->easy.reset(curl_easy_init());
    if (!transfer->easy) throw std::bad_alloc();
  } else {
    transfer->easy = std::move(handles_->idle.back());
    handles_->idle.pop_back();
    curl_easy_reset(transfer->easy.get());
  }
  CURL* easy = transfer->easy.get();
  const HttpRequest& what = transfer->request;
  set(easy, CURLOPT_URL, what.url.c_str());
  set(easy, CURLOPT_PATH_AS_IS, 1L);
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings_.connect_timeout.count()));
  set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.stall_timeout.count()));
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  // Empty means none at all, not what the environment says.
  set(easy, CURLOPT_PROXY, settings_.proxy.c_str());
  set(easy, CURLOPT_NOPROXY, settings_.no_proxy.c_str());
  if (!settings_.certificates.empty()) set(easy, CURLOPT_CAINFO, settings_.certificates.c_str());
  set(easy, CURLOPT_HEADERFUNCTION, &Transfer::take_header);
  set(easy, CURLOPT_HEADERDATA, transfer.get());
  set(easy, CURLOPT_WRITEFUNCTION, &Transfer::take_body);
  set(easy, CURLOPT_WRITEDATA, transfer.get());
  if (what.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  } else if (what.method == "PUT" || what.method == "POST") {
    // Sent from where it is, not copied.
    static const char nothing = '\0';
    const void* body = what.body.empty() ? static_cast<const void*>(&nothing) : what.body.data();
    set(easy, CURLOPT_POST, 1L);
    set(easy, CURLOPT_POSTFIELDS, body);
    set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body.size()));
    set(easy, CURLOPT_CUSTOMREQUEST, what.method.c_str());
  } else if (what.method != "GET") {
    set(easy, CURLOPT_CUSTOMREQUEST, what.method.c_str());
  }
  std::vector<std::string> headers = what.headers;
  headers.emplace_back("Expect:");  // no waiting for leave to send
  headers.emplace_back("Accept:");
  if (what.method == "PUT" || what.method == "POST")
    headers.emplace_back("Content-Type: application/octet-stream");
  for (const std::string& header : headers) {
    curl_slist* longer = curl_slist_append(transfer->headers.get(), header.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(transfer->headers.release());
    transfer->headers.reset(longer);
  }
  set(easy, CURLOPT_HTTPHEADER, transfer->headers.get());
  const CURLMcode added = curl_multi_add_handle(handles_->multi.get(), easy);
  require(added == CURLM_OK, curl_multi_strerror(added));
  transfers_.emplace(easy, std::move(transfer));
}

void HttpTransfers::step(std::chrono::milliseconds wait) {
  int running = 0;
  CURLMcode code = curl_multi_perform(handles_->multi.get(), &running);
  require(code == CURLM_OK, curl_multi_strerror(code));
  int left = 0;
  const CURLMsg* message = curl_multi_info_read(handles_->multi.get(), &left);
  if (message == nullptr) {
    code = curl_multi_poll(handles_->multi.get(), nullptr, 0, static_cast<int>(wait.count()), nullptr);
    require(code == CURLM_OK, curl_multi_strerror(code));
    code = curl_multi_perform(handles_->multi.get(), &running);
    require(code == CURLM_OK, curl_multi_strerror(code));
    message = curl_multi_info_read(handles_->multi.get(), &left);
  }
  for (; message != nullptr; message = curl_multi_info_read(handles_->multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode result = message->data.result;
    const std::unique_ptr<Transfer> transfer = std::move(transfers_.at(easy));
    transfers_.erase(easy);
    HttpAnswer& answer = transfer->answer;
    if (!transfer->refused.empty()) {
      answer.failure = transfer->refused;
    } else if (result != CURLE_OK) {
      answer.failure = curl_easy_strerror(result);
      answer.may_pass = may_pass(result);
      long error = 0;
      if (result == CURLE_COULDNT_CONNECT && curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error) == CURLE_OK &&
          error != 0) {
        answer.failure += ": " + std::generic_category().message(static_cast<int>(error));
      }
    }
    curl_multi_remove_handle(handles_->multi.get(), easy);
    handles_->idle.push_back(std::move(transfer->easy));
    transfer->done(std::move(answer));
  }
}

}  // namespace sluice
