#include "io/postgres/local_server.h"

#include <fcntl.h>
#include <grp.h>
#include <locale.h>  // newlocale
#include <pwd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "engine/model/error.h"
#include "io/postgres/machine_memory.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

constexpr int kOldestMajor = 15;
constexpr const char* kPort = "5432";  // of the socket's name; nothing listens on a TCP port
constexpr const char* kInstallAdvice =
    "install one with: apt-get install postgresql; or set SLUICE_POSTGRES_BIN to the folder with initdb";

// sockaddr_un holds 108 bytes with the final zero; the server adds "/.s.PGSQL.5432.lock" for its lock file.
constexpr std::size_t kSocketPathMax = 107;
constexpr std::string_view kSocketName = "/.s.PGSQL.5432";

// Crash recovery replays up to max_wal_size; that takes a while on a slow disk, but not for ever.
constexpr std::chrono::seconds kStartPatience{300};
constexpr std::chrono::seconds kStopPatience{300};

std::string reason(int error) { return strerrordesc_np(error); }

// ---- Quoting ----------------------------------------------------------------------------------------------

std::string doubled(std::string_view text, std::string_view which) {
  std::string result;
  for (const char c : text) {
    if (which.find(c) != std::string_view::npos) result += c;
    result += c;
  }
  return result;
}

std::string quote_for_shell(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("/._-+=:,@%", c);
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

std::string quote_for_conninfo(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

// A list of one directory: in double quotes as a list element, in single quotes as a setting.
std::string quote_for_directory_setting(std::string_view directory) {
  return "'\"" + doubled(doubled(directory, "\""), "'\\") + "\"'";
}

// ---- The user the server runs as --------------------------------------------------------------------------

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::string name;
  bool other = false;  // not the user we are: children change to it
};

// From the user database. `look_up` is getpwuid_r or getpwnam_r with its first argument bound: the functions
// without _r share one buffer between all threads.
template <typename LookUp>
std::optional<Account> find_account(const LookUp& look_up) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> strings;
  if (look_up(&entry, strings.data(), strings.size(), &found) != 0 || found == nullptr) return std::nullopt;
  Account account;
  account.uid = entry.pw_uid;
  account.gid = entry.pw_gid;
  account.name = entry.pw_name;
  account.other = entry.pw_uid != geteuid();
  int count = 64;
  account.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(entry.pw_name, entry.pw_gid, account.groups.data(), &count) < 0) {
    count = 1;  // more groups than that: the primary one suffices
    account.groups[0] = entry.pw_gid;
  }
  account.groups.resize(static_cast<std::size_t>(count));
  return account;
}

Account account_of(uid_t uid) {
  const auto found = find_account([uid](auto... rest) { return getpwuid_r(uid, rest...); });
  if (found) return *found;
  throw Error(Fault::target_refused,
              "local server: user id " + std::to_string(uid) +
                  " would run PostgreSQL, but has no name on this system",
              "add it to /etc/passwd, or use a directory of another user");
}

Account account_for(const fs::path& directory) {
  if (geteuid() != 0) return account_of(geteuid());
  struct stat status {};
  if (::stat(directory.c_str(), &status) == 0 && status.st_uid != 0) return account_of(status.st_uid);
  for (const char* name : {"postgres", "nobody"}) {
    const auto found = find_account([name](auto... rest) { return getpwnam_r(name, rest...); });
    if (found) return *found;
  }
  throw Error(Fault::target_refused,
              "local server: PostgreSQL does not run as root, and there is no user postgres",
              "run sluice as an ordinary user");
}

// ---- Child processes --------------------------------------------------------------------------------------

struct Outcome {
  int exit_status = 0;
  std::string output;  // standard output and error together
};

// The last line that says something.
std::string last_line(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  const std::size_t end_of_previous = text.find_last_of('\n');
  if (end_of_previous != std::string_view::npos) text.remove_prefix(end_of_previous + 1);
  return std::string(text);
}

Error cannot_fork(int error) {
  return Error(Fault::target_unavailable, "local server: cannot start a process: " + reason(error));
}

