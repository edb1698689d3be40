#include "support/fault_proxy.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace sluice::testing {
namespace {

constexpr std::size_t kChunkBytes = 16384;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::size_t index_of(Direction direction) { return static_cast<std::size_t>(direction); }

// Every segment that arrives is dropped before TCP has seen it, so nothing is acknowledged, data and
// keep-alives alike. It needs no privilege and no network of its own.
void drop_everything(int socket) {
  sock_filter drop{BPF_RET | BPF_K, 0, 0, 0};
  const sock_fprog program{1, &drop};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    fail("SO_ATTACH_FILTER");
}

void reset_on_close(int socket) {
  const linger now{1, 0};
  setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

// One direction of one connection.
struct FaultProxy::Stream {
  int from = -1;
  int to = -1;
  std::array<char, kChunkBytes> bytes;
  std::size_t begin = 0;
  std::size_t end = 0;
  bool ended = false;  // the sender has closed
  [[nodiscard]] bool empty() const { return begin == end; }
};

struct FaultProxy::Pair {
  int client = -1;
  int server = -1;
  std::array<Stream, 2> streams;  // by Direction
  std::optional<Direction> speaking;
  std::string tail;  // of what went to the server, for a text that comes in two parts
  std::optional<std::uint64_t> since_text;
  std::optional<Trigger> doom;  // how it breaks once what may pass has passed
  bool over = false;            // to be closed
  std::optional<Clock::time_point> silent_until;

  Pair(int client_socket, int server_socket) : client(client_socket), server(server_socket) {
    streams[index_of(Direction::to_server)].from = client;
    streams[index_of(Direction::to_server)].to = server;
    streams[index_of(Direction::to_client)].from = server;
    streams[index_of(Direction::to_client)].to = client;
  }
  ~Pair() {
    ::close(client);
    ::close(server);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
};

FaultProxy::FaultProxy(std::filesystem::path server_socket) : server_socket_(std::move(server_socket)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) fail("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0) fail("bind");
  if (listen(listener_, 64) != 0) fail("listen");
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) fail("getsockname");
  port_ = ntohs(address.sin_port);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) fail("eventfd");
  thread_ = std::thread([this] { run(); });
}

FaultProxy::~FaultProxy() {
  stop_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t woken = ::write(wake_, &one, sizeof one);
  thread_.join();
  ::close(listener_);
  ::close(wake_);
}

std::string FaultProxy::conninfo(const std::string& database, const std::string& more) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=postgres dbname='" + database +
         "' sslmode=disable " + more;
}

void FaultProxy::arm(const Trigger& trigger) {
  const std::lock_guard lock(mutex_);
  trigger_ = trigger;
  counted_ = 0;
  times_ = 0;
  broken_ = 0;
  seen_ = 0;
  traffic_ = {};
}

void FaultProxy::disarm() {
  const std::lock_guard lock(mutex_);
  trigger_.reset();
  traffic_ = {};
}

int FaultProxy::broken() const {
  const std::lock_guard lock(mutex_);
  return broken_;
}

Traffic FaultProxy::traffic() const {
  const std::lock_guard lock(mutex_);
  return traffic_;
}

void FaultProxy::run() {
  std::vector<pollfd> wanted;
  while (!stop_) {
    wanted.assign({{wake_, POLLIN, 0}, {listener_, POLLIN, 0}});
    int patience = -1;
    for (const std::unique_ptr<Pair>& pair : pairs_) {
      short client = 0;
      short server = 0;
      if (pair->silent_until) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(*pair->silent_until - Clock::now()).count();
        const int milliseconds = static_cast<int>(std::max<std::int64_t>(left, 0));
        patience = patience < 0 ? milliseconds : std::min(patience, milliseconds);
      } else {
        const Stream& there = pair->streams[index_of(Direction::to_server)];
        const Stream& back = pair->streams[index_of(Direction::to_client)];
        if (there.empty() && !there.ended && !pair->doom) client |= POLLIN;
        if (!there.empty()) server |= POLLOUT;
        if (back.empty() && !back.ended && !pair->doom) server |= POLLIN;
        if (!back.empty()) client |= POLLOUT;
      }
      // A socket of which nothing is asked is left out: poll() would report its end again and again.
      wanted.push_back({client == 0 ? -1 : pair->client, client, 0});
      wanted.push_back({server == 0 ? -1 : pair->server, server, 0});
    }
    if (::poll(wanted.data(), wanted.size(), patience) < 0 && errno != EINTR) fail("poll");
    constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
    constexpr short kWritable = POLLOUT | POLLHUP | POLLERR;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      Pair& pair = *pairs_[i];
      if (pair.silent_until) {
        pair.over = Clock::now() >= *pair.silent_until;
        continue;
      }
      const pollfd& client = wanted[2 + 2 * i];
      const pollfd& server = wanted[3 + 2 * i];
      if ((client.events & POLLIN) != 0 && (client.revents & kReadable) != 0)
        receive(pair, Direction::to_server);
      if ((server.events & POLLIN) != 0 && (server.revents & kReadable) != 0)
        receive(pair, Direction::to_client);
      if ((server.events & POLLOUT) != 0 && (server.revents & kWritable) != 0)
        send(pair, Direction::to_server);
      if ((client.events & POLLOUT) != 0 && (client.revents & kWritable) != 0)
        send(pair, Direction::to_client);
      const bool flushed = pair.streams[0].empty() && pair.streams[1].empty();
      if (pair.doom && flushed) break_now(pair);
      if ((pair.streams[0].ended || pair.streams[1].ended) && flushed) pair.over = true;
    }
    std::erase_if(pairs_, [](const std::unique_ptr<Pair>& pair) { return pair->over; });
    if ((wanted[1].revents & POLLIN) != 0) accept_one();
  }
}

