#include "io/store/s3_store.h"

#include <algorithm>
#include <exception>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "engine/model/error.h"
#include "engine/model/hex.h"

namespace sluice {
namespace {

using std::chrono::system_clock;

constexpr std::uint64_t kPartsMax = 10'000;
constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;
constexpr std::size_t kListBytes = std::size_t{16}
                                   << 20;  // a thousand of the longest keys, encoded, and more
constexpr int kEmptyPagesMax = 100;
constexpr std::size_t kIdleCalls = 8;

std::string text_of(const S3Answer& answer, const std::string& name) { return answer.http.header(name); }

// How old the object is by the server's own clock; nothing where it does not say so.
std::optional<system_clock::duration> age_of(const S3Answer& answer) {
  const auto now = parse_http_time(text_of(answer, "date"));
  const auto modified = parse_http_time(text_of(answer, "last-modified"));
  if (!now || !modified) return std::nullopt;
  return *now - *modified;
}

// Not an MD5 where the server encrypts with a key of somebody's.
bool etag_is_md5(const S3Answer& answer) {
  return !text_of(answer, "x-amz-server-side-encryption").starts_with("aws:") &&
         text_of(answer, "x-amz-server-side-encryption-customer-algorithm").empty();
}

// False when the ETag is an MD5 and another.
bool is_md5_of(std::span<const std::byte> bytes, const S3Answer& answer) {
  const std::optional<std::string> stored = md5_of_etag(text_of(answer, "etag"));
  return !stored || !etag_is_md5(answer) || *stored == md5_of(bytes).hex;
}

// What is wrong with the answer to a PUT of these bytes; empty: nothing.
std::string objection_to(const S3Answer& answer, std::span<const std::byte> bytes) {
  // Whoever answers without one has stored nothing, a gateway on the way for example.
  const std::string etag = text_of(answer, "etag");
  if (etag.empty()) return "the answer is not that of S3: it has no ETag";
  if (is_md5_of(bytes, answer)) return {};
  return "the server has stored something else (MD5 " + md5_of_etag(etag).value() + ", not " +
         md5_of(bytes).hex + ")";
}

// It is not there, and its bucket is, as far as the server says.
bool is_absent(const S3Answer& answer) {
  return answer.http.failure.empty() && answer.http.status == 404 && answer.problem.code != "NoSuchBucket";
}

S3Call deletion_of(const std::string& key, NameValues query = {}) {
  S3Call call;
  call.method = "DELETE";
  call.key = key;
  call.query = std::move(query);
  call.objection = [](const S3Answer& answer) {
    return answer.http.body.empty() ? std::string() : "the answer is not that of S3: it has a body";
  };
  return call;
}

std::string xml_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t step) { return (value + step - 1) / step * step; }

}  // namespace

// Borrowed calls.
class S3Store::Loan {
 public:
  explicit Loan(S3Store& store) : store_(store), calls_(store.take_calls()) {}
  ~Loan() {
    // What is under way after an exception belongs to nobody.
    if (calls_->under_way() == 0) store_.give_back(std::move(calls_));
  }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  S3Calls& operator*() const { return *calls_; }
  S3Calls* operator->() const { return calls_.get(); }

 private:
  S3Store& store_;
  std::unique_ptr<S3Calls> calls_;
};

// ---- Files on their way ----

class S3Batch : public FileBatch {
 public:
  explicit S3Batch(S3Store& store) : store_(store), options_(store.options_), calls_(store) {}
  ~S3Batch() override { calls_->cancel_all(); }

  void put(const FileName& name, FileContent& content) override {
    guard([&] {
      if (put_names_.contains(name.text())) return;
      if (content.size() <= options_.single_put_max) {
        put_small(name, content);
      } else {
        put_large(name, content);
      }
      put_names_.insert(name.text());
    });
  }

  void settle() override {
    guard([&] {
      wait([&] { return calls_->under_way() == 0; });
      put_names_.clear();
    });
  }

  [[nodiscard]] std::uint64_t files_written() const override { return files_written_; }
  [[nodiscard]] std::uint64_t bytes_written() const override { return bytes_written_; }

