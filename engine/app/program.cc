#include "engine/app/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <string_view>

#include "engine/app/inspect.h"
#include "engine/app/migrate.h"
#include "engine/app/options.h"
#include "engine/app/plan_command.h"
#include "engine/app/printable.h"
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
  const auto print = [](std::string_view text) {
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
  };
  if (!stop_request.stopped()) {
    stop_request.stop();
    print("\nsluice: stopping after what is under way; once more to stop at once\n");
    return;
  }
  if (server_at_work && !stop_request.stopped_now()) {
    stop_request.stop_now();
    print("\nsluice: cancelling what is under way; once more to leave without waiting for the server\n");
    return;
  }
  print("\nsluice: stopped; run the same command again to go on\n");
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
  int operator()(const StatusOptions& options) const { return status(options); }
  int operator()(const PrintAndExit& text) const {
    std::cout << text.text;
    return 0;
  }
};

// What it names may come from a stranger's file. Messages of the server may have several lines.
void complain(std::string_view what) {
  std::string text;
  for (std::size_t end = what.find('\n'); end != std::string_view::npos; end = what.find('\n')) {
    text += printable(what.substr(0, end)) + "\n";
    what.remove_prefix(end + 1);
  }
  fmt::print(stderr, "sluice: {}\n", text + printable(what));
}

}  // namespace

int run_program(int argc, const char* const* argv) noexcept {
  try {
    return std::visit(RunCommand{}, parse_command_line(argc, argv));
  } catch (const Error& error) {
    complain(error.describe());
    return exit_status_of(error.fault());
  } catch (const std::bad_alloc&) {
    complain("out of memory; try fewer --jobs, then run the same command again to go on");
    return exit_status_of(Fault::internal);
  } catch (const std::exception& error) {
    complain(std::string("bug in sluice: ") + error.what());
    return exit_status_of(Fault::internal);
  }
}

}  // namespace sluice
