#include "engine/model/cell.h"

namespace sluice {

std::string_view name_of(StorageClass storage) {
  switch (storage) {
    case StorageClass::null:
      return "null";
    case StorageClass::integer:
      return "integer";
    case StorageClass::real:
      return "real";
    case StorageClass::text:
      return "text";
    case StorageClass::blob:
      return "blob";
  }
  return "unknown";
}

}  // namespace sluice
