#include "datasets/kinds.h"
#include "datasets/values.h"

// A team workspace with the names and the SQL that Prisma writes. Its files are kept inside the database,
// as Base64 text: that is what makes such an application outgrow SQLite.
namespace sluice::datasets {

namespace {

constexpr const char* kSchema = R"sql(
CREATE TABLE "User" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "email" TEXT NOT NULL,
    "displayName" TEXT,
    "role" TEXT NOT NULL DEFAULT 'MEMBER',
    "isActive" BOOLEAN NOT NULL DEFAULT true,
    "preferences" TEXT NOT NULL DEFAULT '{}',
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL
);
CREATE TABLE "File" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "mimeType" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "data" TEXT NOT NULL,
    "ownerId" TEXT NOT NULL,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "File_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "Task" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "status" TEXT NOT NULL DEFAULT 'TODO',
    "priority" INTEGER NOT NULL DEFAULT 0,
    "position" REAL NOT NULL DEFAULT 0,
    "sequence" BIGINT NOT NULL,
    "isArchived" BOOLEAN NOT NULL DEFAULT false,
    "dueDate" DATETIME,
    "assigneeId" TEXT,
    "parentId" TEXT,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL,
    CONSTRAINT "Task_assigneeId_fkey" FOREIGN KEY ("assigneeId") REFERENCES "User" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
    CONSTRAINT "Task_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Task" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE TABLE "Message" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "body" TEXT NOT NULL,
    "authorId" TEXT NOT NULL,
    "taskId" TEXT,
    "editedAt" DATETIME,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "Message_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "Message_taskId_fkey" FOREIGN KEY ("taskId") REFERENCES "Task" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "_FileToTask" (
    "A" TEXT NOT NULL,
    "B" TEXT NOT NULL,
    CONSTRAINT "_FileToTask_A_fkey" FOREIGN KEY ("A") REFERENCES "File" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_FileToTask_B_fkey" FOREIGN KEY ("B") REFERENCES "Task" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
)sql";

constexpr const char* kIndexes = R"sql(
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE INDEX "File_ownerId_createdAt_idx" ON "File"("ownerId", "createdAt");
CREATE INDEX "Task_status_idx" ON "Task"("status");
CREATE INDEX "Task_assigneeId_dueDate_idx" ON "Task"("assigneeId", "dueDate");
CREATE INDEX "Message_taskId_createdAt_idx" ON "Message"("taskId", "createdAt");
CREATE UNIQUE INDEX "_FileToTask_AB_unique" ON "_FileToTask"("A", "B");
CREATE INDEX "_FileToTask_B_index" ON "_FileToTask"("B");
)sql";

struct FileType {
  const char* extension;
  const char* mime_type;
};
constexpr std::array kFileTypes = {
    FileType{".png", "image/png"}, FileType{".pdf", "application/pdf"}, FileType{".csv", "text/csv"},
    FileType{".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"}};
constexpr std::array kStatuses = {"TODO", "IN_PROGRESS", "BLOCKED", "DONE"};

// Prisma's own writes carry milliseconds; what came from CURRENT_TIMESTAMP does not.
std::string prisma_time(Random& random, std::int64_t seconds) {
  return random.one_in(3) ? date_time(seconds) : date_time_milliseconds(seconds, random.below(1000));
}

// Many small files, some of 40 kB: about 8 kB on average, so 10,000 rows stay below 25 MB.
std::size_t file_size(Random& random) {
  const std::uint64_t group = random.below(10);
  return static_cast<std::size_t>(group < 5   ? random.between(300, 4'000)
                                  : group < 9 ? random.between(4'000, 16'000)
                                              : random.between(16'000, 40'000));
}

using Ids = std::vector<std::string>;

Ids insert_users(Database& database, std::uint64_t seed, std::int64_t count) {
  Random random(seed, "workspace.User");
  Insert insert(database, "User");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const std::int64_t created = some_time(random);
    ids.push_back(cuid(random, serial));
    insert.row(
        {ids.back(), concat({"member", std::to_string(serial), "@example.com"}),
         maybe_null(random, 10, person(random)), random.one_in(20) ? "ADMIN" : "MEMBER", !random.one_in(10),
         JsonObject().boolean("compact", random.one_in(2)).text("status", free_text(random, 30)).done(),
         prisma_time(random, created), prisma_time(random, created + random.between(0, kDay))});
  }
  return ids;
}

