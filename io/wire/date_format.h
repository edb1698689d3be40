#pragma once
// Dates in the words of strptime, for the conversion date-format. English names only, no locale.
//
//   %Y four digits        %y two: 69 to 99 are 19xx, 00 to 68 are 20xx
//   %m %d %H %I %M %S     one digit or two; exactly two where another number touches them: %Y%m%d
//   %f                    one digit or more; those after the sixth must be zero, or are cut off
//   %b Jan  %B January  %a Mon  %A Monday   in any case of letters; a weekday must be that of the date
//   %p                    AM or PM, in any case; %I is 1 to 12
//   %z                    Z, +hh, +hhmm, +hh:mm, up to 15:59
//   %%                    the sign itself
// Any other character stands for itself. What the calendar or the clock does not have does not fit: no
// February 30, no 24:00, no second 60.

#include <string>
#include <string_view>
#include <vector>

#include "io/wire/datetime.h"

namespace sluice {

class DateFormat {
 public:
  // REQUIRES: why_not() of engine/model/conversion.h has nothing against the format.
  explicit DateFormat(std::string_view format);

  // Without a date in the format it is 2000-01-01. Not held against the range of any type.
  [[nodiscard]] bool parse(std::string_view text, bool truncate_fraction, WrittenTimestamp& written) const;

 private:
  struct Element {
    char directive = 0;  // 0: a literal character
    char literal = 0;
    bool touched = false;  // by another number
  };
  std::vector<Element> elements_;
};

}  // namespace sluice
