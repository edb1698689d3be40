#pragma once
// An Inspection for people and for programs. Names and values come from a stranger's file; whatever they are,
// the text has lines of at most 110 characters without a control character, and the JSON is ASCII.
//
// The JSON is one object. Days are "2024-02-29", bytes and seconds are estimates where the key says so:
//
//   sluice_version, time_to_move ("crossed", "near" or "far": that of the nearest threshold)
//   source      path, bytes, fingerprint, remark
//   thresholds  [{name ("size", "rows", "daily_rows"), distance ("crossed", "near", "far", "unknown"), value,
//                limit, table, column, remark}]
//   estimate    bytes, bytes_low, bytes_high, seconds, seconds_low, seconds_high, jobs
//   rows, profile_seconds
//   surprises   [{kind, table, column, what, count, key, value, resolve}], worst first; kinds as in
//   inspection.h;
//                for orphans, column is the list of columns; key and value are those of an example
//   tables      [{name, target, rows, bytes, estimated_bytes, without_rowid, strict,
//                growth (null or {column, first_day, last_day, rows, recent_days, recent_per_day,
//                        overall_per_day, long_enough, sampled}),
//                foreign_keys [{columns, parent, parent_columns, orphans, rowids, reason}],
//                columns [{name, target, declared, type, conversion, remark, facts}]}], largest first;
//                target and type are null for a column that does not arrive
//   facts       every count of ColumnFacts under its own name, `forms` by TextForm, `examples` by Surprise as
//                {key, value}. integer_min and integer_max are null without integers. Where `examined` is
//                false the declaration of a STRICT table says it all and no value was counted.
//   objects     [{kind, table, name, status ("created", "not_created"), sql, reason, proposal}]: what does
//   not
//                arrive, or arrives with a difference

#include <string>

#include "engine/app/inspection.h"

namespace sluice {

// The same bytes for the same Inspection: no time, no path but the user's own.
std::string inspection_text(const Inspection& inspection);
std::string inspection_json(const Inspection& inspection);

}  // namespace sluice
