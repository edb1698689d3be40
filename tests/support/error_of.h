#pragma once

#include "engine/model/error.h"

namespace sluice::testing {

// What the action throws; Fault::internal and "no error" when it throws none.
template <class Action>
Error error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return {Fault::internal, "no error"};
}

}  // namespace sluice::testing
