#include "datasets/kinds.h"
#include "datasets/values.h"

// A marketplace for contractors with Prisma's names: eight tables, decimals and ratings, composite and
// descending indexes, foreign keys to a primary key, to a unique column and to the table itself.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE "Session" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "sessionToken" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "ipAddress" TEXT,
    "userAgent" TEXT,
    "expires" DATETIME NOT NULL
);
CREATE TABLE "Project" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "title" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "budget" DECIMAL(12,2) NOT NULL,
    "isRemote" BOOLEAN NOT NULL DEFAULT false,
    "status" TEXT NOT NULL DEFAULT 'OPEN',
    "parentProjectId" TEXT,
    "deadline" DATE,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Project_parentProjectId_fkey" FOREIGN KEY ("parentProjectId") REFERENCES "Project" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE TABLE "ContractorRanking" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "contractorId" TEXT NOT NULL,
    "displayName" TEXT NOT NULL,
    "rating" REAL NOT NULL DEFAULT 0,
    "confidence" REAL,
    "completedJobs" INTEGER NOT NULL DEFAULT 0,
    "score" BIGINT NOT NULL,
    "updatedAt" DATETIME NOT NULL
);
CREATE TABLE "Notification" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "userId" TEXT NOT NULL,
    "projectId" TEXT,
    "type" TEXT NOT NULL,
    "body" TEXT NOT NULL DEFAULT '',
    "data" JSON,
    "isRead" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Notification_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES "Project" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "Review" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "projectId" TEXT NOT NULL,
    "contractorId" TEXT NOT NULL,
    "rating" REAL NOT NULL CHECK ("rating" >= 0 AND "rating" <= 5),
    "comment" TEXT,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Review_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES "Project" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "Review_contractorId_fkey" FOREIGN KEY ("contractorId") REFERENCES "ContractorRanking" ("contractorId") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE TABLE "Bid" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "projectId" TEXT NOT NULL,
    "contractorId" TEXT NOT NULL,
    "amount" DECIMAL(12,2) NOT NULL,
    "feeRate" DECIMAL(5,4) NOT NULL DEFAULT 0.05,
    "days" INTEGER NOT NULL,
    "coverLetter" TEXT,
    "isAccepted" BOOLEAN,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Bid_projectId_fkey" FOREIGN KEY ("projectId") REFERENCES "Project" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "Bid_contractorId_fkey" FOREIGN KEY ("contractorId") REFERENCES "ContractorRanking" ("contractorId") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE TABLE "AuditLog" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "sessionId" TEXT,
    "action" TEXT NOT NULL,
    "entity" TEXT NOT NULL,
    "entityId" TEXT,
    "changes" JSON,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "AuditLog_sessionId_fkey" FOREIGN KEY ("sessionId") REFERENCES "Session" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE TABLE "ScheduledNotification" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "notificationId" TEXT NOT NULL,
    "sendAt" DATETIME NOT NULL,
    "sentAt" DATETIME,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "lastError" TEXT,
    CONSTRAINT "ScheduledNotification_notificationId_fkey" FOREIGN KEY ("notificationId") REFERENCES "Notification" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE UNIQUE INDEX "Session_sessionToken_key" ON "Session"("sessionToken");
CREATE INDEX "Session_userId_expires_idx" ON "Session"("userId", "expires" DESC);
CREATE INDEX "Project_status_createdAt_idx" ON "Project"("status", "createdAt" DESC);
CREATE UNIQUE INDEX "ContractorRanking_contractorId_key" ON "ContractorRanking"("contractorId");
CREATE INDEX "ContractorRanking_rating_completedJobs_idx" ON "ContractorRanking"("rating" DESC, "completedJobs" DESC);
CREATE INDEX "Notification_userId_isRead_createdAt_idx" ON "Notification"("userId", "isRead", "createdAt" DESC);
CREATE INDEX "Review_contractorId_rating_idx" ON "Review"("contractorId", "rating" DESC);
CREATE INDEX "Bid_projectId_amount_idx" ON "Bid"("projectId", "amount" DESC);
CREATE INDEX "Bid_contractorId_createdAt_idx" ON "Bid"("contractorId", "createdAt" DESC);
CREATE INDEX "AuditLog_entity_entityId_idx" ON "AuditLog"("entity", "entityId");
CREATE INDEX "AuditLog_createdAt_idx" ON "AuditLog"("createdAt" DESC);
CREATE INDEX "ScheduledNotification_sendAt_sentAt_idx" ON "ScheduledNotification"("sendAt", "sentAt");
)sql";

constexpr std::array kProjectStatuses = {"OPEN", "ASSIGNED", "DONE", "CANCELLED"};
constexpr std::array kNotificationTypes = {"BID_RECEIVED", "BID_ACCEPTED", "REVIEW", "SYSTEM"};
constexpr std::array kActions = {"CREATE", "UPDATE", "DELETE", "LOGIN"};
constexpr std::array kEntities = {"Project", "Bid", "Review", "Session"};

using Ids = std::vector<std::string>;

std::string user_id(Random& random) { return concat({"user_", std::to_string(random.between(1, 400))}); }

std::string some_moment(Random& random) {
  const std::int64_t seconds = some_time(random);
  return date_time_milliseconds(seconds, random.below(1000));
}

Ids insert_sessions(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "marketplace.Session");
  Insert insert(database, "Session");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    ids.push_back(cuid(random, serial));
    insert.row({ids.back(), uuid(random), user_id(random), maybe_null(random, 8, ip_address(random)),
                maybe_null(random, 8, user_agent(random)), some_moment(random)});
  }
  return ids;
}

