#include "io/wire/boolean.h"

#include <array>
#include <cstddef>

namespace sluice {
namespace {

struct Word {
  std::string_view text;
  bool value;
};
constexpr std::array<Word, 12> kWords = {{{"1", true},
                                          {"0", false},
                                          {"t", true},
                                          {"f", false},
                                          {"true", true},
                                          {"false", false},
                                          {"y", true},
                                          {"n", false},
                                          {"yes", true},
                                          {"no", false},
                                          {"on", true},
                                          {"off", false}}};

constexpr char fold(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// REQUIRES: equal lengths.
bool same_letters(std::string_view text, std::string_view word) {
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (fold(text[i]) != word[i]) return false;
  }
  return true;
}

}  // namespace

std::optional<bool> parse_boolean(std::string_view text) {
  for (const Word& word : kWords) {
    if (word.text.size() == text.size() && same_letters(text, word.text)) return word.value;
  }
  return std::nullopt;
}

}  // namespace sluice