void FaultProxy::accept_one() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  const int one = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0) fail("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  server_socket_.string().copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    // As a machine on which no server listens: not a silence, but a reset.
    reset_on_close(client);
    ::close(client);
    ::close(server);
    return;
  }
  pairs_.push_back(std::make_unique<Pair>(client, server));
  const std::lock_guard lock(mutex_);
  ++traffic_.connections;
}

void FaultProxy::receive(Pair& pair, Direction direction) {
  Stream& stream = pair.streams[index_of(direction)];
  if (!stream.empty() || pair.doom) return;
  const ssize_t got = ::recv(stream.from, stream.bytes.data(), stream.bytes.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    stream.ended = true;
    return;
  }
  stream.begin = 0;
  stream.end = admit(pair, direction, {stream.bytes.data(), static_cast<std::size_t>(got)});
}

void FaultProxy::send(Pair& pair, Direction direction) {
  Stream& stream = pair.streams[index_of(direction)];
  const ssize_t sent = ::send(stream.to, stream.bytes.data() + stream.begin, stream.end - stream.begin,
                              MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    stream.begin += static_cast<std::size_t>(sent);
  } else if (errno != EAGAIN && errno != EINTR) {
    stream.begin = stream.end;  // nobody is there to take it
    stream.ended = true;
  }
}

void FaultProxy::count(Pair& pair, Direction direction, std::size_t bytes) {
  std::uint64_t& total = direction == Direction::to_server ? traffic_.to_server : traffic_.to_client;
  if (pair.speaking != direction) {
    (direction == Direction::to_server ? traffic_.turns_to_server : traffic_.turns_to_client)
        .push_back(total);
    pair.speaking = direction;
  }
  total += bytes;
}

std::size_t FaultProxy::admit(Pair& pair, Direction direction, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  std::size_t counted_from = 0;
  if (trigger_ && !trigger_->after_text.empty() && direction == Direction::to_server && !pair.since_text) {
    const std::string all = pair.tail + std::string(bytes);
    for (std::size_t at = all.find(trigger_->after_text); at != std::string::npos;
         at = all.find(trigger_->after_text, at + 1)) {
      if (++seen_ != trigger_->occurrence) continue;
      pair.since_text = 0;
      counted_from = at + trigger_->after_text.size() - pair.tail.size();
      break;
    }
    const std::size_t keep = std::min(all.size(), trigger_->after_text.size() - 1);
    pair.tail = all.substr(all.size() - keep);
  }
  if (!trigger_ || times_ >= trigger_->times || direction != trigger_->direction ||
      (!trigger_->after_text.empty() && !pair.since_text)) {
    count(pair, direction, bytes.size());
    return bytes.size();
  }
  std::uint64_t& counted = trigger_->after_text.empty() ? counted_ : *pair.since_text;
  const std::uint64_t left = trigger_->after_bytes - counted;
  const std::size_t countable = bytes.size() - counted_from;
  if (countable <= left) {
    counted += countable;
    count(pair, direction, bytes.size());
    return bytes.size();
  }
  const std::size_t passing = counted_from + static_cast<std::size_t>(left);
  count(pair, direction, passing);
  counted_ = 0;
  seen_ = 0;
  ++times_;
  for (const std::unique_ptr<Pair>& other : pairs_) {
    if (other.get() != &pair && (!trigger_->all_connections || other->silent_until)) continue;
    other->doom = *trigger_;
    other->since_text.reset();
    ++broken_;
  }
  return passing;
}

void FaultProxy::break_now(Pair& pair) {
  switch (pair.doom->how) {
    case Break::reset:
      reset_on_close(pair.client);
      pair.over = true;
      break;
    case Break::finish:
      pair.over = true;
      break;
    case Break::black_hole:
      drop_everything(pair.client);
      reset_on_close(pair.client);
      pair.silent_until = Clock::now() + pair.doom->hold;
      break;
  }
}

}  // namespace sluice::testing
