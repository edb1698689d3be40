#pragma once
// The words that flags and the mapping take for a value, and which one was probably meant.

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/app/log.h"
#include "engine/model/conversion.h"
#include "engine/plan/mapping.h"

namespace sluice {

template <class Value>
struct Word {
  std::string_view word;
  Value value;
};
template <class Value>
Word(std::string_view, Value) -> Word<Value>;  // clang 14 deduces nothing for aggregates

inline constexpr std::array kMisfitWords = {Word{"widen", MisfitPolicy::widen},
                                            Word{"reject", MisfitPolicy::reject},
                                            Word{"fail", MisfitPolicy::fail}};
inline constexpr std::array kJsonWords = {Word{"auto", JsonTarget::automatic}, Word{"json", JsonTarget::json},
                                          Word{"jsonb", JsonTarget::jsonb}, Word{"text", JsonTarget::text}};
inline constexpr std::array kBadTextWords = {
    Word{"stop", BadTextPolicy::stop}, Word{"reject", BadTextPolicy::reject},
    Word{"replace", BadTextPolicy::replace}, Word{"strip", BadTextPolicy::strip},
    Word{"bytea", BadTextPolicy::bytea}};
inline constexpr std::array kIdentifierWords = {Word{"preserve", Identifiers::preserve},
                                                Word{"lower", Identifiers::lower},
                                                Word{"snake", Identifiers::snake}};
inline constexpr std::array kLogFormatWords = {Word{"text", LogFormat::text}, Word{"json", LogFormat::json}};
inline constexpr std::array kEpochWords = {Word{"s", EpochUnit::seconds},
                                           Word{"ms", EpochUnit::milliseconds},
                                           Word{"us", EpochUnit::microseconds},
                                           Word{"ns", EpochUnit::nanoseconds},
                                           Word{"julian", EpochUnit::julian_days},
                                           Word{"apple", EpochUnit::apple_seconds},
                                           Word{"webkit", EpochUnit::webkit_microseconds},
                                           Word{"filetime", EpochUnit::filetime},
                                           Word{"dotnet", EpochUnit::dotnet_ticks},
                                           Word{"excel", EpochUnit::excel_days}};
inline constexpr std::array kEncodingWords = {Word{"cp1252", TextEncoding::cp1252},
                                              Word{"latin1", TextEncoding::latin1},
                                              Word{"cesu8", TextEncoding::cesu8}};
inline constexpr std::array kUuidWords = {Word{"be", UuidBytes::big_endian},
                                          Word{"dotnet", UuidBytes::dotnet}};
inline constexpr std::array kOffloadedWords = {Word{"null", OffloadedColumn::null},
                                               Word{"drop", OffloadedColumn::drop},
                                               Word{"keep", OffloadedColumn::keep}};
inline constexpr std::array kBase64Words = {Word{"strict", Base64::strict}, Word{"relaxed", Base64::relaxed}};

// Null for a word that is not in the list.
template <class Value>
const Value* value_of(std::span<const Word<Value>> words, std::string_view word) {
  for (const Word<Value>& known : words) {
    if (known.word == word) return &known.value;
  }
  return nullptr;
}

// Empty for a value that has no word.
template <class Value>
std::string_view word_of(std::span<const Word<Value>> words, Value value) {
  for (const Word<Value>& known : words) {
    if (known.value == value) return known.word;
  }
  return {};
}

// "widen, reject, fail"
template <class Value>
std::string list_of(std::span<const Word<Value>> words) {
  std::string list;
  for (const Word<Value>& known : words) list.append(list.empty() ? "" : ", ").append(known.word);
  return list;
}

// The one of `known` that differs from `word` by a slip of the fingers, without case; empty when none does.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

// ", did you mean X?", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace sluice
