#include "datasets/kinds.h"
#include "datasets/values.h"

// A hosting panel as Laravel's migrations would create it: lower-case types, integer autoincrement keys,
// created_at and updated_at everywhere, flags as tinyint(1) and boolean, settings as JSON.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE "users" (
  "id" integer primary key autoincrement not null,
  "name" varchar(255) not null,
  "email" varchar(255) not null,
  "email_verified_at" datetime,
  "password" varchar(255) not null,
  "two_factor_enabled" boolean not null default false,
  "is_admin" tinyint(1) not null default '0',
  "timezone" varchar(64) not null default 'UTC',
  "settings" json,
  "invited_by" integer,
  "remember_token" varchar(100),
  "created_at" datetime,
  "updated_at" datetime,
  foreign key("invited_by") references "users"("id") on delete set null
);
CREATE TABLE "servers" (
  "id" integer primary key autoincrement not null,
  "user_id" integer not null,
  "name" varchar(255) not null,
  "hostname" varchar(255) not null,
  "ip_address" varchar(45) not null,
  "provider" varchar(255) not null default 'custom',
  "region" varchar(32),
  "cpu_cores" tinyint unsigned not null default '1',
  "memory_mb" int not null,
  "disk_bytes" bigint not null,
  "quota_bytes" bigint not null default '-1',
  "load_average" double not null default '0',
  "monthly_price" decimal(8, 2) not null,
  "is_active" tinyint(1) not null default '1',
  "settings" text not null default '{}',
  "notes" text,
  "last_seen_at" datetime,
  "created_at" datetime,
  "updated_at" datetime,
  "deleted_at" datetime,
  foreign key("user_id") references "users"("id") on delete cascade
);
CREATE TABLE "sites" (
  "id" integer primary key autoincrement not null,
  "server_id" integer not null,
  "user_id" integer not null,
  "domain" varchar(255) not null,
  "document_root" varchar(255) not null,
  "php_version" varchar(10) not null default '8.3',
  "is_secure" boolean not null default 0,
  "disk_used_bytes" bigint not null default '0',
  "traffic_ratio" double,
  "environment" text,
  "settings" json not null,
  "expires_on" date,
  "created_at" datetime,
  "updated_at" datetime,
  foreign key("server_id") references "servers"("id") on delete cascade,
  foreign key("user_id") references "users"("id") on delete cascade
);
CREATE TABLE "audit_logs" (
  "id" integer primary key autoincrement not null,
  "user_id" integer,
  "event" varchar(255) not null,
  "auditable_type" varchar(255) not null,
  "auditable_id" bigint not null,
  "ip_address" varchar(45),
  "user_agent" text,
  "payload" json not null,
  "tags" varchar(255),
  "created_at" datetime not null,
  foreign key("user_id") references "users"("id") on delete set null
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE UNIQUE INDEX "users_email_unique" on "users" ("email");
CREATE UNIQUE INDEX "servers_hostname_unique" on "servers" ("hostname");
CREATE INDEX "servers_user_id_is_active_index" on "servers" ("user_id", "is_active");
CREATE UNIQUE INDEX "sites_domain_unique" on "sites" ("domain");
CREATE INDEX "sites_server_id_index" on "sites" ("server_id");
CREATE INDEX "audit_logs_auditable_type_auditable_id_index" on "audit_logs" ("auditable_type", "auditable_id");
CREATE INDEX "audit_logs_user_id_created_at_index" on "audit_logs" ("user_id", "created_at");
)sql";

constexpr std::array kTimezones = {"UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"};
constexpr std::array kRegions = {"fsn1", "nyc3", "sgp1", "eu-west-1"};
constexpr std::array kProviders = {"custom", "hetzner", "digitalocean", "aws"};
constexpr std::array kEvents = {"created", "updated", "deleted", "restored", "login", "deployed"};
constexpr std::array kAuditables = {"App\\Models\\Server", "App\\Models\\Site", "App\\Models\\User"};
constexpr std::array kVersions = {"7.4", "8.1", "8.2", "8.3"};

std::string settings(Random& random) {
  return JsonObject()
      .text("locale", random.pick(std::array{"en", "de", "ja", "ar"}))
      .boolean("dark_mode", random.one_in(2))
      .integer("per_page", random.between(1, 10) * 10)
      .text("signature", free_text(random, 60))
      .raw("channels", random.one_in(2) ? R"(["mail","slack"])" : "[]")
      .done();
}