void become(const Account& account) {  // in the child
  if (!account.other) return;
  if (setgroups(account.groups.size(), account.groups.data()) != 0 || setgid(account.gid) != 0 ||
      setuid(account.uid) != 0) {
    _exit(126);
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error(Fault::internal, "local server: waitpid: " + reason(errno));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Runs a program as `account` in `directory`, without a shell.
Outcome run_as(const Account& account, const fs::path& directory, const std::vector<std::string>& argv) {
  // Everything that allocates happens before the fork: another thread may hold malloc's lock.
  // A small environment of our own, because PGDATA, PGOPTIONS and the like are meant for clients, and
  // because messages are to be in English: a user quotes them to us.
  std::vector<std::string> variables = {"LC_ALL=C"};
  for (const char* name : {"PATH", "LD_LIBRARY_PATH", "TZ"}) {
    if (const char* value = std::getenv(name)) variables.push_back(std::string(name) + "=" + value);
  }
  std::vector<char*> arguments;
  std::vector<char*> environment;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  for (std::string& variable : variables) environment.push_back(variable.data());
  arguments.push_back(nullptr);
  environment.push_back(nullptr);

  // A file in memory and not a pipe: the server inherits it from pg_ctl, and we must not wait for its end.
  const int output = memfd_create("output", MFD_CLOEXEC);
  if (output < 0) throw Error(Fault::internal, "local server: memfd_create: " + reason(errno));
  const pid_t child = fork();
  if (child < 0) {
    const int error = errno;
    ::close(output);
    throw cannot_fork(error);
  }
  if (child == 0) {
    const int nothing = ::open("/dev/null", O_RDONLY);
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    close_range(3, ~0U, 0);  // the server lives on: it must not keep our files and sockets open
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD}) {
      std::signal(signal, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    umask(0077);
    become(account);
    if (chdir(directory.c_str()) == 0) execvpe(arguments[0], arguments.data(), environment.data());
    const char* why = strerrordesc_np(errno);
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, why, std::strlen(why));
    _exit(127);
  }
  Outcome outcome;
  outcome.exit_status = wait_for(child);
  std::array<char, 4096> buffer;
  ssize_t got = 0;
  ::lseek(output, 0, SEEK_SET);
  while ((got = ::read(output, buffer.data(), buffer.size())) > 0) {
    outcome.output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::close(output);
  return outcome;
}

// Asks `question` with the rights of `account`; the answer is 0 to 120. It runs in a forked child: system
// calls only.
template <typename Question>
int ask_as(const Account& account, const Question& question) {
  const pid_t child = fork();
  if (child < 0) throw cannot_fork(errno);
  if (child == 0) {
    become(account);
    _exit(question());
  }
  const int answer = wait_for(child);
  if (answer > 120) throw Error(Fault::target_refused, "local server: cannot become user " + account.name);
  return answer;
}

// The first folder on the way to `path` that `account` may not enter. Folders that do not exist are not in
// the way.
std::optional<fs::path> barrier_on_the_way(const Account& account, const fs::path& path) {
  std::vector<std::string> way;
  fs::path prefix;
  for (const fs::path& part : path) way.push_back((prefix /= part).string());
  const int barrier = ask_as(account, [&] {
    for (int i = 0; i < 120 && i < static_cast<int>(way.size()); ++i) {
      if (access(way[static_cast<std::size_t>(i)].c_str(), X_OK) != 0 && errno == EACCES) return i + 1;
    }
    return 0;
  });
  if (barrier == 0) return std::nullopt;
  return way[static_cast<std::size_t>(barrier - 1)];
}

// ---- Server programs --------------------------------------------------------------------------------------

struct Binaries {
  fs::path folder;
  int major = 0;
};

int number_at_start(std::string_view text) {
  int number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::optional<Binaries> binaries_in(const fs::path& folder) {
  for (const char* program : {"initdb", "pg_ctl", "postgres"}) {
    if (access((folder / program).c_str(), X_OK) != 0) return std::nullopt;
  }
  // postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)
  const Outcome version = run_as(Account(), "/", {(folder / "postgres").string(), "--version"});
  const std::size_t at = version.output.find(") ");
  if (version.exit_status != 0 || at == std::string::npos) return std::nullopt;
  return Binaries{folder, number_at_start(std::string_view(version.output).substr(at + 2))};
}

// The server programs for a cluster of major version `wanted`, or, when 0, for a new one.
Binaries find_binaries(int wanted, const fs::path& directory) {
  std::vector<fs::path> folders;
  // Read here and not in engine/app, because it says where this machine keeps its programs, like PATH.
  if (const char* given = std::getenv("SLUICE_POSTGRES_BIN"); given != nullptr && *given != '\0') {
    folders = {fs::absolute(given)};
    if (!binaries_in(folders.front())) {
      throw Error(Fault::usage, "local server: SLUICE_POSTGRES_BIN names " + std::string(given) +
                                    ", which does not hold initdb, pg_ctl and postgres");
    }
  } else {
    const Outcome config = run_as(Account(), "/", {"pg_config", "--bindir"});
    if (config.exit_status == 0) folders.emplace_back(last_line(config.output));
    std::vector<fs::path> debian;
    std::error_code none;
    for (const auto& version : fs::directory_iterator("/usr/lib/postgresql", none)) {
      debian.push_back(version.path());
    }
    std::sort(debian.begin(), debian.end(), [](const fs::path& a, const fs::path& b) {
      return number_at_start(a.filename().string()) > number_at_start(b.filename().string());
    });
    for (const fs::path& version : debian) folders.push_back(version / "bin");
    const char* path = std::getenv("PATH");
    std::istringstream parts(path == nullptr ? "" : path);
    for (std::string part; std::getline(parts, part, ':');) {
      if (part.starts_with('/')) folders.emplace_back(part);
    }
  }
  int other_major = 0;
  for (const fs::path& folder : folders) {
    const std::optional<Binaries> found = binaries_in(folder);
    if (!found) continue;
    if (wanted == 0 ? found->major >= kOldestMajor : found->major == wanted) return *found;
    other_major = std::max(other_major, found->major);
  }
  if (wanted != 0 && other_major != 0) {
    throw Error(Fault::target_refused,
                "local server: " + directory.string() + " was made by PostgreSQL " + std::to_string(wanted) +
                    ", but the one installed here is " + std::to_string(other_major),
                "apt-get install postgresql-" + std::to_string(wanted) + ", or choose a new directory");
  }
  if (other_major != 0) {
    throw Error(Fault::target_refused,
                "local server: the PostgreSQL installed here is " + std::to_string(other_major) +
                    ", too old: sluice needs " + std::to_string(kOldestMajor),
                kInstallAdvice);
  }
  throw Error(Fault::target_unavailable, "local server: no PostgreSQL server is installed here",
              kInstallAdvice);
}

// ---- The directory ----------------------------------------------------------------------------------------

bool has_cluster(const fs::path& directory) {
  std::error_code unreadable;
  return fs::exists(directory / "data" / "PG_VERSION", unreadable);
}

// Throws unless `directory` may become, or is, a server's directory. Changes nothing.
void check_directory(const fs::path& directory) {
  const auto refuse = [&](Fault fault, const std::string& why, const std::string& advice = {}) {
    throw Error(fault, "local server: " + directory.string() + " " + why, advice);
  };
  const std::string text = directory.string();
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; })) {
    refuse(Fault::usage, "has a control character in its name");  // postmaster.pid is made of lines
  }
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) {
    if (errno == ENOTDIR)
      refuse(Fault::usage, "cannot be made: there is a file in the way", "choose another directory");
    if (errno == EACCES) refuse(Fault::target_refused, "cannot be reached: permission denied");
    if (errno == ENAMETOOLONG) refuse(Fault::usage, "is too long a path");
    return;  // to be made
  }
  if (!S_ISDIR(status.st_mode)) {
    refuse(Fault::usage, "is a file, and a server needs a directory", "choose a new or empty directory");
  }
  if (geteuid() != 0 && status.st_uid != geteuid()) {
    refuse(Fault::target_refused, "belongs to another user",
           "run sluice as that user, or choose another directory");
  }
  if (has_cluster(directory)) return;
  // We are about to make it private and, as root, to give it away: not with someone's files in it.
  static constexpr std::array kOurs = {"data", "data.new", "server.log"};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (std::find(kOurs.begin(), kOurs.end(), name) == kOurs.end()) {
      refuse(Fault::usage, "holds other files (" + name + ")", "choose a new or empty directory");
    }
  }
  if (error) refuse(Fault::target_refused, "cannot be read: " + error.message());
  if (fs::exists(directory / "data", error) && !fs::is_empty(directory / "data", error)) {
    refuse(Fault::usage, "has a folder data in it that is not PostgreSQL's",
           "choose a new or empty directory");
  }
  if ((status.st_mode & S_IWOTH) != 0) {
    refuse(Fault::usage, "is shared: every user may write to it", "choose a directory of your own");
  }
}

