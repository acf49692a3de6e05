#include "capture/source/csi_cameras.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

namespace fvlm::capture {
namespace {

// The first line is the program's prefix. A camera that hangs must not hang the list.
constexpr char kAsk[] =
    "for name in rpicam libcamera; do command -v $name-hello > /dev/null && "
    "echo $name && exec timeout 10 $name-hello --list-cameras 2>&1 < /dev/null; done";
constexpr int kStatusOfTimeout = 124;

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

// "3280x2464 10-bit RGGB" -> "3280x2464".
std::string size_of(std::string_view text) {
  const std::string_view word = text.substr(0, text.find(' '));
  const std::size_t x = word.find('x');
  const auto is_digits = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == part.npos;
  };
  if (x == word.npos || !is_digits(word.substr(0, x)) || !is_digits(word.substr(x + 1))) return "";
  return std::string(word);
}

// "0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)"
std::optional<CsiCamera> parse_line(std::string_view line) {
  line = trim(line);
  CsiCamera camera;
  const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), camera.number);
  if (error != std::errc{} || camera.number < 0) return std::nullopt;
  std::string_view text = trim(line.substr(static_cast<std::size_t>(rest - line.data())));
  if (text.empty() || text.front() != ':') return std::nullopt;
  text = trim(text.substr(1));
  const std::size_t end = std::min(text.find('['), text.find(" ("));
  camera.sensor = trim(text.substr(0, end));
  if (camera.sensor.empty()) return std::nullopt;
  if (end != text.npos && text[end] == '[') {
    camera.size = size_of(text.substr(end + 1, text.find(']', end) - end - 1));
  }
  return camera;
}

struct Answer {
  std::string text{};
  int status = 0;
};

std::optional<Answer> ask() {
  const auto close = [](std::FILE* file) { ::pclose(file); };
  std::unique_ptr<std::FILE, decltype(close)> program(::popen(kAsk, "re"), close);
  if (program == nullptr) return std::nullopt;
  Answer answer;
  std::array<char, 4096> part{};
  std::size_t size = 0;
  while ((size = std::fread(part.data(), 1, part.size(), program.get())) > 0) {
    answer.text.append(part.data(), size);
  }
  const int status = ::pclose(program.release());
  answer.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

}  // namespace

std::vector<CsiCamera> parse_csi_cameras(const std::string& output) {
  std::vector<CsiCamera> cameras;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (auto camera = parse_line(line)) cameras.push_back(*std::move(camera));
  }
  return cameras;
}

std::string list_csi_cameras() {
  const auto answer = ask();
  if (!answer) return "";
  const std::size_t line = answer->text.find('\n');
  if (line == std::string::npos) return "";  // neither is installed
  const std::string prefix = answer->text.substr(0, line);
  const auto cameras = parse_csi_cameras(answer->text.substr(line + 1));
  if (cameras.empty() && answer->status == kStatusOfTimeout) {
    return fmt::format("{}-hello --list-cameras does not end: is a CSI camera loose?\n", prefix);
  }
  if (cameras.empty() && answer->status != 0) {
    return fmt::format("{0}-hello --list-cameras failed with status {1}; run it to see why\n",
                       prefix, answer->status);
  }
  std::string text;
  for (const CsiCamera& camera : cameras) {
    text += fmt::format(
        "CSI camera {0}: {1}{2}{3}\n  --source 'pipe:{4}-vid -t 0 --camera {0} --nopreview "
        "--width 640 --height 480 --codec mjpeg -o -'\n",
        camera.number, camera.sensor, camera.size.empty() ? "" : ", ", camera.size, prefix);
  }
  return text;
}

}  // namespace fvlm::capture
