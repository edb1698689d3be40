// JSON, against another parser that is strict about RFC 8259.

#include <nlohmann/json.hpp>
#include <string>

#include "fuzz/fuzz.h"
#include "io/wire/json.h"
#include "io/wire/utf8.h"

namespace sluice {
namespace {

// nlohmann's parser refuses numbers beyond a double; the grammar does not.
struct Acceptor : nlohmann::json::json_sax_t {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool key(string_t&) override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    out_of_range = error.id == 406;
    // A \u escape that is half a surrogate is grammar all the same.
    surrogate = std::string_view(error.what()).find("surrogate") != std::string_view::npos;
    return false;
  }
  bool out_of_range = false;
  bool surrogate = false;
};

void check(std::string_view text) {
  const JsonCheck checked = check_json(text);
  Buffer out(256);
  const JsonbResult result = canonical_jsonb(text, out);
  // Of several faults either names one.
  if (is_written(result)) fuzz::expect(checked == JsonCheck::ok, "what jsonb takes is JSON");
  if (checked == JsonCheck::ok) {
    fuzz::expect(result != JsonbResult::malformed && result != JsonbResult::too_deep,
                 "JSON is not malformed");
  }
  fuzz::expect(is_written(result) == (out.size() > 0), "written or not");
  if (is_written(result)) {
    const std::string canonical(reinterpret_cast<const char*>(out.span().data()), out.size());
    fuzz::expect(check_json(canonical) == JsonCheck::ok, "what is written is JSON");
    Buffer again(256);
    fuzz::expect(canonical_jsonb(canonical, again) == JsonbResult::ok, "and loses nothing more");
    fuzz::expect(
        canonical == std::string_view(reinterpret_cast<const char*>(again.span().data()), again.size()),
        "and stays as it is");
  }
  if (!valid_utf8(text) || checked == JsonCheck::too_deep) return;
  if (text.starts_with("\xef\xbb\xbf"))
    return;  // the other parser skips a byte order mark, the server does not
  if (text.find('\0') != std::string_view::npos) return;  // and takes NUL for the end
  Acceptor acceptor;
  const bool accepted = nlohmann::json::sax_parse(text.begin(), text.end(), &acceptor);
  if (acceptor.out_of_range || acceptor.surrogate) return;
  fuzz::expect(accepted == (checked == JsonCheck::ok), "the other parser says the same");
}

}  // namespace
}  // namespace sluice

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  sluice::check(sluice::fuzz::text_of(data, size));
  return 0;
}