// Afterwards `directory` exists, is private, and belongs to `account`.
void prepare_directory(const fs::path& directory, const Account& account) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    throw Error(error == std::errc::permission_denied ? Fault::target_refused : Fault::target_unavailable,
                "local server: cannot make " + directory.string() + ": " + error.message(),
                "choose a directory you can write to");
  }
  if ((account.other && ::chown(directory.c_str(), account.uid, account.gid) != 0) ||
      ::chmod(directory.c_str(), 0700) != 0) {
    throw Error(Fault::target_refused,
                "local server: cannot make " + directory.string() + " private: " + reason(errno));
  }
}

// One call at a time per directory, across processes. The kernel releases it when we die.
class DirectoryLock {
 public:
  explicit DirectoryLock(const fs::path& directory)
      : file_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (file_ < 0) {
      throw Error(Fault::target_refused,
                  "local server: cannot open " + directory.string() + ": " + reason(errno));
    }
    while (flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~DirectoryLock() { ::close(file_); }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int file_;
};

// Where the socket lies: `directory`, unless its path is too long or has a comma (libpq would read two
// hosts). Then a private folder with a short name, the same one every time.
fs::path socket_directory(const fs::path& directory) {
  const std::string text = directory.string();
  if (text.size() + kSocketName.size() <= kSocketPathMax && text.find(',') == std::string::npos) {
    return directory;
  }
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  std::ostringstream name;
  name << "/tmp/sluice-" << std::hex << hash;
  return name.str();
}

// /tmp is everyone's: the folder must be a real one, ours, and closed to others, or someone waits in it for
// our data.
void prepare_socket_directory(const fs::path& folder, const Account& account) {
  if (::mkdir(folder.c_str(), 0700) == 0 && account.other &&
      ::lchown(folder.c_str(), account.uid, account.gid) != 0) {
    throw Error(Fault::target_refused,
                "local server: cannot give away " + folder.string() + ": " + reason(errno));
  }
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_uid != account.uid ||
      (status.st_mode & 0077) != 0) {
    throw Error(Fault::target_refused,
                "local server: " + folder.string() + ", wanted for the socket, is not a private folder of " +
                    account.name,
                "choose a directory with a shorter path, so that the socket can lie there");
  }
}

