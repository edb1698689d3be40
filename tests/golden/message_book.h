#pragma once
// What sluice says in many cases, in one file: a line "== case" each, and below it the text.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>

#include "golden/golden.h"

namespace sluice::testing {

class MessageBook {
 public:
  // `headline`: the file's first line, which says whose it is.
  MessageBook(std::string file, std::string headline)
      : file_(std::move(file)), headline_(std::move(headline)) {
    std::istringstream text(read_golden(file_));
    std::string name;
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with("== ")) {
        name = line.substr(3);
      } else if (!name.empty() && !line.empty()) {
        entries_[name] += line + "\n";
      }
    }
  }

  // `text`: whole lines, none of them empty.
  void expect(const std::string& name, const std::string& text) {
    EXPECT_TRUE(used_.insert(name).second) << "two cases of one name: " << name;
    if (updating_golden()) {
      entries_[name] = text;
      write();
    }
    EXPECT_EQ(text, entries_[name]) << name << "; if the change is meant: SLUICE_UPDATE_GOLDEN=1";
  }

  // That the file has no case that is none of these any more.
  void expect_no_others(const std::set<std::string>& names) {
    if (updating_golden()) {
      std::erase_if(entries_, [&](const auto& entry) { return !names.contains(entry.first); });
      write();
    }
    for (const auto& [name, text] : entries_) EXPECT_TRUE(names.contains(name)) << "no test has " << name;
  }

 private:
  void write() const {
    std::string all = headline_ + "\n";
    for (const auto& [entry, message] : entries_) all += "\n== " + entry + "\n" + message;
    write_golden(file_, all);
  }

  const std::string file_;
  const std::string headline_;
  std::map<std::string, std::string> entries_;
  std::set<std::string> used_;
};

}  // namespace sluice::testing
