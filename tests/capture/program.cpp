#include "tests/capture/program.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <stdexcept>
#include "tests/support/waiting.hpp"

namespace fvlm::capture {
namespace {

using Milliseconds = std::chrono::milliseconds;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

}  // namespace

CameraProgram::CameraProgram(const std::string& program, const std::vector<std::string>& flags)
    : port_(free_port()) {
  std::vector<std::string> words;
  std::istringstream command(program);
  for (std::string word; command >> word;) words.push_back(word);
  words.insert(words.end(), {"--port", std::to_string(port_)});
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  process_ = ::fork();
  if (process_ == 0) {
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  if (!wait_for([this] { return !answer("/healthz").empty(); }, Milliseconds(10'000))) {
    end(SIGKILL);
    throw std::runtime_error(program + " does not answer");
  }
}

CameraProgram::~CameraProgram() {
  end(SIGKILL);
}

std::string CameraProgram::get(const std::string& path) const {
  const std::string all = answer(path);
  const std::size_t head = all.find("\r\n\r\n");
  if (all.compare(0, 12, "HTTP/1.1 200") != 0 || head == std::string::npos) return {};
  return all.substr(head + 4);
}

std::string CameraProgram::answer(const std::string& path) const {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{5, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const sockaddr_in address = loopback(port_);
  std::string bytes;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    std::array<char, 65536> part{};
    ssize_t size = 0;
    while ((size = ::recv(socket, part.data(), part.size(), 0)) > 0) {
      bytes.append(part.data(), static_cast<std::size_t>(size));
    }
  }
  ::close(socket);
  return bytes;
}

double CameraProgram::metric(const std::string& name) const {
  const std::string text = get("/metrics");
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

int CameraProgram::end(int signal) {
  if (process_ < 0) return -1;
  ::kill(process_, signal);
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace fvlm::capture