// ---- Configuration ----------------------------------------------------------------------------------------

constexpr std::string_view kConfiguration = R"(# Written by sluice at every start of this server.
# Your own settings: ALTER SYSTEM, which wins over this file.

# A Unix socket and nothing else. Whoever may enter its folder is let in.
listen_addresses = ''
port = @PORT@
unix_socket_directories = @SOCKETS@
unix_socket_permissions = 0700

# A bulk load writes WAL faster than anything else does. With the default of 1GB it would force a checkpoint
# every few seconds, and after each one the first change of a page writes the whole page to the WAL again.
max_wal_size = 4GB
checkpoint_timeout = 15min

# An eighth of the memory. The usual quarter is for machines that do nothing else.
shared_buffers = @SHARED_BUFFERS@

# For each index under construction: a sort that fits into it needs no temporary files.
maintenance_work_mem = @MAINTENANCE_WORK_MEM@

# 32 lanes, as many connections for indexes and for reading back, and room for psql and an application.
max_connections = 100

# fsync and full_page_writes stay on: this is somebody's database, not a benchmark.

log_line_prefix = '%m [%p] %q%u@%d %a '
lc_messages = 'C'
)";

std::string configuration(const fs::path& sockets) {
  const auto share = [](std::uint64_t divisor, std::uint64_t least_mb, std::uint64_t most_mb) {
    return std::to_string(std::clamp((machine_memory_bytes() >> 20) / divisor, least_mb, most_mb)) + "MB";
  };
  std::string text(kConfiguration);
  const auto set = [&text](std::string_view placeholder, const std::string& value) {
    text.replace(text.find(placeholder), placeholder.size(), value);
  };
  set("@PORT@", kPort);
  set("@SHARED_BUFFERS@", share(8, 64, 2048));
  set("@MAINTENANCE_WORK_MEM@", share(32, 64, 512));
  set("@SOCKETS@", quote_for_directory_setting(sockets.string()));  // last: the path may hold anything
  return text;
}

