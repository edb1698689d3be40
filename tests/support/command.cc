#include "support/command.h"
#include "support/directories.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace sluice::testing {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int memory_file(const char* name) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file < 0) fail("memfd_create");
  return file;
}

void write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string contents(int file) {
  std::string bytes;
  std::array<char, 65536> buffer;
  for (;;) {
    // pread leaves the offset alone: the program shares it and may still be writing.
    const ssize_t got = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(bytes.size()));
    if (got <= 0) return bytes;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

std::optional<User> user_to_become(const std::string& name) {
  if (name.empty() || geteuid() != 0) return std::nullopt;
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) throw std::runtime_error("there is no user " + name);
  User user{entry->pw_uid, entry->pw_gid, {}};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) fail("getgrouplist");
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(const CommandOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const auto replaces = [&](const auto& added) { return added.first == name; };
    if (std::none_of(options.environment.begin(), options.environment.end(), replaces)) {
      result.emplace_back(text);
    }
  }
  for (const auto& [name, value] : options.environment) result.push_back(name + "=" + value);
  return result;
}

}  // namespace

RunningCommand::RunningCommand(std::vector<std::string> argv, CommandOptions options)
    : options_(std::move(options)), start_(Clock::now()) {
  // Everything that allocates happens before the fork: afterwards another thread may hold malloc's lock.
  const std::optional<User> user = user_to_become(options_.user);
  std::vector<std::string> environment = environment_with(options_);
  const std::vector<char*> argument_pointers = pointers(argv);
  const std::vector<char*> environment_pointers = pointers(environment);
  const pid_t parent = getpid();
  const int in = memory_file("stdin");
  write_all(in, options_.input);
  ::lseek(in, 0, SEEK_SET);
  out_ = memory_file("stdout");
  err_ = memory_file("stderr");

  pid_ = fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) {
    dup2(in, STDIN_FILENO);
    dup2(out_, STDOUT_FILENO);
    dup2(err_, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const char* failed = nullptr;
    if (user && (setgroups(user->groups.size(), user->groups.data()) != 0 || setgid(user->gid) != 0 ||
                 setuid(user->uid) != 0)) {
      failed = "cannot change the user: ";
    } else if (!options_.directory.empty() && chdir(options_.directory.c_str()) != 0) {
      failed = "cannot enter the directory: ";
    } else {
      // A change of user clears this, so it comes after. If the parent died before, no signal will come.
      prctl(PR_SET_PDEATHSIG, options_.signal_when_we_die);
      if (getppid() != parent) _exit(125);
      execvpe(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
      failed = "cannot run the program: ";
    }
    const char* reason = strerrordesc_np(errno);
    [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, failed, strlen(failed));
    ignored = ::write(STDERR_FILENO, reason, strlen(reason));
    _exit(127);
  }
  ::close(in);
  // Not by its wrapper: glibc 2.36 declares that one without extern "C".
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) fail("pidfd_open");
}

RunningCommand::RunningCommand(RunningCommand&& other) noexcept
    : options_(std::move(other.options_)),
      result_(std::move(other.result_)),
      start_(other.start_),
      pid_(other.pid_),
      pidfd_(std::exchange(other.pidfd_, -1)),
      out_(std::exchange(other.out_, -1)),
      err_(std::exchange(other.err_, -1)) {}

RunningCommand::~RunningCommand() {
  if (pidfd_ >= 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(pidfd_);
  }
  if (out_ >= 0) ::close(out_);
  if (err_ >= 0) ::close(err_);
}

bool RunningCommand::ended_by(Clock::time_point moment) {
  if (pidfd_ < 0) return true;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(moment - Clock::now()).count();
    pollfd wait_for{pidfd_, POLLIN, 0};
    const int ready = ::poll(&wait_for, 1, static_cast<int>(std::clamp<long>(left, 0, 1'000'000)));
    if (ready > 0) break;
    if (ready == 0 && Clock::now() >= moment) return false;
    if (ready < 0 && errno != EINTR) fail("poll");
  }
  int status = 0;
  rusage usage{};
  if (::wait4(pid_, &status, 0, &usage) < 0) fail("wait4");
  result_.peak_memory_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  ::close(std::exchange(pidfd_, -1));
  result_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  result_.exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  result_.seconds = Clock::now() - start_;
  result_.out = contents(out_);
  result_.err = contents(err_);
  return true;
}

bool RunningCommand::running() { return !ended_by(Clock::now()); }

void RunningCommand::send(int signal) {
  if (running()) ::kill(pid_, signal);
}

std::string RunningCommand::out_so_far() const { return contents(out_); }
std::string RunningCommand::err_so_far() const { return contents(err_); }

const CommandResult& RunningCommand::wait() {
  const Clock::time_point deadline = start_ + options_.timeout;
  if (options_.signal_after && !ended_by(std::min(start_ + *options_.signal_after, deadline))) {
    ::kill(pid_, options_.signal);
    options_.signal_after.reset();
  }
  if (!ended_by(deadline)) {
    result_.timed_out = true;
    ::kill(pid_, SIGKILL);
    ended_by(Clock::time_point::max());
  }
  return result_;
}

CommandResult run_command(std::vector<std::string> argv, CommandOptions options) {
  return RunningCommand(std::move(argv), std::move(options)).wait();
}

std::string root_in(const CommandResult& result) {
  const std::size_t at = result.out.find("root ");
  return at == std::string::npos ? std::string() : result.out.substr(at + 5, 32);
}

std::string sluice_program() { return binary_directory() + "/sluice"; }
std::string sluice_faults_program() { return binary_directory() + "/sluice_faults"; }
std::string sluice_careless_program() { return binary_directory() + "/sluice_careless"; }
std::string generate_dataset_program() { return binary_directory() + "/generate_dataset"; }

}  // namespace sluice::testing