 private:
  // A body that is kept until it has arrived.
  struct Body {
    std::vector<std::byte> bytes;
  };
  struct Wrong {
    FileName name;
    std::uint64_t bytes = 0;
    std::string md5;  // of what it should be; empty where the ETag does not tell
  };

  // After a failure nobody knows what of the rest has arrived, so nothing may say that all has.
  void guard(const std::function<void()>& action) {
    if (failure_) throw Error(*failure_);
    try {
      action();
    } catch (const Error& error) {
      failure_ = error;
      clear_up();
      throw;
    } catch (...) {
      failure_ = Error(Fault::store, store_.uri() + ": these files could not be put before");
      clear_up();
      throw;
    }
  }

  void wait(const std::function<bool()>& enough) {
    calls_->wait([&] { return found_ || enough(); });
    if (found_) throw Error(*found_);
  }

  // Called by calls that end: an exception would end others that have nothing to do with it.
  void found(const std::string& what, const S3Answer& answer) {
    if (!found_) found_ = calls_->error(store_.uri(), what, answer);
  }

  void wait_for_room(std::uint64_t bytes, std::size_t calls_max) {
    wait([&] {
      return calls_->under_way() == 0 ||
             (calls_->under_way() < calls_max && bytes_under_way_ + bytes <= options_.bytes_under_way);
    });
  }

  [[nodiscard]] bool is_young(const S3Answer& answer) const {
    const auto age = age_of(answer);
    return age && *age < options_.removable_after / 2;
  }

  // With yes or no, as opposed to not at all.
  static bool answered(const S3Answer& answer) {
    return answer.fine() ||
           (answer.http.failure.empty() && answer.http.status >= 400 && answer.http.status < 500);
  }

  static std::optional<std::uint64_t> size_in(const S3Answer& answer) {
    return parse_number(text_of(answer, "content-length"));
  }

  S3Call head(const FileName& name) const {
    S3Call call;
    call.method = "HEAD";
    call.key = store_.key_of(name.text());
    return call;
  }

  void written(std::uint64_t bytes) {
    ++files_written_;
    bytes_written_ += bytes;
  }

  void put_small(const FileName& name, FileContent& content) {
    wait_for_room(content.size(), options_.puts_under_way);
    auto body = std::make_shared<Body>();
    body->bytes.reserve(static_cast<std::size_t>(content.size()));
    content.rewind();
    for (std::span<const std::byte> piece = content.next(); !piece.empty(); piece = content.next()) {
      body->bytes.insert(body->bytes.end(), piece.begin(), piece.end());
    }
    require_size(name, body->bytes.size(), content.size());
    bytes_under_way_ += body->bytes.size();
    calls_->start(head(name), [this, name, body](const S3Answer& answer) {
      const bool there =
          answer.fine() && size_in(answer) == body->bytes.size() && is_md5_of(body->bytes, answer);
      // A refusal has no words here, and who may put but not list gets one for what is not there. The PUT
      // will tell.
      const bool asked = answered(answer);
      if (!asked) found("cannot look for " + name.text(), answer);
      if (!asked || (there && is_young(answer))) {
        bytes_under_way_ -= body->bytes.size();
        return;
      }
      send_small(name, body, !there);
    });
  }

  void send_small(const FileName& name, const std::shared_ptr<Body>& body, bool is_new) {
    S3Call call;
    call.method = "PUT";
    call.key = store_.key_of(name.text());
    call.body = body->bytes;
    call.with_md5 = true;
    call.objection = [this, name, body, is_new](const S3Answer& answer) {
      std::string objection = objection_to(answer, body->bytes);
      if (objection.empty()) {
        wrong_.erase(name.text());
      } else if (is_new) {
        wrong_.insert_or_assign(name.text(), Wrong{name, body->bytes.size(), md5_of(body->bytes).hex});
      }
      return objection;
    };
    calls_->start(std::move(call), [this, name, body, is_new](const S3Answer& answer) {
      bytes_under_way_ -= body->bytes.size();
      if (answer.fine()) {
        if (is_new) written(body->bytes.size());
        return;
      }
      found("cannot put " + name.text(), answer);
    });
  }