// Appends to a file of the cluster, making it if need be, and does not return before it is on the disk.
void append_to(const fs::path& file, const std::string& text, const Account& account) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  const bool written =
      descriptor >= 0 && ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      (!account.other || ::fchown(descriptor, account.uid, account.gid) == 0) && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!written) {
    throw Error(Fault::target_unavailable,
                "local server: cannot write " + file.string() + ": " + reason(error),
                error == ENOSPC ? "free some space and run the command again" : "");
  }
}

// Replaces sluice.conf. Done at every start, so that a directory that was moved finds its socket.
void write_configuration(const fs::path& data, const fs::path& sockets, const Account& account) {
  const fs::path fresh = data / "sluice.conf.new";
  std::error_code error;
  fs::remove(fresh, error);
  append_to(fresh, configuration(sockets), account);
  fs::rename(fresh, data / "sluice.conf");
}

// ---- initdb -----------------------------------------------------------------------------------------------

bool system_has_locale(const char* name) {
  const locale_t locale = newlocale(LC_CTYPE_MASK, name, nullptr);
  if (locale == nullptr) return false;
  freelocale(locale);
  return true;
}

std::string disk_advice(const std::string& message, const std::string& otherwise) {
  return message.find("No space left on device") != std::string::npos
             ? "free some space and run the command again"
             : otherwise;
}

void sync_directory(const fs::path& directory) {
  const int file = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  fsync(file);
  ::close(file);
}

// Makes DIR/data, complete or not at all: an initdb that was interrupted leaves only DIR/data.new, and that
// one is thrown away here.
void create_cluster(const fs::path& directory, const Binaries& binaries, const Account& account) {
  const fs::path fresh = directory / "data.new";
  std::error_code error;
  fs::remove_all(fresh, error);
  // Collation C: text compares and sorts as SQLite's BINARY does, indexes build faster, and an upgrade of the
  // C library cannot corrupt them. Character types from C.UTF-8, so that lower() knows more than ASCII.
  //
  // No --no-sync: the server will fsync what it changes, but never the files that initdb wrote and it did not
  // touch, so a power cut could take a catalog along long after the migration was reported done. It costs
  // less than a tenth of a second where we measured.
  const Outcome made = run_as(account, directory,
                              {(binaries.folder / "initdb").string(), "--pgdata=data.new",
                               "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C",
                               system_has_locale("C.UTF-8") ? "--lc-ctype=C.UTF-8" : "--lc-ctype=C"});
  if (made.exit_status != 0) {
    fs::remove_all(fresh, error);
    // initdb ends with "removing contents of data directory": the reason is the last line that says error.
    std::string why = last_line(made.output);
    std::istringstream lines(made.output);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("error: ") != std::string::npos || line.find("FATAL: ") != std::string::npos) why = line;
    }
    throw Error(Fault::target_unavailable,
                "local server: initdb failed in " + directory.string() + ": " + why,
                disk_advice(made.output, "run initdb by hand to see all it says"));
  }
  write_configuration(fresh, socket_directory(directory), account);
  append_to(fresh / "postgresql.conf", "\ninclude 'sluice.conf'\n", account);
  fs::remove(directory / "data", error);  // an empty folder that stood ready
  fs::rename(fresh, directory / "data", error);
  if (error) {
    throw Error(Fault::target_refused,
                "local server: cannot rename " + fresh.string() + ": " + error.message());
  }
  sync_directory(directory);
}

