#include "engine/model/error.h"

#include <utility>

namespace sluice {

int exit_status_of(Fault fault) {
  switch (fault) {
    case Fault::usage:
    case Fault::output:
      return 2;
    case Fault::source_unreadable:
      return 10;
    case Fault::source_changed:
      return 11;
    case Fault::target_refused:
      return 20;
    case Fault::target_unavailable:
      return 21;
    case Fault::connection_lost:
    case Fault::in_doubt:
    case Fault::commits_lost:
    case Fault::interrupted:
      return 5;
    case Fault::store:
      return 40;
    case Fault::internal:
      break;
  }
  return 70;
}

std::string_view name_of(Fault fault) {
  switch (fault) {
    case Fault::usage:
      return "usage";
    case Fault::source_unreadable:
      return "source";
    case Fault::source_changed:
      return "source changed";
    case Fault::target_refused:
      return "target";
    case Fault::target_unavailable:
      return "target unavailable";
    case Fault::connection_lost:
      return "connection lost";
    case Fault::in_doubt:
      return "connection lost during commit";
    case Fault::commits_lost:
      return "commits lost";
    case Fault::interrupted:
      return "interrupted";
    case Fault::output:
      return "output";
    case Fault::store:
      return "file store";
    case Fault::internal:
      break;
  }
  return "bug in sluice";
}

namespace {

// Server messages may hold several lines; an error of ours is one.
std::string on_one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

Error::Error(Fault fault, std::string what, std::string advice)
    : fault_(fault),
      what_(on_one_line(std::move(what))),
      advice_(on_one_line(std::move(advice))),
      may_pass_(fault == Fault::connection_lost || fault == Fault::in_doubt ||
                fault == Fault::target_unavailable) {}

Error& Error::set_sqlstate(std::string_view sqlstate) {
  sqlstate_ = sqlstate;
  return *this;
}

Error& Error::set_may_pass(bool may_pass) {
  may_pass_ = may_pass;
  return *this;
}

void Error::append(const std::string& more) { what_ += "; " + on_one_line(more); }

std::string Error::describe() const {
  std::string text(name_of(fault_));
  text += ": ";
  text += what_;
  if (!sqlstate_.empty()) text.append(" [").append(sqlstate_).append("]");
  const char* separator = " in ";
  const auto add = [&](const std::string& part) {
    text += separator + part;
    separator = ", ";
  };
  if (!where_.table.empty()) add(where_.table);
  if (where_.range)
    add(std::string("range ").append(std::to_string(static_cast<std::uint32_t>(*where_.range))));
  if (where_.row) add(std::string("row ").append(std::to_string(*where_.row)));
  if (!where_.column.empty()) add(std::string("column ").append(where_.column));
  if (!advice_.empty()) text.append("; ").append(advice_);
  return on_one_line(std::move(text));  // names may hold line breaks
}

}  // namespace sluice