  // What is known to be wrong must not be found under its name. What had been there before stays: rows may
  // refer to it, and it may be the server's sums that are wrong. So does what somebody else has put right
  // meanwhile. A file that was cut off on its way may still arrive; its sum went along.
  void clear_up() noexcept {
    calls_->cancel_all();
    for (const auto& [text, wrong] : wrong_) {
      try {
        S3Call look = head(wrong.name);
        look.last_wish = true;
        const S3Answer there = calls_->perform(std::move(look));
        if (!answered(there)) break;
        const std::optional<std::string> stored = md5_of_etag(text_of(there, "etag"));
        const bool still = there.fine() && (size_in(there) != wrong.bytes ||
                                            (stored && !wrong.md5.empty() && *stored != wrong.md5));
        if (still) delete_if_possible(wrong.name, {});
      } catch (const std::exception&) {  // as below
        break;
      }
    }
    wrong_.clear();
  }

  // As well as it can be done.
  void delete_if_possible(const FileName& name, const NameValues& query) noexcept {
    try {
      S3Call call = deletion_of(store_.key_of(name.text()), query);
      call.last_wish = true;
      calls_->perform(std::move(call));
    } catch (const std::exception&) {  // the failure that made us do this is the one to tell
    }
  }

  void put_large(const FileName& name, FileContent& content) {
    const S3Answer there = perform(head(name));
    const bool same = there.fine() && size_in(there) == content.size();
    if (same && is_young(there)) return;
    if (!answered(there)) {
      throw calls_->error(store_.uri(), "cannot look for " + name.text(), there);
    }
    S3Call begin;
    begin.method = "POST";
    begin.key = store_.key_of(name.text());
    begin.query = {{"uploads", ""}};
    begin.objection = [](const S3Answer& answer) {
      return parse_upload_id(answer.http.body) ? std::string() : "the server's answer is not understood";
    };
    const S3Answer begun = calls_->perform(std::move(begin));
    if (!begun.fine()) throw calls_->error(store_.uri(), "cannot begin to put " + name.text(), begun);
    const std::string id = parse_upload_id(begun.http.body).value();
    try {
      const std::vector<std::string> etags = send_parts(name, id, content);
      complete(name, id, etags, content.size(), !same);
    } catch (...) {
      calls_->cancel_all();  // a part that arrives after the end of its upload would stay
      delete_if_possible(name, {{"uploadId", id}});  // else abandon_unfinished() finds it
      throw;
    }
    if (!same) written(content.size());
  }

  std::vector<std::string> send_parts(const FileName& name, const std::string& id, FileContent& content) {
    const std::uint64_t size = content.size();
    const std::uint64_t needed = (size + kPartsMax - 1) / kPartsMax;
    const std::uint64_t part_bytes =
        needed <= options_.part_bytes ? options_.part_bytes : rounded_up(needed, kMebibyte);
    std::vector<std::string> etags(static_cast<std::size_t>((size + part_bytes - 1) / part_bytes));
    content.rewind();
    std::span<const std::byte> piece;
    std::uint64_t sent = 0;
    for (std::size_t part = 0; part < etags.size(); ++part) {
      const std::uint64_t wanted = std::min(part_bytes, size - sent);
      wait_for_room(wanted, options_.parts_under_way);
      auto body = std::make_shared<Body>();
      body->bytes.reserve(static_cast<std::size_t>(wanted));
      while (body->bytes.size() < wanted) {
        if (piece.empty()) piece = content.next();
        if (piece.empty()) break;
        const auto taken =
            piece.first(std::min(piece.size(), static_cast<std::size_t>(wanted) - body->bytes.size()));
        body->bytes.insert(body->bytes.end(), taken.begin(), taken.end());
        piece = piece.subspan(taken.size());
      }
      sent += body->bytes.size();
      if (body->bytes.size() < wanted) require_size(name, sent, size);
      bytes_under_way_ += body->bytes.size();
      S3Call call;
      call.method = "PUT";
      call.key = store_.key_of(name.text());
      call.query = {{"partNumber", std::to_string(part + 1)}, {"uploadId", id}};
      call.body = body->bytes;
      call.with_md5 = true;
      call.objection = [body](const S3Answer& answer) { return objection_to(answer, body->bytes); };
      calls_->start(std::move(call), [this, name, part, body, &etags](const S3Answer& answer) {
        bytes_under_way_ -= body->bytes.size();
        if (answer.fine()) {
          etags[part] = text_of(answer, "etag");
        } else {
          found("cannot put " + name.text() + ", part " + std::to_string(part + 1), answer);
        }
      });
    }
    if (!piece.empty() || !content.next().empty()) require_size(name, sent + 1, size);
    wait([&] {
      return std::none_of(etags.begin(), etags.end(), [](const auto& etag) { return etag.empty(); });
    });
    return etags;
  }