// ---- Is it running? ---------------------------------------------------------------------------------------

struct Postmaster {
  bool ready = false;
  fs::path sockets;
};

// The lines: process id, data directory, start time, port, socket directory, address, shared memory, status.
std::vector<std::string> pid_file_lines(const fs::path& directory) {
  std::ifstream file(directory / "data" / "postmaster.pid");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// From DIR/data/postmaster.pid, if the process it names lives. Its working directory is the data directory:
// a number that has since gone to another process does not fool us.
std::optional<Postmaster> running_postmaster(const fs::path& directory, const Account& account) {
  const std::vector<std::string> lines = pid_file_lines(directory);
  const int pid = lines.empty() ? 0 : number_at_start(lines[0]);
  if (pid <= 1) return std::nullopt;
  // Asked as the server's own user: in a container even root may not look into another user's process.
  const std::string working = "/proc/" + std::to_string(pid) + "/cwd";
  const std::string data = directory / "data";
  const int runs_here = ask_as(account, [&] {
    struct stat here {};
    struct stat there {};
    const bool known = ::stat(data.c_str(), &here) == 0 && ::stat(working.c_str(), &there) == 0;
    return known && here.st_dev == there.st_dev && here.st_ino == there.st_ino ? 1 : 0;
  });
  if (runs_here == 0) return std::nullopt;
  Postmaster postmaster;
  if (lines.size() >= 5) postmaster.sockets = lines[4];
  postmaster.ready = lines.size() >= 8 && lines[7].starts_with("ready");
  return postmaster;
}

// The server's last complaint since `log_start`.
std::string last_complaint(const fs::path& log, std::uintmax_t log_start) {
  std::ifstream file(log);
  file.seekg(static_cast<std::streamoff>(log_start));
  std::string complaint;
  std::string last;
  for (std::string line; std::getline(file, line);) {
    const std::size_t fatal = std::min(line.find("FATAL:"), line.find("PANIC:"));
    if (fatal != std::string::npos) complaint = line.substr(fatal);
    if (!line.empty()) last = line;
  }
  return complaint.empty() ? last : complaint;
}

bool is_zombie(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");  // 17 (name) Z ...
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(") ");
  return name_end != std::string::npos && line.compare(name_end, 3, ") Z") == 0;
}

void start_server(const fs::path& directory, const Binaries& binaries, const Account& account) {
  // To the new server a killed one seems to live until its parent has collected it. That parent is process 1
  // by now, and in some containers it takes its time.
  const std::vector<std::string> lines = pid_file_lines(directory);
  for (int i = 0; i < 600 && !lines.empty() && is_zombie(lines[0]); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const fs::path sockets = socket_directory(directory);
  if (sockets != directory) prepare_socket_directory(sockets, account);
  write_configuration(directory / "data", sockets, account);
  const fs::path log = directory / "server.log";
  std::error_code none;
  // The server's other processes end when they notice that the first one was killed, and until then they have
  // the memory that they shared.
  constexpr std::string_view kStillThere = "pre-existing shared memory block";
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::string why = std::string(kStillThere);
  while (why.find(kStillThere) != std::string::npos && std::chrono::steady_clock::now() < deadline) {
    const std::uintmax_t size = fs::file_size(log, none);
    const std::uintmax_t log_start = none ? 0 : size;
    // Relative paths, because pg_ctl puts them into a shell line between double quotes; the directory's own
    // name may hold anything.
    const Outcome started =
        run_as(account, directory,
               {(binaries.folder / "pg_ctl").string(), "start", "--pgdata=data", "--log=server.log", "--wait",
                "--timeout=" + std::to_string(kStartPatience.count()), "--silent"});
    if (started.exit_status == 0) return;
    why = last_complaint(log, log_start);
    if (why.empty()) why = last_line(started.output);
  }
  throw Error(Fault::target_unavailable,
              "local server: PostgreSQL does not start in " + directory.string() + ": " + why,
              disk_advice(why, "see " + log.string()));
}

// DIR as an absolute path without symbolic links: one directory has one socket, however it is spelled.
fs::path canonical_directory(const fs::path& directory) {
  if (directory.empty()) {
    throw Error(Fault::usage, "local server: no directory given", "write the target as local:DIRECTORY");
  }
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::absolute(directory), error);
  if (error) result = fs::absolute(directory).lexically_normal();
  if (!result.has_filename()) result = result.parent_path();  // a slash at the end
  return result;
}

std::string pg_ctl_line(const fs::path& directory, const Binaries& binaries, const Account& account) {
  return (account.other ? "runuser -u " + account.name + " -- " : std::string()) +
         quote_for_shell((binaries.folder / "pg_ctl").string()) + " stop -m fast -D " +
         quote_for_shell((directory / "data").string());
}

int cluster_major(const fs::path& directory) {
  std::ifstream file(directory / "data" / "PG_VERSION");
  std::string line;
  std::getline(file, line);
  return number_at_start(line);
}

}  // namespace

