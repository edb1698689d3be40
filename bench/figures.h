#pragma once
// Figures of measurements: what to make of several, and CPU time from the system.

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace sluice::bench {

// REQUIRES: at least one value.
double minimum(const std::vector<double>& values);
double maximum(const std::vector<double>& values);
double median(std::vector<double> values);

// Of the last minute; 0 where it is unknown.
double load_average();

double megabytes(std::uint64_t bytes);

// CPU seconds up to now, user and system together: ours with all threads, and those of the programs that we
// have started and that have ended.
double cpu_of_process();
double cpu_of_children();

// The server's, all its processes together, in steps of 10 ms.
double cpu_of_server(pid_t postmaster);

}  // namespace sluice::bench