  void complete(const FileName& name, const std::string& id, const std::vector<std::string>& etags,
                std::uint64_t size, bool is_new) {
    std::string list = "<CompleteMultipartUpload>";
    for (std::size_t part = 0; part < etags.size(); ++part) {
      list += "<Part><PartNumber>" + std::to_string(part + 1) + "</PartNumber><ETag>" +
              xml_escaped(etags[part]) + "</ETag></Part>";
    }
    list += "</CompleteMultipartUpload>";
    S3Call call;
    call.method = "POST";
    call.key = store_.key_of(name.text());
    call.query = {{"uploadId", id}};
    call.body = bytes_of(list);
    const S3Answer completed = perform(std::move(call));
    // When an answer was lost, the upload may have been completed before. libcurl, too, sends once more what
    // a kept connection has swallowed.
    const bool perhaps = completed.problem.code == "NoSuchUpload";
    if (!completed.fine() && !perhaps) {
      throw calls_->error(store_.uri(), "cannot complete " + name.text(), completed);
    }
    S3Call look = head(name);
    look.objection = [size](const S3Answer& answer) {
      const std::optional<std::uint64_t> stored = size_in(answer);
      return stored == size ? std::string()
                            : "the server has stored " + text_of(answer, "content-length") +
                                  " bytes and not " + std::to_string(size);
    };
    const S3Answer there = perform(std::move(look));
    if (there.fine()) return;
    if (is_new && !there.refused.empty()) wrong_.insert_or_assign(name.text(), Wrong{name, size, {}});
    throw calls_->error(store_.uri(), "cannot put " + name.text(), perhaps ? completed : there);
  }

  // Others may end meanwhile, and fail.
  S3Answer perform(S3Call call) {
    S3Answer answer = calls_->perform(std::move(call));
    if (found_) throw Error(*found_);
    return answer;
  }

  static void require_size(const FileName& name, std::uint64_t found, std::uint64_t expected) {
    if (found == expected) return;
    throw Error(Fault::internal, "the content of " + name.text() + " had " + std::to_string(found) +
                                     " bytes, not " + std::to_string(expected));
  }

  S3Store& store_;
  const S3Options& options_;
  std::uint64_t bytes_under_way_ = 0;
  std::set<std::string> put_names_;     // since the last settle()
  std::map<std::string, Wrong> wrong_;  // new, and stored with other bytes than ours
  std::optional<Error> found_;          // by a call that ended
  std::optional<Error> failure_;        // thrown once, and from then on
  std::uint64_t files_written_ = 0;
  std::uint64_t bytes_written_ = 0;
  S3Store::Loan calls_;  // last: what is under way refers to the rest
};

// ---- The store ----

S3Store::S3Store(const std::string& bucket, const std::string& prefix, S3Options options)
    : uri_("s3://" + bucket + (prefix.empty() ? "" : "/" + prefix)),
      key_prefix_(prefix.empty() ? "" : prefix + "/"),
      options_(std::move(options)) {}

S3Store::~S3Store() = default;

std::unique_ptr<S3Calls> S3Store::take_calls() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<S3Calls>(options_.calls);
  std::unique_ptr<S3Calls> calls = std::move(idle_.back());
  idle_.pop_back();
  return calls;
}

void S3Store::give_back(std::unique_ptr<S3Calls> calls) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kIdleCalls) idle_.push_back(std::move(calls));
}

