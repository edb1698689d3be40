#include "engine/app/inspect.h"

#include <iostream>

#include "engine/app/console.h"
#include "engine/app/inspect_report.h"
#include "engine/app/inspection.h"
#include "engine/app/planning.h"
#include "engine/app/source_checks.h"

namespace sluice {

int inspect(const InspectOptions& options, const StopRequest& stop) {
  Console console(options.progress);
  const PlannedSource planned = plan_source(options, nullptr, console, stop);
  const SourceChecks checks = check_source(planned, day_today(), console, stop);
  InspectionInput input;
  input.catalog = &planned.snapshot->catalog();
  input.outlines = &planned.outlines;
  input.facts = &planned.facts;
  input.plan = &planned.plan;
  input.checks = &checks;
  input.path = options.source;
  input.bytes = planned.snapshot->file_bytes();
  input.fingerprint = planned.snapshot->fingerprint();
  input.remark = planned.snapshot->remark();
  input.profile_seconds = planned.profile.wall;
  const Inspection inspection = inspect_source(input, options);
  std::cout << (options.json ? inspection_json(inspection) : inspection_text(inspection)) << std::flush;
  return 0;
}

}  // namespace sluice
