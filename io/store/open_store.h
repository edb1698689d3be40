#pragma once
// A store by its address:
//
//   file:///var/files          a folder that exists; "%20" for a blank, as in every URI
//   s3://bucket                a bucket of Amazon S3, or of what speaks its language
//   s3://bucket/some/prefix    files go below the prefix

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "io/store/credentials.h"
#include "io/store/file_store.h"

namespace sluice {

struct StoreOptions {
  // Where credentials, region, endpoint and proxy of S3 come from (io/store/credentials.h). Empty: nothing is
  // set.
  EnvironmentLookup environment{};

  // Stronger than what the environment says; empty: what it says.
  std::string endpoint{};  // "https://minio.example:9000"
  std::string region{};

  // How long to try again what a server refuses for the moment, or what a cut connection has stopped. Zero:
  // not at all.
  std::chrono::milliseconds retry_for = std::chrono::seconds(60);

  // Asked about ten times a second while a server is waited for, from the threads that wait; true ends that
  // with Error (Fault::interrupted). Empty: never.
  std::function<bool()> stop{};

  // What nothing refers to may be removed when it was put so long ago. S3 has no other way to make an
  // object young again than to put it once more, which happens at half that age.
  std::chrono::seconds removable_after = std::chrono::hours(24);
};

// Whether there is such a store shows at its first use; FileStore::check() is that. Throws Error:
// Fault::usage for what is no address of a store and for credentials that are missing, Fault::store for a
// folder that is not there.
[[nodiscard]] std::unique_ptr<FileStore> open_store(const std::string& uri, const StoreOptions& options);

}  // namespace sluice
