#include "datasets/kinds.h"
#include "datasets/values.h"

// An object store's catalog: UUID keys as text, some declared UUID and some TEXT, byte sizes, checksums,
// expiry times, and columns that are often NULL.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE users (
  id UUID NOT NULL PRIMARY KEY,
  username VARCHAR(64) NOT NULL UNIQUE,
  email TEXT,
  access_key CHAR(20) NOT NULL,
  quota_bytes BIGINT NOT NULL DEFAULT -1,
  is_suspended BOOLEAN NOT NULL DEFAULT 0,
  created_at TIMESTAMP NOT NULL
);
CREATE TABLE buckets (
  id UUID NOT NULL PRIMARY KEY,
  owner_id UUID NOT NULL REFERENCES users(id),
  name VARCHAR(63) NOT NULL UNIQUE,
  region TEXT NOT NULL DEFAULT 'eu-central',
  versioning BOOLEAN NOT NULL DEFAULT 0,
  policy JSON,
  created_at TIMESTAMP NOT NULL
);
CREATE TABLE files (
  id TEXT NOT NULL PRIMARY KEY,
  bucket_id UUID NOT NULL REFERENCES buckets(id) ON DELETE CASCADE,
  object_key TEXT NOT NULL,
  size BIGINT NOT NULL CHECK (size >= 0),
  sha256 CHAR(64) NOT NULL,
  content_type TEXT,
  storage_class SMALLINT NOT NULL DEFAULT 0,
  metadata JSON,
  previous_version_id TEXT REFERENCES files(id) ON DELETE SET NULL,
  uploaded_by UUID REFERENCES users(id),
  created_at TIMESTAMP NOT NULL,
  expires_at TIMESTAMP,
  deleted_at TIMESTAMP,
  UNIQUE (bucket_id, object_key)
);
CREATE TABLE share_tokens (
  id TEXT NOT NULL PRIMARY KEY,
  file_id TEXT NOT NULL REFERENCES files(id) ON DELETE CASCADE,
  token_sha256 CHAR(64) NOT NULL,
  password_salt BLOB,
  downloads INTEGER NOT NULL DEFAULT 0,
  downloads_max INTEGER,
  created_on DATE NOT NULL,
  expires_at TIMESTAMP
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE INDEX buckets_owner ON buckets(owner_id);
CREATE INDEX files_sha256 ON files(sha256);
CREATE INDEX files_expiring ON files(expires_at) WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX share_tokens_token ON share_tokens(token_sha256);
CREATE INDEX share_tokens_file ON share_tokens(file_id, expires_at);
)sql";

constexpr std::array kContentTypes = {"image/jpeg", "application/zip", "video/mp4",
                                      "text/plain; charset=utf-8", ""};

using Ids = std::vector<std::string>;

Ids insert_users(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "objectstore.users");
  Insert insert(database, "users");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    ids.push_back(uuid(random));
    const std::string username = "user" + std::to_string(serial);
    const std::int64_t quota = serial == 1   ? INT64_MAX
                               : serial == 2 ? INT64_MIN
                                             : random.between(-1, 1000) * 1'000'000'000;
    insert.row({ids.back(), username, maybe_null(random, 4, username + "@example.com"), token(random, 20),
                quota, random.one_in(25), date_time(some_time(random), 'T')});
  }
  return ids;
}

Ids insert_buckets(Database& database, std::uint64_t seed, std::int64_t count, const Ids& users) {
  Random random(seed, "objectstore.buckets");
  Insert insert(database, "buckets");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    ids.push_back(uuid(random));
    const std::string policy = JsonObject()
                                   .text("version", "2024-01-01")
                                   .raw("allow", random.one_in(2) ? R"(["get","list"])" : R"(["get"])")
                                   .text("comment", free_text(random, 40))
                                   .done();
    insert.row({ids.back(), random.pick(users),
                concat({"bucket-", std::to_string(serial), "-", hex(random, 6)}),
                random.one_in(3) ? "us-east" : "eu-central", random.one_in(3), maybe_null(random, 2, policy),
                date_time(some_time(random), 'T')});
  }
  return ids;
}

Ids insert_files(Database& database, std::uint64_t seed, std::int64_t count, const Ids& buckets,
                 const Ids& users) {
  Random random(seed, "objectstore.files");
  Insert insert(database, "files");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const auto previous = ids.empty() || !random.one_in(10) ? std::nullopt : std::optional(random.pick(ids));
    ids.push_back(uuid(random));
    // The serial number keeps (bucket_id, object_key) unique whatever the rest of the path is.
    const std::string object_key =
        concat({prose(random, 10), "/", random.one_in(12) ? oddity(random) : "photos", "/IMG ",
                std::to_string(serial), ".bin"});
    // Sizes of all magnitudes, from empty to petabytes.
    const std::int64_t size = serial % 97 == 0 ? 0 : random.between(1, 2) << random.below(51);
    const std::string metadata =
        JsonObject()
            .text("camera", free_text(random, 20))
            .integer("width", random.between(1, 8192))
            .decimal("exposure", random.between(1, 10'000))
            .raw("gps", random.one_in(2) ? "null" : R"({"lat":52.52,"lon":-13.405e0})")
            .done();
    const std::int64_t created = some_time(random);
    insert.row(
        {ids.back(), random.pick(buckets), object_key, size, hex(random, 64),
         maybe_null(random, 5, random.pick(kContentTypes)), random.between(0, 3),
         maybe_null(random, 3, metadata), previous, maybe_null(random, 4, random.pick(users)),
         date_time_microseconds(created, random.below(1'000'000)),
         random.one_in(5) ? std::optional(date_time(created + random.between(1, 365) * kDay)) : std::nullopt,
         random.one_in(20) ? std::optional(date_time(created + kDay)) : std::nullopt});
  }
  return ids;
}

void insert_share_tokens(Database& database, std::uint64_t seed, std::int64_t count, const Ids& files) {
  Random random(seed, "objectstore.share_tokens");
  Insert insert(database, "share_tokens");
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const std::int64_t created = some_time(random);
    insert.row({uuid(random), random.pick(files), hex(random, 64), maybe_null(random, 2, bytes(random, 16)),
                random.between(0, 500), maybe_null(random, 2, random.between(1, 500)), date(created),
                maybe_null(random, 3, date_time(created + 7 * kDay))});
  }
}

}  // namespace

void generate_objectstore(Database& database, const GeneratorOptions& options) {
  const auto [users, buckets, files, share_tokens] = split_rows<4>(options.rows, {300, 200, 7500, 2000});
  database.run(kSchema);
  const Ids user_ids = insert_users(database, options.seed, users);
  const Ids bucket_ids = insert_buckets(database, options.seed, buckets, user_ids);
  const Ids file_ids = insert_files(database, options.seed, files, bucket_ids, user_ids);
  insert_share_tokens(database, options.seed, share_tokens, file_ids);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