Ids insert_projects(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "marketplace.Project");
  Insert insert(database, "Project");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const auto parent = ids.empty() || !random.one_in(5) ? std::nullopt : std::optional(random.pick(ids));
    ids.push_back(cuid(random, serial));
    const std::int64_t created = some_time(random);
    insert.row({ids.back(), free_text(random, 50), free_text(random, 2000),
                random.hundredths(10'000, 999'999'999), random.one_in(2), random.pick(kProjectStatuses),
                parent, maybe_null(random, 3, date(created + random.between(1, 200) * kDay)),
                date_time(created)});
  }
  return ids;
}

Ids insert_rankings(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "marketplace.ContractorRanking");
  Insert insert(database, "ContractorRanking");
  Ids ids;
  for (std::int64_t id = 1; id <= count; ++id) {
    ids.push_back(cuid(random, id));
    const double confidence = id == 1 ? 5e-324 : id == 2 ? 1e308 : id == 3 ? -0.0 : random.fraction();
    const std::int64_t score = id == 1   ? INT64_MAX
                               : id == 2 ? INT64_MIN
                                         : random.between(-1'000'000, 1'000'000);
    insert.row({id, ids.back(), person(random), random.hundredths(0, 500),
                id > 3 && random.one_in(6) ? std::nullopt : std::optional(confidence), random.between(0, 900),
                score, some_moment(random)});
  }
  return ids;
}

Ids insert_notifications(Database& database, std::uint64_t seed, std::int64_t count, const Ids& projects) {
  Random random(seed, "marketplace.Notification");
  Insert insert(database, "Notification");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    ids.push_back(cuid(random, serial));
    const std::string data = JsonObject()
                                 .text("link", concat({"/projects/", token(random, 8)}))
                                 .decimal("amount", random.between(0, 999'999))
                                 .text("preview", free_text(random, 60))
                                 .done();
    insert.row({ids.back(), user_id(random), maybe_null(random, 3, random.pick(projects)),
                random.pick(kNotificationTypes), free_text(random, 200), maybe_null(random, 4, data),
                random.one_in(2), some_moment(random)});
  }
  return ids;
}

void insert_reviews(Database& database, std::uint64_t seed, std::int64_t count, const Ids& projects,
                    const Ids& contractors) {
  Random random(seed, "marketplace.Review");
  Insert insert(database, "Review");
  for (std::int64_t id = 1; id <= count; ++id) {
    insert.row({id, random.pick(projects), random.pick(contractors),
                static_cast<double>(random.between(0, 10)) / 2.0,
                maybe_null(random, 4, free_text(random, 600)), some_moment(random)});
  }
}

void insert_bids(Database& database, std::uint64_t seed, std::int64_t count, const Ids& projects,
                 const Ids& contractors) {
  Random random(seed, "marketplace.Bid");
  Insert insert(database, "Bid");
  for (std::int64_t id = 1; id <= count; ++id) {
    // Withdrawn bids are booked back with a negative amount.
    const double amount = random.hundredths(-99'999, 99'999'999);
    insert.row({id, random.pick(projects), random.pick(contractors), amount,
                static_cast<double>(random.between(0, 2500)) / 10'000.0, random.between(1, 120),
                maybe_null(random, 3, free_text(random, 500)), maybe_null(random, 2, random.one_in(5)),
                some_moment(random)});
  }
}

void insert_audit_logs(Database& database, std::uint64_t seed, std::int64_t count, const Ids& sessions) {
  Random random(seed, "marketplace.AuditLog");
  Insert insert(database, "AuditLog");
  for (std::int64_t id = 1; id <= count; ++id) {
    const std::string changes = JsonObject()
                                    .raw("before", "null")
                                    .raw("after", JsonObject()
                                                      .text("title", free_text(random, 40))
                                                      .integer("version", random.between(1, 9))
                                                      .done())
                                    .done();
    insert.row({id, maybe_null(random, 5, random.pick(sessions)), random.pick(kActions),
                random.pick(kEntities), maybe_null(random, 6, cuid(random, id)),
                maybe_null(random, 4, changes), some_moment(random)});
  }
}

void insert_scheduled(Database& database, std::uint64_t seed, std::int64_t count, const Ids& notifications) {
  Random random(seed, "marketplace.ScheduledNotification");
  Insert insert(database, "ScheduledNotification");
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const std::int64_t send_at = some_time(random);
    insert.row({cuid(random, serial), random.pick(notifications), date_time(send_at),
                maybe_null(random, 2, date_time(send_at + 5)), random.between(0, 5),
                maybe_null(random, 2, free_text(random, 100))});
  }
}

}  // namespace

void generate_marketplace(Database& database, const GeneratorOptions& options) {
  const auto [sessions, projects, rankings, notifications, reviews, bids, audit_logs, scheduled] =
      split_rows<8>(options.rows, {800, 1000, 500, 1800, 1000, 2500, 2000, 400});
  const std::uint64_t seed = options.seed;
  database.run(kSchema);
  const Ids session_ids = insert_sessions(database, seed, sessions);
  const Ids project_ids = insert_projects(database, seed, projects);
  const Ids contractor_ids = insert_rankings(database, seed, rankings);
  const Ids notification_ids = insert_notifications(database, seed, notifications, project_ids);
  insert_reviews(database, seed, reviews, project_ids, contractor_ids);
  insert_bids(database, seed, bids, project_ids, contractor_ids);
  insert_audit_logs(database, seed, audit_logs, session_ids);
  insert_scheduled(database, seed, scheduled, notification_ids);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