void S3Store::check() {
  const Loan calls(*this);
  std::random_device random;
  // No name of a file: should it stay, it is nobody's.
  const std::string key = key_of(".sluice-check-" + std::to_string(random()));
  S3Call put;
  put.method = "PUT";
  put.key = key;
  put.body = bytes_of("sluice");
  put.with_md5 = true;
  put.objection = [](const S3Answer& given) { return objection_to(given, bytes_of("sluice")); };
  const S3Answer answer = calls->perform(std::move(put));
  if (!answer.fine()) throw calls->error(uri_, "no file can be put there", answer);
  const S3Answer removed = calls->perform(deletion_of(key));
  if (!removed.fine() && !is_absent(removed)) {
    throw calls->error(uri_, "no file can be removed there", removed);
  }
}

std::unique_ptr<FileBatch> S3Store::begin_batch() { return std::make_unique<S3Batch>(*this); }

std::optional<std::uint64_t> S3Store::size_of(const FileName& name) {
  const Loan calls(*this);
  S3Call call;
  call.method = "HEAD";
  call.key = key_of(name.text());
  const S3Answer answer = calls->perform(std::move(call));
  if (is_absent(answer)) return std::nullopt;
  if (!answer.fine()) throw calls->error(uri_, "cannot look for " + name.text(), answer);
  const std::optional<std::uint64_t> size = parse_number(answer.http.header("content-length"));
  if (!size) throw Error(Fault::store, uri_ + ": the server does not say how large " + name.text() + " is");
  return size;
}

bool S3Store::read(const FileName& name, const std::function<void(std::span<const std::byte>)>& piece) {
  const Loan calls(*this);
  std::uint64_t got = 0;
  std::optional<std::uint64_t> total;
  std::string etag;
  // Of the attempt that is under way:
  bool begun = false;
  std::uint64_t to_skip = 0;
  const auto refuse = [&](const std::string& why) {
    throw Error(Fault::store, uri_ + ": " + name.text() + " " + why);
  };

  S3Call call;
  call.key = key_of(name.text());
  call.prepare = [&](NameValues& headers) {
    begun = false;
    if (got == 0) return;
    headers.emplace_back("range", "bytes=" + std::to_string(got) + "-");
    if (!etag.empty()) headers.emplace_back("if-match", etag);
  };
  const auto begin = [&](const HttpAnswer& answer) {
    begun = true;
    to_skip = 0;
    std::optional<std::uint64_t> whole = parse_number(answer.header("content-length"));
    if (answer.status == 206) {
      // "bytes 5-9/10"
      const std::string& range = answer.header("content-range");
      const std::size_t slash = std::min(range.find('/'), range.size());
      if (!range.starts_with("bytes " + std::to_string(got) + "-"))
        refuse("came with other bytes than were asked for");
      whole = parse_number(std::string_view(range).substr(std::min(slash + 1, range.size())));
    } else {
      to_skip = got;  // the server knows no ranges
    }
    if (total && whole && *whole != *total) refuse("has changed while it was read");
    if (whole) total = whole;
    if (got == 0) etag = answer.header("etag");
  };
  call.on_body = [&](const HttpAnswer& answer, std::span<const std::byte> bytes) {
    if (!begun) begin(answer);
    const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(to_skip, bytes.size()));
    to_skip -= skipped;
    bytes = bytes.subspan(skipped);
    got += bytes.size();
    if (!bytes.empty()) piece(bytes);
    return !bytes.empty();
  };
  call.objection = [&](const S3Answer& answer) -> std::string {
    if (!begun) begin(answer.http);  // without a body
    if (!total) return "the server does not say how large it is";
    if (*total == got) return {};
    return "the server has sent " + std::to_string(got) + " bytes of " + std::to_string(*total);
  };
  const S3Answer answer = calls->perform(std::move(call));
  if (is_absent(answer) && got == 0) return false;
  if (!answer.fine()) throw calls->error(uri_, "cannot read " + name.text(), answer);
  return true;
}

