#include "verify/tuple_digester.h"

namespace sluice {

TupleDigester::TupleDigester(const TablePlan& plan) : walker_(plan.columns.size()) {
  for (std::size_t column = 0; column < plan.columns.size(); ++column) {
    in_key_.push_back(is_key_column(plan, column));
  }
  key_tuple_.put_int16(static_cast<std::int16_t>(plan.columns.size()));
}

void TupleDigester::add(std::span<const std::byte> piece) {
  digest_.add(piece);
  walker_.take(
      piece,
      [&](std::size_t field, std::int32_t length) {
        key_tuple_.put_int32(length < 0 || in_key_[field] ? length : 0);
      },
      [&](std::size_t field, std::span<const std::byte> value) {
        if (in_key_[field]) key_tuple_.append(value);
      });
}

}  // namespace sluice
