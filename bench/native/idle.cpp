// Connections that ask for nothing:
//
//   idle PORT COUNT
//
// Says "open COUNT" when all are open, and on each SIGUSR2 "heartbeats N": how many have come since the last one.
// Anything else that comes, and a connection that ends, is a failure.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr unsigned char heartbeat[] = {0, 0, 0, 0, 'H'};
constexpr std::size_t frame_size = sizeof heartbeat;
// So many are opened in a row, and then the server has a moment to accept them.
constexpr int at_once = 200;
constexpr useconds_t moment = 20'000;

struct connection {
  int fd = -1;
  std::size_t position = 0;  // in the heartbeat that is arriving
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

[[noreturn]] void wrong(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

void watch(int epoll, int fd, connection* c) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = c;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

int connected(int port) {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
  return fd;
}

// How many heartbeats end with what has come.
long receive(connection& c) {
  unsigned char buffer[4096];
  auto got = ::recv(c.fd, buffer, sizeof buffer, 0);
  if (got < 0) fail("recv");
  if (got == 0) wrong("the server closed an idle connection");
  long ended = 0;
  for (decltype(got) i = 0; i < got; i++) {
    if (buffer[i] != heartbeat[c.position]) wrong("a byte that is no heartbeat's");
    c.position = (c.position + 1) % frame_size;
    if (c.position == 0) ended++;
  }
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  int port = std::atoi(argv[1]);
  int count = std::atoi(argv[2]);

  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  sigset_t asked;
  sigemptyset(&asked);
  sigaddset(&asked, SIGUSR2);
  sigprocmask(SIG_BLOCK, &asked, nullptr);
  int signals = ::signalfd(-1, &asked, 0);

  int epoll = ::epoll_create1(0);
  watch(epoll, signals, nullptr);
  std::vector<connection> connections(static_cast<std::size_t>(count));
  int opened = 0;
  for (auto& c : connections) {
    c.fd = connected(port);
    watch(epoll, c.fd, &c);
    if (++opened % at_once == 0) ::usleep(moment);
  }
  std::printf("open %d\n", count);
  std::fflush(stdout);

  long heartbeats = 0;
  std::vector<epoll_event> events(1024);
  for (;;) {
    int n = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; i++) {
      auto* c = static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (c != nullptr) {
        heartbeats += receive(*c);
        continue;
      }
      signalfd_siginfo info{};
      if (::read(signals, &info, sizeof info) != sizeof info) fail("read");
      std::printf("heartbeats %ld\n", heartbeats);
      std::fflush(stdout);
      heartbeats = 0;
    }
  }
}
