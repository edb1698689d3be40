#pragma once

#include <string_view>

namespace sluice {

#ifndef SLUICE_VERSION
#error "the build names the version"
#endif
inline constexpr std::string_view kVersion = SLUICE_VERSION;

}  // namespace sluice
