#include "engine/model/offload.h"

namespace sluice {

std::string_view name_of(OffloadedColumn afterwards) {
  switch (afterwards) {
    case OffloadedColumn::drop:
      return "drop";
    case OffloadedColumn::keep:
      return "keep";
    case OffloadedColumn::null:
      break;
  }
  return "null";
}

std::string describe(const OffloadPlan& offload) {
  std::string text = "store = " + offload.store + ", source = " + std::string(name_of(offload.afterwards));
  if (offload.text.data_uri) text += ", data-uri = true";
  if (offload.text.line_breaks) text += ", line-breaks = true";
  if (offload.text.url_alphabet) text += ", url-alphabet = true";
  if (offload.text.missing_padding) text += ", missing-padding = true";
  if (offload.compress) text += ", compress = true";
  return text;
}

}  // namespace sluice
