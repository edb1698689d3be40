#include "engine/app/plan_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <optional>

#include "engine/app/console.h"
#include "engine/app/endpoints.h"
#include "engine/app/plan_file.h"
#include "engine/app/planning.h"
#include "engine/app/report.h"
#include "engine/model/error.h"
#include "io/postgres/target_catalog.h"

namespace sluice {
namespace {

TargetCatalog read_target(const PlanFileOptions& options, Console& console) {
  if (options.target.empty()) {
    throw Error(Fault::usage,
                "--data-only takes columns and types from the tables of TARGET, and there is none",
                "name the database after SOURCE");
  }
  Connection connection(open_target(options.target, LocalTarget::must_exist).conninfo);
  warn_of_plain_text(connection, console);
  return read_target_catalog(connection, options.schema);
}

}  // namespace

int write_plan(const PlanFileOptions& options, const StopRequest& stop) {
  // A plan may hold an hour of somebody's decisions.
  if (std::error_code ignored; !options.output.empty() && std::filesystem::exists(options.output, ignored)) {
    throw Error(Fault::usage, options.output + " exists already",
                "choose another --output, or remove it first");
  }
  Console console(options.progress);
  std::optional<TargetCatalog> existing;
  if (options.data_only) existing = read_target(options, console);
  const PlannedSource planned = plan_source(options, existing ? &*existing : nullptr, console, stop);
  const std::string text =
      options.format == PlanFormat::sql
          ? plan_script_of(planned.plan)
          : plan_file_of(planned.snapshot->catalog(), planned.facts, planned.plan, options);
  if (options.output.empty()) {
    std::cout << text << std::flush;
  } else {
    write_file(options.output, text);
  }
  for (const Finding& finding : planned.plan.findings)
    console.note({.level = LogLevel::error, .message = describe(finding), .table = finding.table});
  return planned.plan.findings.empty() ? 0 : exit_status_of(Fault::usage);
}

}  // namespace sluice