LocalServer ensure_local_server(const fs::path& given) {
  const fs::path directory = canonical_directory(given);
  check_directory(directory);
  const Account account = account_for(directory);
  if (const auto barrier = barrier_on_the_way(account, directory.parent_path())) {
    throw Error(Fault::target_refused,
                "local server: it runs as user " + account.name + ", who cannot enter " + barrier->string() +
                    " on the way to " + directory.string(),
                "choose a directory that " + account.name + " can enter, for example local:" +
                    (fs::path("/var/tmp") / directory.filename()).string());
  }
  // Before the directory: a machine without a server is not to be littered with empty folders.
  const Binaries binaries = find_binaries(has_cluster(directory) ? cluster_major(directory) : 0, directory);
  prepare_directory(directory, account);
  const DirectoryLock lock(directory);
  check_directory(directory);  // again, now that nobody else of us is at work in it

  LocalServer server;
  if (!has_cluster(directory)) {
    create_cluster(directory, binaries, account);
    server.created = true;
  }
  const auto deadline = std::chrono::steady_clock::now() + kStartPatience;
  std::optional<Postmaster> postmaster = running_postmaster(directory, account);
  while (!postmaster || !postmaster->ready) {
    if (!postmaster) {
      start_server(directory, binaries, account);
      server.started = true;
    } else if (std::chrono::steady_clock::now() > deadline) {  // someone else's start or stop is under way
      throw Error(Fault::target_unavailable,
                  "local server: the server in " + directory.string() + " is not ready",
                  "see " + (directory / "server.log").string());
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    postmaster = running_postmaster(directory, account);
  }
  const std::string sockets = postmaster->sockets.string();
  server.conninfo =
      "host=" + quote_for_conninfo(sockets) + " port=" + kPort + " user=postgres dbname=postgres";
  server.psql_command = "psql -h " + quote_for_shell(sockets) +
                        (std::getenv("PGPORT") != nullptr ? std::string(" -p ") + kPort : "") +
                        " -U postgres postgres";
  server.stop_command = pg_ctl_line(directory, binaries, account);
  return server;
}

void stop_local_server(const fs::path& given) {
  const fs::path directory = canonical_directory(given);
  if (!has_cluster(directory)) return;
  const Account account = account_for(directory);
  const DirectoryLock lock(directory);
  if (!running_postmaster(directory, account)) return;
  const Binaries binaries = find_binaries(cluster_major(directory), directory);
  const Outcome stopped =
      run_as(account, directory,
             {(binaries.folder / "pg_ctl").string(), "stop", "--pgdata=data", "--mode=fast", "--wait",
              "--timeout=" + std::to_string(kStopPatience.count()), "--silent"});
  if (stopped.exit_status != 0 && running_postmaster(directory, account)) {
    throw Error(Fault::target_unavailable, "local server: PostgreSQL does not stop in " + directory.string() +
                                               ": " + last_line(stopped.output));
  }
  const fs::path sockets = socket_directory(directory);
  if (sockets != directory) ::rmdir(sockets.c_str());
}

}  // namespace sluice
