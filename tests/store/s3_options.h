#pragma once

#include <chrono>

#include "io/store/s3_store.h"
#include "support/s3_stub.h"

namespace sluice::testing {

// For the stub: short pauses, and parts of so many bytes, four of which are a file that still goes as a
// whole.
inline S3Options options_for(const S3Stub& stub, std::uint64_t part_bytes) {
  using namespace std::chrono_literals;
  S3Options options;
  options.calls.address = s3_address(stub.endpoint(), stub.options().region, stub.options().bucket);
  options.calls.region = stub.options().region;
  options.calls.credentials = {stub.options().access_key_id, stub.options().secret_access_key, ""};
  options.calls.first_pause = 1ms;
  options.calls.last_pause = 4ms;
  options.calls.retry_for = 10s;
  options.single_put_max = 4 * part_bytes;
  options.part_bytes = part_bytes;
  options.bytes_under_way = 4 * part_bytes;
  return options;
}

}  // namespace sluice::testing