void S3Store::list(const std::function<void(const StoredFile&)>& each) {
  const Loan calls(*this);
  std::string token;
  std::string marker;
  int empty_pages = 0;
  for (;;) {
    S3Call call;
    call.query = {{"encoding-type", "url"}, {"max-keys", "1000"}};
    if (!key_prefix_.empty()) call.query.emplace_back("prefix", key_prefix_);
    if (marker.empty()) {
      call.query.emplace_back("list-type", "2");
      if (!token.empty()) call.query.emplace_back("continuation-token", token);
    } else {
      call.query.emplace_back("marker", marker);
    }
    call.answer_max = kListBytes;
    call.objection = [](const S3Answer& answer) {
      return parse_list(answer.http.body) ? std::string() : "the server's answer is not understood";
    };
    const S3Answer answer = calls->perform(std::move(call));
    if (!answer.fine()) throw calls->error(uri_, "cannot list the files", answer);
    const S3ListPage page = parse_list(answer.http.body).value();
    for (const S3ListPage::Object& object : page.objects) {
      if (!object.key.starts_with(key_prefix_)) {
        throw Error(Fault::store, uri_ + ": the server lists what it was not asked for");
      }
      each({object.key.substr(key_prefix_.size()), object.bytes, object.modified});
    }
    if (!page.truncated) return;
    empty_pages = page.objects.empty() ? empty_pages + 1 : 0;
    // A server that knows only the first version of the call gives no token.
    const std::string last_key = page.objects.empty() ? page.next_marker : page.objects.back().key;
    const bool goes_on = page.next_token.empty() ? last_key > marker : page.next_token != token;
    if (!goes_on || empty_pages > kEmptyPagesMax) {
      throw Error(Fault::store, uri_ + ": the server's list does not end");
    }
    token = page.next_token;
    marker = token.empty() ? last_key : "";
  }
}

bool S3Store::remove(const FileName& name) {
  // S3 says the same whether there was one or not.
  if (!size_of(name)) return false;
  const Loan calls(*this);
  const S3Answer answer = calls->perform(deletion_of(key_of(name.text())));
  if (!answer.fine() && !is_absent(answer)) throw calls->error(uri_, "cannot remove " + name.text(), answer);
  return true;
}

std::size_t S3Store::abandon_unfinished(std::chrono::seconds age) {
  const Loan calls(*this);
  std::size_t count = 0;
  std::string key_marker;
  std::string id_marker;
  int empty_pages = 0;
  for (;;) {
    S3Call call;
    call.query = {{"uploads", ""}, {"encoding-type", "url"}, {"max-uploads", "1000"}};
    if (!key_prefix_.empty()) call.query.emplace_back("prefix", key_prefix_);
    if (!key_marker.empty()) call.query.emplace_back("key-marker", key_marker);
    if (!id_marker.empty()) call.query.emplace_back("upload-id-marker", id_marker);
    call.answer_max = kListBytes;
    call.objection = [](const S3Answer& answer) {
      return parse_uploads(answer.http.body) ? std::string() : "the server's answer is not understood";
    };
    const S3Answer answer = calls->perform(std::move(call));
    if (!answer.fine()) throw calls->error(uri_, "cannot list unfinished uploads", answer);
    const S3UploadPage page = parse_uploads(answer.http.body).value();
    const system_clock::time_point now =
        parse_http_time(answer.http.header("date")).value_or(system_clock::now());
    for (const S3UploadPage::Upload& upload : page.uploads) {
      const bool ours = upload.key.starts_with(key_prefix_) &&
                        FileName::parse(std::string_view(upload.key).substr(key_prefix_.size()));
      // A server may round up, into the future.
      const auto old = std::max(now - upload.begun, system_clock::duration(0));
      if (!ours || old < age) continue;
      const S3Answer aborted = calls->perform(deletion_of(upload.key, {{"uploadId", upload.id}}));
      if (aborted.fine()) {
        ++count;
      } else if (!is_absent(aborted)) {  // else somebody else was faster
        throw calls->error(uri_, "cannot abandon the upload of " + upload.key.substr(key_prefix_.size()),
                           aborted);
      }
    }
    if (!page.truncated) return count;
    empty_pages = page.uploads.empty() ? empty_pages + 1 : 0;
    if ((page.next_key == key_marker && page.next_id == id_marker) || empty_pages > kEmptyPagesMax) {
      throw Error(Fault::store, uri_ + ": the server's list of uploads does not end");
    }
    key_marker = page.next_key;
    id_marker = page.next_id;
  }
}

}  // namespace sluice
