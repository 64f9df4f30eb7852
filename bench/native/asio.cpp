// The same protocol by C++ Asio on one thread: `asio clear` or `asio strong`. Prints its port when ready.
//
// "clear" is a coroutine a connection as the examples of Asio are written: a read for the header, a read for
// the body, a gather write for each frame. "strong" reads what is there at once, gathers up to 512 KiB of a
// result into one write, and copies small bodies beside their headers. Neither has cancel, limits, heartbeats
// or errors. Requests and results are those of Workload.ts; a "streamed" result is made like a ready one.
#include <asio.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t header_size = 5;
constexpr std::size_t batch_size = 512 * 1024;
constexpr std::size_t batch_frames = 4096;
constexpr std::size_t inline_size = 2048;
constexpr std::string_view accept_body = R"({"format":"application/json","queryId":"1"})";

using header = std::array<unsigned char, header_size>;

void put_header(unsigned char* to, char type, std::size_t length) {
  for (int i = 0; i < 4; i++) to[i] = static_cast<unsigned char>(length >> (8 * i));
  to[4] = static_cast<unsigned char>(type);
}

std::size_t length_of(const unsigned char* from) {
  return from[0] | from[1] << 8 | from[2] << 16 | static_cast<std::size_t>(from[3]) << 24;
}

// The text that results repeat, from `position` on.
asio::const_buffer result_at(std::size_t position, std::size_t length) {
  static const std::string once = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static std::string text;
  auto start = position % once.size();
  while (text.size() < start + length) text += once;
  return asio::buffer(text.data() + start, length);
}

struct workload {
  std::size_t total = 0;
  std::size_t chunk = 0;
};

workload parse(const unsigned char* body, std::size_t length) {
  std::string text(reinterpret_cast<const char*>(body), std::min<std::size_t>(length, 64));
  char* end = nullptr;
  workload w;
  w.total = std::strtoull(text.c_str(), &end, 10);
  w.chunk = std::strtoull(end, nullptr, 10);
  return w;
}

awaitable<void> respond_clearly(tcp::socket& socket, workload w) {
  auto write = [&socket](char type, asio::const_buffer body) -> awaitable<void> {
    header h;
    put_header(h.data(), type, body.size());
    std::array<asio::const_buffer, 2> frame{asio::buffer(h), body};
    co_await asio::async_write(socket, frame, use_awaitable);
  };
  co_await write('A', asio::buffer(accept_body));
  for (std::size_t at = 0; at < w.total || at == 0;) {
    auto size = std::min(w.chunk, w.total - at);
    bool last = at + size == w.total;
    co_await write(last ? 'F' : 'I', result_at(at, size));
    at += size;
    if (last) break;
  }
}

awaitable<void> serve_clearly(tcp::socket socket) {
  std::vector<unsigned char> body;
  for (;;) {
    header h;
    co_await asio::async_read(socket, asio::buffer(h), use_awaitable);
    body.resize(length_of(h.data()));
    co_await asio::async_read(socket, asio::buffer(body), use_awaitable);
    co_await respond_clearly(socket, parse(body.data(), body.size()));
  }
}

// Frames laid out for one gather write.
class batch {
 public:
  batch() { staging_.reserve(batch_frames * header_size + batch_size + 2 * inline_size); }

  void clear() {
    staging_.clear();
    buffers_.clear();
    start_ = bytes_ = frames_ = 0;
  }

  bool full() const { return bytes_ >= batch_size || frames_ >= batch_frames; }

  void add(char type, asio::const_buffer body) {
    auto end = staging_.size();
    auto inlined = body.size() <= inline_size ? body.size() : 0;
    staging_.resize(end + header_size + inlined);
    put_header(staging_.data() + end, type, body.size());
    if (inlined > 0) std::memcpy(staging_.data() + end + header_size, body.data(), inlined);
    bytes_ += body.size();
    frames_++;
    if (inlined == body.size()) return;
    finish();
    buffers_.push_back(body);
  }

  const std::vector<asio::const_buffer>& finish() {
    if (start_ < staging_.size()) buffers_.push_back(asio::buffer(staging_.data() + start_, staging_.size() - start_));
    start_ = staging_.size();
    return buffers_;
  }

 private:
  std::vector<unsigned char> staging_;
  std::vector<asio::const_buffer> buffers_;
  std::size_t start_ = 0;
  std::size_t bytes_ = 0;
  std::size_t frames_ = 0;
};

awaitable<void> serve_strongly(tcp::socket socket) {
  batch out;
  std::vector<unsigned char> in(4096);
  std::size_t have = 0;
  for (;;) {
    while (have < header_size || have < header_size + length_of(in.data())) {
      if (have >= header_size) in.resize(std::max(in.size(), header_size + length_of(in.data())));
      have += co_await socket.async_read_some(asio::buffer(in.data() + have, in.size() - have), use_awaitable);
    }
    auto w = parse(in.data() + header_size, length_of(in.data()));
    auto used = header_size + length_of(in.data());
    std::memmove(in.data(), in.data() + used, have - used);
    have -= used;
    out.clear();
    out.add('A', asio::buffer(accept_body));
    for (std::size_t at = 0;;) {
      auto size = std::min(w.chunk, w.total - at);
      bool last = at + size == w.total;
      out.add(last ? 'F' : 'I', result_at(at, size));
      at += size;
      if (last || out.full()) {
        co_await asio::async_write(socket, out.finish(), use_awaitable);
        out.clear();
      }
      if (last) break;
    }
  }
}

awaitable<void> accept_all(tcp::acceptor acceptor, bool strong) {
  for (;;) {
    auto socket = co_await acceptor.async_accept(use_awaitable);
    socket.set_option(tcp::no_delay(true));
    auto executor = acceptor.get_executor();
    auto ignore_disconnects = [](std::exception_ptr) {};
    if (strong) {
      asio::co_spawn(executor, serve_strongly(std::move(socket)), ignore_disconnects);
    } else {
      asio::co_spawn(executor, serve_clearly(std::move(socket)), ignore_disconnects);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  result_at(63, 1024 * 1024);  // buffers into the text must not move
  asio::io_context context{1};
  tcp::acceptor acceptor(context, {asio::ip::make_address("127.0.0.1"), 0});
  acceptor.listen(4096);
  std::printf("port %d\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  asio::co_spawn(context, accept_all(std::move(acceptor), std::string_view(argv[1]) == "strong"), asio::detached);
  context.run();
}
