#pragma once
// Names that PostgreSQL takes, from names that SQLite took.

#include <set>
#include <string>
#include <string_view>

#include "engine/plan/mapping.h"

namespace sluice {

// PostgreSQL cuts longer names with a mere notice.
inline constexpr std::size_t kNameBytesMax = 63;

// A name of at most 63 bytes: the name itself where it fits, else its beginning, cut on a character
// boundary, and a hash of the whole.
std::string shortened(std::string_view name);

// The name as `identifiers` asks for it, before NameSpace resolves what collides by it. lower folds A to Z,
// the letters that the source compares without case. snake also puts a _ between words, which begin at a
// capital after a small letter or a digit, at the last capital of several before a small letter (HTTPServer),
// and after everything that is neither letter, digit nor _: `Order Item-No.` is order_item_no. Bytes beyond
// ASCII stay as they are and count as letters. Never empty for a name that is not empty.
std::string identifier_in(Identifiers identifiers, std::string_view name);

// The names of one namespace: the columns of a table, or the tables and indexes of a schema.
class NameSpace {
 public:
  // The name to use for `wanted`: shortened, never empty, and different from every name given out before.
  std::string claim(std::string_view wanted);

  // The same for a column: names of PostgreSQL's system columns get an underscore.
  std::string claim_column(std::string_view wanted);

 private:
  std::set<std::string, std::less<>> taken_;
};

}  // namespace sluice
