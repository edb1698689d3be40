#pragma once
// One rejected row as the JSON object that goes into sluice.failure and rejects.jsonl:
//
//   {"table": "orders", "target": "public.orders", "key": {"id": 9120}, "column": "total",
//    "declared_type": "DECIMAL(10,2)", "target_type": "numeric", "storage_class": "text", "length": 5,
//    "hex": "31322c3530", "reason": "storage_class"}
//
// `hex` is the beginning of the value: its bytes, or for a number its decimal text. The key is the
// row's primary key, or {"rowid": n}; a key that is not valid text is given as {"hex": "..."}.

#include <string>

#include "engine/model/cell.h"
#include "engine/model/plan.h"
#include "io/wire/row_encoder.h"

namespace sluice {

// The row's key, as in the record.
std::string key_of_row(const TablePlan& plan, Row row);

std::string reject_record(const TablePlan& plan, Row row, const CellReject& reject);

}  // namespace sluice
