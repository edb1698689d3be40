#pragma once
// Names that PostgreSQL takes, from names that SQLite took.

#include <set>
#include <string>
#include <string_view>

namespace sluice {

// PostgreSQL cuts longer names with a mere notice.
inline constexpr std::size_t kNameBytesMax = 63;

// A name of at most 63 bytes: the name itself where it fits, else its beginning, cut on a character
// boundary, and a hash of the whole.
std::string shortened(std::string_view name);

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
