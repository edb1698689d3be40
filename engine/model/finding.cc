#include "engine/model/finding.h"

namespace sluice {

std::string describe(const Finding& finding) {
  std::string text;
  if (!finding.origin.empty()) text.append(finding.origin).append(": ");
  if (!finding.table.empty()) text.append("table ").append(finding.table);
  if (!finding.column.empty()) text.append(", column ").append(finding.column);
  if (!finding.table.empty()) text.append(": ");
  text.append(finding.what);
  if (!finding.resolve.empty()) text.append("; ").append(finding.resolve);
  return text;
}

}  // namespace sluice
