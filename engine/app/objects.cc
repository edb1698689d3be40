#include "engine/app/objects.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace sluice {
namespace {

using ObjectKey = std::tuple<std::string, std::string, std::string>;

ObjectKey key_of(const ObjectOutcome& object) { return {object.kind, object.table, object.name}; }

std::string proposal_for(const Step& step, const std::string& sqlstate) {
  for (const Remedy& remedy : step.remedies) {
    if (remedy.sqlstate == sqlstate) return remedy.proposal;
  }
  return "remove the reason, then run the SQL by hand";
}

std::string plural_of(const std::string& kind, std::size_t count) {
  std::string words = kind;
  std::replace(words.begin(), words.end(), '_', ' ');
  if (kind == "unique") words = "unique index";
  if (kind == "generated") words = "generated column";
  if (count == 1) return words;
  if (words.ends_with("x")) return words + "es";
  if (words.ends_with("y") && !words.ends_with("ey")) return words.substr(0, words.size() - 1) + "ies";
  return words + "s";
}

}  // namespace

std::vector<ObjectOutcome> objects_of_steps(const std::vector<StepRecord>& steps) {
  std::vector<ObjectOutcome> objects;
  std::map<ObjectKey, std::size_t> place;
  for (const StepRecord& step : steps) {
    if (step.object.kind.empty() || !step.done) continue;
    const auto [found, is_new] = place.try_emplace(key_of(step.object), objects.size());
    if (is_new) {
      objects.push_back(step.object);
      continue;
    }
    ObjectOutcome& object = objects[found->second];
    if (!object.created) continue;  // what failed first is the reason
    object.sql += "; " + step.object.sql;
    if (step.object.created) continue;
    object.created = step.phase == StepPhase::validate;
    object.reason = step.object.reason + (object.created ? "; it is in force for new rows and left NOT VALID"
                                                         : "; its unique index is kept");
  }
  return objects;
}

std::vector<ObjectOutcome> objects_of_plan(const MigrationPlan& plan, const std::vector<StepRecord>& steps) {
  std::vector<ObjectOutcome> objects = objects_of_steps(steps);
  std::map<ObjectKey, std::string> proposals;
  for (const StepRecord& step : steps) {
    if (step.object.kind.empty() || !step.done) continue;
    const Step& planned = plan.steps.at(step.number);
    std::string& proposal = proposals[key_of(step.object)];
    if (proposal.empty()) {
      proposal = step.object.created ? planned.object.proposal : proposal_for(planned, step.sqlstate);
    }
  }
  for (ObjectOutcome& object : objects) object.proposal = proposals[key_of(object)];
  objects.insert(objects.end(), plan.left_out.begin(), plan.left_out.end());
  return objects;
}

std::string count_missing(const std::vector<ObjectOutcome>& objects) {
  std::map<std::string, std::size_t> counts;
  for (const ObjectOutcome& object : objects) {
    if (!object.created) ++counts[object.kind];
  }
  std::string list;
  for (const auto& [kind, count] : counts) {
    list += (list.empty() ? "" : ", ") + std::to_string(count) + " " + plural_of(kind, count);
  }
  return list;
}

std::size_t count_not_validated(const std::vector<ObjectOutcome>& objects) {
  return static_cast<std::size_t>(
      std::count_if(objects.begin(), objects.end(), [](const ObjectOutcome& object) {
        return object.created && object.reason.find("left NOT VALID") != std::string::npos;
      }));
}

}  // namespace sluice
