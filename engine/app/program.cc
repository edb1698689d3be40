#include "engine/app/program.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "engine/app/blot.h"
#include "engine/app/export_command.h"
#include "engine/app/inspect.h"
#include "engine/app/log.h"
#include "engine/app/migrate.h"
#include "engine/app/offload_command.h"
#include "engine/app/options.h"
#include "engine/app/plan_command.h"
#include "engine/app/status.h"
#include "engine/app/verify_command.h"
#include "engine/model/error.h"
#include "engine/run/range_pipeline.h"

namespace sluice {
namespace {

StopRequest stop_request;

// The first signal lets what is under way finish. The second one has it cancelled, where there is a server
// that works for us. The next one ends the process on the spot, which loses nothing: what has not committed
// never happened.
std::atomic<bool> server_at_work{false};

extern "C" void handle_stop_signal(int) {
  if (!stop_request.stopped()) {
    stop_request.stop();
    write_log_in_signal_handler(LogLevel::warning,
                                "stopping after what is under way; once more to stop at once");
    return;
  }
  if (server_at_work && !stop_request.stopped_now()) {
    stop_request.stop_now();
    write_log_in_signal_handler(
        LogLevel::warning, "cancelling what is under way; once more to leave without waiting for the server");
    return;
  }
  write_log_in_signal_handler(LogLevel::error, "stopped; run the same command again to go on");
  _exit(exit_status_of(Fault::interrupted));
}

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = handle_stop_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A peer that went away is an error of the call that writes to it, not a death of the process.
  std::signal(SIGPIPE, SIG_IGN);
}

struct RunCommand {
  int operator()(const MigrateOptions& options) const {
    install_signal_handlers();
    server_at_work = true;
    return migrate(options, stop_request);
  }
  int operator()(const InspectOptions& options) const {
    install_signal_handlers();
    return inspect(options, stop_request);
  }
  int operator()(const PlanFileOptions& options) const {
    install_signal_handlers();
    return write_plan(options, stop_request);
  }
  int operator()(const VerifyOptions& options) const {
    install_signal_handlers();
    return verify(options, stop_request);
  }
  int operator()(const OffloadOptions& options) const {
    install_signal_handlers();
    server_at_work = true;
    return offload(options, stop_request);
  }
  int operator()(const ExportOptions& options) const {
    install_signal_handlers();
    return export_archive(options, stop_request);
  }
  int operator()(const RestoreOptions& options) const {
    install_signal_handlers();
    server_at_work = true;
    return restore(options, stop_request);
  }
  int operator()(const StatusOptions& options) const { return status(options); }
  int operator()(const PrintAndExit& text) const {
    std::cout << text.text;
    return 0;
  }
};

LogFormat format_of(const Command& command) {
  return std::visit(
      []<class Options>(const Options& options) {
        if constexpr (std::is_base_of_v<CommonOptions, Options>) {
          return options.log_format;
        } else {
          return LogFormat::text;
        }
      },
      command);
}

int end_with(LogEvent event, Fault fault) {
  event.exit_status = exit_status_of(fault);
  write_log(event);
  return *event.exit_status;
}

int end_with(std::string message) {
  return end_with({.level = LogLevel::error, .message = std::move(message)}, Fault::internal);
}

// The log says how it ended, also when it ended well. People see that.
void log_end(int exit_status, std::chrono::steady_clock::time_point began) {
  if (log_format() != LogFormat::json) return;
  LogEvent event;
  event.level = exit_status == 0 ? LogLevel::info : LogLevel::warning;
  event.message = exit_status == 0 ? "done" : "ended with exit status " + std::to_string(exit_status);
  event.duration_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  event.exit_status = exit_status;
  write_log(event);
}

// std::thread and oneTBB say so in different types, and in the words of the system alone.
bool is_lack_of_threads(const std::exception& error) {
  return std::string_view(error.what()).ends_with(std::generic_category().message(EAGAIN));
}

// Says what the exception under way means to the user, and returns the exit status.
int complain_of_exception() {
  try {
    throw;
  } catch (const Error& error) {
    return end_with(event_of(LogLevel::error, error), error.fault());
  } catch (const std::bad_alloc&) {
    return end_with("out of memory; try fewer --jobs, then run the same command again to go on");
  } catch (const std::exception& error) {
    if (is_lack_of_threads(error)) {
      return end_with(
          "the system gives no further thread; raise the limits (ulimit -u, -v) or try fewer --jobs, then "
          "run "
          "the same command again to go on");
    }
    return end_with(std::string("bug in sluice: ") + error.what());
  }
}

// oneTBB's workers start each other, and where the system refuses, the exception has nobody to catch it.
// Nothing needs to be put in order: what was not committed never happened.
[[noreturn]] void end_without_catch() {
  int status = exit_status_of(Fault::internal);
  if (std::current_exception()) status = complain_of_exception();
  std::_Exit(status);
}

}  // namespace

int run_program(int argc, char** argv) noexcept {
  std::set_terminate(end_without_catch);
  try {
    const auto began = std::chrono::steady_clock::now();
    const std::vector<std::string> words(argv, argv + argc);
    for (int i = 1; i < argc; ++i) blot_passwords({argv[i], words[static_cast<std::size_t>(i)].size()});
    std::vector<const char*> pointers;
    for (const std::string& word : words) pointers.push_back(word.c_str());
    set_log_format(early_log_format(argc, pointers.data()));
    const Command command = parse_command_line(argc, pointers.data());
    set_log_format(format_of(command));
    const int exit_status = std::visit(RunCommand{}, command);
    log_end(exit_status, began);
    return exit_status;
  } catch (...) {
    return complain_of_exception();
  }
}

}  // namespace sluice
