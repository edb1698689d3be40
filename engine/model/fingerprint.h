#pragma once
// Which state of a SQLite file a run began with, as a line of text for the ledger:
//
//   size=8192 mtime=1772366400.123456789 page=4096 pages=2 change=7 schema=1 wal=none
//   content=af63bd4c8601b7df dev=66307 ino=12
//
// size and mtime (seconds, nanoseconds) of the main file; bytes of a page; pages, as readers see them; the
// header's change counter and schema cookie; the last commit in the write-ahead log; a digest of some pages
// of the main file (io/sqlite/page_sample.h). All of that a copy has, too, if it is made by cp -p, rsync -t
// or the like, while nobody writes. dev and ino say which file it is on which machine, and a copy has others.
//
// So a process on another host may go on with a run, with a copy of the file. What makes two files of one
// fingerprint the same state is, above all, mtime with its nanoseconds: whoever writes, changes it, but for
// commits that are in the log only, and those change wal. The digest is for the rest: a clock or a tool that
// sets times back, two histories of one file.

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// What tells the two apart, as the names above; empty when they are the same state. `ledger`: what the ledger
// has. One without content was written by an earlier sluice: then dev and ino must agree, too.
//
// Copies may have lost the end of the time: a whole second, or one to the millisecond, microsecond or tenth
// of it, agrees with each time that begins with it.
std::vector<std::string> fingerprint_differences(std::string_view ledger, std::string_view now);

bool same_state(std::string_view ledger, std::string_view now);

}  // namespace sluice
