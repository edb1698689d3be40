#pragma once
// What a TEXT may be read as, found with the very parsers of the encoder, so that the two never disagree.

#include <cstdint>
#include <string_view>

#include "engine/model/facts.h"
#include "io/wire/json.h"

namespace sluice {

// A set of TextForm, one bit each.
using TextFormSet = std::uint32_t;
constexpr TextFormSet set_of(TextForm form) { return TextFormSet{1} << static_cast<unsigned>(form); }

// One per thread: it keeps the memory of its JSON reader.
class TextForms {
 public:
  // All forms of the text. REQUIRES: check_text() finds nothing wrong with it.
  [[nodiscard]] TextFormSet of(std::string_view text);

 private:
  [[nodiscard]] TextFormSet json_forms(std::string_view text, TextForm kind);
  [[nodiscard]] TextFormSet forms_of_digits(std::string_view text);

  JsonExaminer json_;
};

// True for a text of form date that `timestamp` does not reach.
[[nodiscard]] bool is_date_beyond_timestamp(std::string_view text);

}  // namespace sluice