void insert_users(Database& database, std::uint64_t seed, std::int64_t users) {
  Random random(seed, "panel.users");
  Insert insert(database, "users");
  for (std::int64_t id = 1; id <= users; ++id) {
    const std::int64_t created = some_time(random);
    std::optional<std::int64_t> invited_by;
    if (id > 1 && !random.one_in(3)) invited_by = random.between(1, id - 1);
    insert.row({id, person(random),
                concat({"user", std::to_string(id), "@",
                        random.pick(std::array{"example.com", "example.org", "xn--bcher-kva.example"})}),
                maybe_null(random, 5, date_time(created + 600)), concat({"$2y$10$", token(random, 53)}),
                random.one_in(4), id == 1 || random.one_in(50), random.pick(kTimezones),
                maybe_null(random, 10, settings(random)), invited_by,
                maybe_null(random, 2, token(random, 60)), date_time(created),
                date_time(created + random.between(0, 30 * kDay))});
  }
}

void insert_servers(Database& database, std::uint64_t seed, std::int64_t servers, std::int64_t users) {
  Random random(seed, "panel.servers");
  Insert insert(database, "servers");
  for (std::int64_t id = 1; id <= servers; ++id) {
    const std::int64_t created = some_time(random);
    // -1 is the panel's "no limit"; somebody always types in the largest number there is instead.
    const std::int64_t quota = id == 1            ? INT64_MAX
                               : id == 2          ? INT64_MIN
                               : random.one_in(3) ? -1
                                                  : random.between(1, 4096) << 30;
    const double load = id == 1 ? 5e-324 : id == 2 ? 1e308 : random.hundredths(0, 3200);
    insert.row({id,
                random.between(1, users),
                free_text(random, 24),
                concat({"srv-", std::to_string(id), ".", random.pick(kRegions), ".example.net"}),
                ip_address(random),
                random.pick(kProviders),
                maybe_null(random, 6, random.pick(kRegions)),
                random.between(1, 64),
                random.between(1, 256) * 1024,
                random.between(20, 4096) << 30,
                quota,
                load,
                random.hundredths(199, 99'999),
                !random.one_in(10),
                settings(random),
                maybe_null(random, 3, free_text(random, 400)),
                maybe_null(random, 8, date_time(created + kDay)),
                date_time(created),
                date_time(created + random.between(0, 30 * kDay)),
                random.one_in(12) ? std::optional(date_time(created + 60 * kDay)) : std::nullopt});
  }
}

std::string environment_file(Random& random) {
  return concat({"APP_NAME=\"", prose(random, 12), "\"\nAPP_KEY=base64:", base64(bytes(random, 32)),
                 "\nDB_PASSWORD='", token(random, 16), "'\n# ", oddity(random), "\n"});
}

void insert_sites(Database& database, std::uint64_t seed, std::int64_t sites, std::int64_t servers,
                  std::int64_t users) {
  Random random(seed, "panel.sites");
  Insert insert(database, "sites");
  for (std::int64_t id = 1; id <= sites; ++id) {
    const std::int64_t created = some_time(random);
    const std::string domain =
        concat({"site-", std::to_string(id),
                random.pick(std::array{".example.com", ".example.org", ".bücher.example"})});
    insert.row({id, random.between(1, servers), random.between(1, users), domain,
                concat({"/home/forge/", domain, "/public"}), random.pick(kVersions), random.one_in(2),
                random.between(0, std::int64_t{1} << 40), maybe_null(random, 4, random.hundredths(-500, 500)),
                maybe_null(random, 3, environment_file(random)), settings(random),
                maybe_null(random, 2, date(created + random.between(30, 700) * kDay)), date_time(created),
                date_time(created + random.between(0, 30 * kDay))});
  }
}

void insert_audit_logs(Database& database, std::uint64_t seed, std::int64_t audit_logs, std::int64_t users) {
  Random random(seed, "panel.audit_logs");
  Insert insert(database, "audit_logs");
  std::int64_t now = kEpoch;
  for (std::int64_t id = 1; id <= audit_logs; ++id) {
    now += random.between(0, 600);
    const std::string payload =
        JsonObject()
            .raw("old", JsonObject().text("name", prose(random, 12)).null("note").done())
            .raw("new", JsonObject()
                            .text("name", free_text(random, 40))
                            .decimal("cost", random.between(0, 99'999))
                            .done())
            .text("request_id", uuid(random))
            .done();
    insert.row({id, maybe_null(random, 9, random.between(1, users)), random.pick(kEvents),
                random.pick(kAuditables), random.between(1, 5000), maybe_null(random, 20, ip_address(random)),
                maybe_null(random, 20, user_agent(random)), payload,
                maybe_null(random, 3, free_text(random, 30)), date_time(now)});
  }
}

}  // namespace

void generate_panel(Database& database, const GeneratorOptions& options) {
  const auto [users, servers, sites, audit_logs] = split_rows<4>(options.rows, {300, 200, 1500, 8000});
  database.run(kSchema);
  insert_users(database, options.seed, users);
  insert_servers(database, options.seed, servers, users);
  insert_sites(database, options.seed, sites, servers, users);
  insert_audit_logs(database, options.seed, audit_logs, users);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
