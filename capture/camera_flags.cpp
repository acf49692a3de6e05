#include "capture/camera_flags.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "net/command_line/flag_checks.hpp"
#include "net/http/api_keys.hpp"

namespace fvlm::capture {
namespace {

constexpr std::size_t kLongestName = 64;

// "1s", "250ms", "0.5": seconds if there is no unit.
std::chrono::milliseconds duration_of(const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double milliseconds = unit == "ms" ? value : value * 1000;
  const bool known = unit.empty() || unit == "s" || unit == "ms";
  if (used == 0 || !known || !(milliseconds >= 1) || milliseconds > 3.6e6) {
    throw CLI::ValidationError(
        "--interval", text + ": expected a time such as 1s, 0.5s or 250ms, at most an hour");
  }
  return std::chrono::milliseconds(std::llround(milliseconds));
}

Area area_of(const char* flag, const std::string& text) {
  try {
    return parse_area(text);
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError(flag, error.what());
  }
}

// What a function says that throws if the value is wrong.
template <class Check>
auto problem_of(Check check) {
  return [check](const std::string& value) -> std::string {
    try {
      check(value);
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  };
}

std::string check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= kLongestName &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '-' || c == '_';
                    });
  return good ? ""
              : fmt::format(
                    "\"{}\": expected up to {} letters a to z, digits, '-' and '_'; what the "
                    "page shows may be any text: title",
                    name, kLongestName);
}

}  // namespace

void add_camera_flags(CLI::App& app, CameraSettings& settings) {
  SourceOptions& source = settings.feed.source;
  app.add_option("--source", source.source,
                 "v4l2[:DEVICE or INDEX], images:DIR, test-pattern[:FORMAT] or pipe:COMMAND, which "
                 "writes JPEGs; v4l2 alone tries 0, then 1")
      ->check(problem_of(check_source))
      ->capture_default_str();
  app.add_option("--width", source.width, "Width of pictures, in pixels")
      ->check(in_range(16, 8192))
      ->capture_default_str();
  app.add_option("--fps", source.rate,
                 "Frame rate to ask the source for; required for a pipe below one frame a second")
      ->check(in_range(0.1, 1e5));
  app.add_option_function<std::string>(
         "--format", [&source](const std::string& name) { source.format = format_of(name); },
         "Pixel format of a camera: auto (the cheapest), mjpeg, yu12, nv12, yuyv, uyvy or grey")
      ->check(one_of({"auto", "mjpeg", "yu12", "nv12", "yuyv", "uyvy", "grey"}))
      ->default_str("auto");
  app.add_option("--exposure", source.exposure, "Exposure time of a camera, in 100 us");
  app.add_option("--gain", source.gain, "Gain of a camera");
  app.add_option("--brightness", source.brightness, "Brightness of a camera");
  EncoderOptions& encoder = settings.feed.encoder;
  app.add_option("--quality", encoder.quality, "JPEG quality of frames that the client compresses")
      ->check(in_range(1, 100))
      ->capture_default_str();
  app.add_option("--max-quality", encoder.max_quality,
                 "Recompress a camera's own JPEGs of a higher quality")
      ->check(in_range(1, 100))
      ->capture_default_str();
  Transform& transform = encoder.transform;
  const auto set_masks = [&transform](const std::vector<std::string>& masks) {
    transform.masks.clear();
    for (const std::string& mask : masks) transform.masks.push_back(area_of("--mask", mask));
  };
  app.add_option_function<std::vector<std::string>>(
         "--mask", set_masks,
         "Area that nobody sees, X,Y,WIDTH,HEIGHT of the camera's own picture: in pixels "
         "(0,0,320,120), or with decimal points in fractions of it (0.0,0.0,0.5,0.25); "
         "repeatable")
      ->type_name("AREA");
  // The four numbers may come together or each alone.
  const auto set_crop = [&transform](const std::vector<std::string>& numbers) {
    transform.crop = area_of("--crop", fmt::format("{}", fmt::join(numbers, ",")));
  };
  app.add_option_function<std::vector<std::string>>(
         "--crop", set_crop, "Area of the camera's own picture to keep, given as for --mask")
      ->type_name("AREA");
  app.add_option("--rotate", transform.rotate, "Degrees to turn pictures by, clockwise")
      ->check(one_of({"0", "90", "180", "270"}))
      ->capture_default_str();
  const auto set_flip = [&transform](const std::vector<std::string>& ways) {
    const auto has = [&ways](const char* way) {
      return std::find(ways.begin(), ways.end(), way) != ways.end();
    };
    transform.flip_horizontal = has("horizontal");
    transform.flip_vertical = has("vertical");
  };
  app.add_option_function<std::vector<std::string>>(
         "--flip", set_flip, "horizontal (as in a mirror) or vertical, after turning; repeatable")
      ->check(one_of({"horizontal", "vertical"}));
}

void add_server_flags(CLI::App& app, CameraSettings& settings) {
  ServerAddress& server = settings.feed.server;
  LinkOptions& link = settings.feed.link;
  const auto check_url = [](const std::string& url) { check_address({.url = url}); };
  app.add_option("--server", server.url, "ws:// or wss:// address of the server")
      ->check(problem_of(check_url))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--interval", [&link](const std::string& text) { link.interval = duration_of(text); },
         "Time between frames that are sent, e.g. 250ms; seconds if there is no unit")
      ->type_name("TIME")
      ->default_str("1s");
  app.add_flag("--stream", link.stream,
               "Stream tokens from a fastvlm server, and let the page change the prompt");
  app.add_option("--prompt", link.prompt, "Prompt, with --stream [the server's]");
  app.add_option("--max-new-tokens", link.max_new_tokens,
                 "Tokens of an answer, at most, with --stream")
      ->check(above_zero<std::int64_t>());
  app.add_option("--api-key-file", settings.api_key_file,
                 "File whose first line is the server's key; or $FASTVLM_API_KEY");
  app.add_option("--ca-file", server.ca_file, "CA certificates to trust with wss://, in PEM")
      ->check(CLI::ExistingFile);
}

void add_table_flags(CLI::App& app, CameraSettings& settings) {
  ViewOptions& view = settings.feed.view;
  app.add_option("--name", view.name)->check(check_name);
  app.add_option("--title", view.title);
  app.add_option("--place", view.place)->check(in_range(1, 1000));
  app.add_option("--size", view.size)->check(in_range(1, 4));
}

FeedOptions feed_options(const CameraSettings& settings) {
  FeedOptions feed = settings.feed;
  feed.encoder.width = feed.source.width;
  if (!settings.api_key_file.empty()) {
    feed.server.api_key = net::read_key(settings.api_key_file, "--api-key-file");
  } else if (const char* key = std::getenv("FASTVLM_API_KEY")) {
    feed.server.api_key = key;
  }
  return feed;
}

}  // namespace fvlm::capture