Ids insert_files(Database& database, std::uint64_t seed, std::int64_t count, const Ids& users) {
  Random random(seed, "workspace.File");
  Insert insert(database, "File");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    ids.push_back(cuid(random, serial));
    const FileType& type = random.pick(kFileTypes);
    const std::vector<std::byte> content = bytes(random, file_size(random));
    insert.row({ids.back(), concat({free_text(random, 20), "-", std::to_string(serial), type.extension}),
                type.mime_type, content.size(), base64(content), random.pick(users),
                prisma_time(random, some_time(random))});
  }
  return ids;
}

Ids insert_tasks(Database& database, std::uint64_t seed, std::int64_t count, const Ids& users) {
  Random random(seed, "workspace.Task");
  Insert insert(database, "Task");
  Ids ids;
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const std::int64_t created = some_time(random);
    const auto parent = ids.empty() || !random.one_in(4) ? std::nullopt : std::optional(random.pick(ids));
    ids.push_back(cuid(random, serial));
    // Fractional ranking halves the distance on every move, down to the smallest double.
    const double position = serial == 1 ? 5e-324 : serial == 2 ? -1e308 : random.fraction() * 1000;
    const std::int64_t sequence = serial == 1   ? INT64_MIN
                                  : serial == 2 ? INT64_MAX
                                                : random.between(-serial, serial);
    insert.row({ids.back(), concat({"#", std::to_string(serial), " ", free_text(random, 40)}),
                maybe_null(random, 4, free_text(random, 1200)), random.pick(kStatuses), random.between(-2, 5),
                position, sequence, random.one_in(8),
                maybe_null(random, 3, prisma_time(random, created + 14 * kDay)),
                maybe_null(random, 5, random.pick(users)), parent, prisma_time(random, created),
                prisma_time(random, created + random.between(0, 30 * kDay))});
  }
  return ids;
}

void insert_messages(Database& database, std::uint64_t seed, std::int64_t count, const Ids& users,
                     const Ids& tasks) {
  Random random(seed, "workspace.Message");
  Insert insert(database, "Message");
  for (std::int64_t serial = 1; serial <= count; ++serial) {
    const std::int64_t created = some_time(random);
    insert.row({cuid(random, serial), random.one_in(500) ? prose(random, 20'000) : free_text(random, 500),
                random.pick(users), maybe_null(random, 6, random.pick(tasks)),
                random.one_in(7) ? std::optional(prisma_time(random, created + 90)) : std::nullopt,
                prisma_time(random, created)});
  }
}

void insert_files_of_tasks(Database& database, std::int64_t wanted, const Ids& files, const Ids& tasks) {
  Insert insert(database, "_FileToTask");
  // Each round walks over all files and moves one task on, so no pair comes twice before all have come.
  const auto pairs = std::min(static_cast<std::size_t>(wanted), files.size() * tasks.size());
  for (std::size_t index = 0; index < pairs; ++index) {
    const std::size_t file = index % files.size();
    insert.row({files[file], tasks[(file * 7 + index / files.size()) % tasks.size()]});
  }
}

}  // namespace

void generate_workspace(Database& database, const GeneratorOptions& options) {
  const auto [users, files, tasks, messages, pairs] =
      split_rows<5>(options.rows, {200, 1200, 2500, 4500, 1600});
  database.run(kSchema);
  const Ids user_ids = insert_users(database, options.seed, users);
  const Ids file_ids = insert_files(database, options.seed, files, user_ids);
  const Ids task_ids = insert_tasks(database, options.seed, tasks, user_ids);
  insert_messages(database, options.seed, messages, user_ids, task_ids);
  insert_files_of_tasks(database, pairs, file_ids, task_ids);
  database.run(kIndexes);
}

}  // namespace sluice::datasets
