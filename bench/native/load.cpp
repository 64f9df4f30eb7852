// A load client that is no bottleneck: one thread, epoll, headers parsed and bodies counted, never kept.
//
//   load PORT CONNECTIONS REQUESTS REQUEST-BODY [PADDING [verify]]
//
// Every connection sends REQUESTS requests with the body, one after the other's response, and reads the
// responses to their end. PADDING spaces are added to the body. With "verify" every byte of the results is
// compared with what they must be (Workload.ts). Prints one JSON object: responses, frames, bytes of result,
// seconds, and the seconds of CPU that it used itself.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::size_t header_size = 5;
constexpr std::size_t buffer_size = 1 << 20;
constexpr std::size_t period = 64;  // results repeat a text of so many characters

struct connection {
  int fd = -1;
  long remaining = 0;        // requests not yet answered
  unsigned char header[header_size];
  std::size_t have = 0;      // bytes of the header received
  std::size_t body = 0;      // bytes of the body still to come
  char type = 0;             // of the frame that the body belongs to
  bool accepted = false;     // whether the response has begun
  std::size_t position = 0;  // bytes of the response's result received
};

struct totals {
  long responses = 0;
  long frames = 0;
  long long bytes = 0;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void send_all(int fd, const std::string& data) {
  for (std::size_t at = 0; at < data.size();) {
    auto n = ::send(fd, data.data() + at, data.size() - at, MSG_NOSIGNAL);
    if (n <= 0) fail("send");
    at += static_cast<std::size_t>(n);
  }
}

std::string frame(char type, const std::string& body) {
  auto n = static_cast<std::uint32_t>(body.size());
  std::string out;
  for (int i = 0; i < 4; i++) out.push_back(static_cast<char>(n >> (8 * i)));
  return out + type + body;
}

bool is_result(char type) { return type == 'I' || type == 'F'; }

[[noreturn]] void wrong(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

// The text that results repeat, as long as a buffer and one period more.
std::string expected_text() {
  const std::string once = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  while (text.size() < buffer_size + period) text += once;
  return text;
}

void on_header(connection& c, totals& t) {
  c.body = c.header[0] | c.header[1] << 8 | c.header[2] << 16 | static_cast<std::size_t>(c.header[3]) << 24;
  c.have = 0;
  c.type = static_cast<char>(c.header[4]);
  t.frames++;
  if (is_result(c.type)) {
    if (!c.accepted) wrong("a result without an accept");
    t.bytes += static_cast<long long>(c.body);
  } else if (c.type == 'A') {
    if (c.accepted) wrong("a second accept");
    c.accepted = true;
  } else if (c.type != 'H') {
    wrong("a frame that is not part of a whole response");
  }
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& v) { return static_cast<double>(v.tv_sec) + static_cast<double>(v.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  int port = std::atoi(argv[1]);
  int count = std::atoi(argv[2]);
  long requests = std::atol(argv[3]);
  std::size_t padding = argc > 5 ? std::strtoul(argv[5], nullptr, 10) : 0;
  bool verify = argc > 6 && std::string(argv[6]) == "verify";
  std::string request = frame('R', argv[4] + std::string(padding, ' '));
  const std::string expected = expected_text();

  int epoll = ::epoll_create1(0);
  std::vector<connection> connections(static_cast<std::size_t>(count));
  for (auto& c : connections) {
    c.fd = ::socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(c.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) fail("connect");
    c.remaining = requests;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &c;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, c.fd, &event);
  }

  totals t;
  std::vector<unsigned char> buffer(buffer_size);
  std::vector<epoll_event> events(static_cast<std::size_t>(count));
  auto used = cpu_seconds();
  auto started = std::chrono::steady_clock::now();
  for (auto& c : connections) send_all(c.fd, request);
  for (int open = count; open > 0;) {
    int n = ::epoll_wait(epoll, events.data(), count, -1);
    for (int i = 0; i < n; i++) {
      auto& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      auto got = ::recv(c.fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) fail("recv");
      for (std::size_t at = 0, end = static_cast<std::size_t>(got); at < end;) {
        if (c.body > 0) {
          auto part = std::min(c.body, end - at);
          if (verify && is_result(c.type)) {
            if (std::memcmp(buffer.data() + at, expected.data() + c.position % period, part) != 0) {
              wrong("a result that is not what was asked for");
            }
            c.position += part;
          }
          c.body -= part;
          at += part;
        } else {
          c.header[c.have++] = buffer[at++];
          if (c.have == header_size) on_header(c, t);
        }
        if (c.type == 'F' && c.body == 0 && c.have == 0) {
          c.type = 0;
          c.accepted = false;
          c.position = 0;
          t.responses++;
          if (--c.remaining > 0) {
            send_all(c.fd, request);
          } else {
            ::epoll_ctl(epoll, EPOLL_CTL_DEL, c.fd, nullptr);
            ::close(c.fd);
            open--;
          }
        }
      }
    }
  }
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  std::printf("{\"responses\":%ld,\"frames\":%ld,\"bytes\":%lld,\"seconds\":%.6f,\"cpu\":%.6f}\n", t.responses,
              t.frames, t.bytes, seconds.count(), cpu_seconds() - used);
}
