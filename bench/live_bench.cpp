// Many cameras and one engine: the throughput of batching and of speculative decoding.
//   live_bench MODEL PICTURES [FRAMES]
// Each of eight cameras moves slowly over one picture after the other. Fails if any answer differs
// between the modes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/live_scene.hpp"
#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<std::int32_t>;

constexpr std::size_t kCameras = 8;

std::vector<Image> load_pictures(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto kind = entry.path().extension();
    if (kind == ".jpg" || kind == ".png" || kind == ".webp") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.size() < kCameras)
    throw make_error("{}: {} pictures are needed", folder.string(), kCameras);
  std::vector<Image> pictures;
  for (std::size_t i = 0; i < kCameras; ++i)
    pictures.push_back(read_whole(*open_image(read_image_file(files[i]), files[i].string())));
  return pictures;
}

struct Run {
  std::vector<Tokens> answers;
  double seconds = 0;
  Statistics sum;
};

class Bench {
 public:
  Bench(Engine& engine, std::vector<Image> pictures, std::int64_t frames)
      : engine_(engine), pictures_(std::move(pictures)), frames_(frames) {}

  // One camera, a frame after the other.
  Run one_camera(bool draft) {
    Run run;
    const auto start = Clock::now();
    for (std::int64_t frame = 0; frame < frames_; ++frame) {
      add(run, engine_.run(request(0, frame, draft)));
    }
    return ended(std::move(run), start);
  }
  // All cameras one after the other, each waiting for the one before it.
  Run in_turn() {
    Run run;
    const auto start = Clock::now();
    for (std::int64_t frame = 0; frame < frames_ / std::ssize(pictures_); ++frame) {
      for (std::size_t c = 0; c < kCameras; ++c) add(run, engine_.run(request(c, frame, false)));
    }
    return ended(std::move(run), start);
  }
  // All cameras at once: each sends its next frame when it has its answer.
  Run together(bool draft) {
    const auto start = Clock::now();
    std::vector<std::future<std::vector<Result>>> cameras;
    for (std::size_t c = 0; c < kCameras; ++c) {
      cameras.push_back(std::async(std::launch::async, [this, c, draft] {
        std::vector<Result> results;
        for (std::int64_t frame = 0; frame < frames_ / std::ssize(pictures_); ++frame) {
          results.push_back(engine_.run(request(c, frame, draft)));
        }
        return results;
      }));
    }
    std::vector<std::vector<Result>> results;
    for (auto& camera : cameras) results.push_back(camera.get());
    Run run;
    for (std::size_t frame = 0; frame < results[0].size(); ++frame) {
      for (const auto& of_camera : results) add(run, of_camera[frame]);
    }
    return ended(std::move(run), start);
  }

 private:
  // A view's id is new for each run, so that none drafts from another's answers.
  Request request(std::size_t camera, std::int64_t frame, bool draft) {
    Request request;
    Turn& turn = request.conversation.emplace_back();
    turn.text = "Describe the image.";
    // Each camera is somewhere else in the round of pictures.
    const auto ahead = static_cast<std::int64_t>(50 * camera);
    turn.images.push_back(engine_.prepare(*open_pixels(live_frame(pictures_, frame + ahead))));
    request.sampling.temperature = 0;
    request.sampling.max_new_tokens = 64;
    request.live = LiveView{.id = runs_ * kCameras + camera, .draft = draft};
    return request;
  }
  static void add(Run& run, const Result& result) {
    if (result.outcome == Outcome::kFailed) throw Error(result.error);
    run.answers.push_back(result.tokens);
    run.sum.new_tokens += result.statistics.new_tokens;
    run.sum.drafted_tokens += result.statistics.drafted_tokens;
    run.sum.accepted_tokens += result.statistics.accepted_tokens;
    run.sum.decode_s += result.statistics.decode_s;
  }
  Run ended(Run run, Clock::time_point start) {
    run.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    ++runs_;
    return run;
  }

  Engine& engine_;
  std::vector<Image> pictures_;
  std::int64_t frames_;
  std::size_t runs_ = 0;
};

void print(std::string_view name, const Run& run, const Run& plain) {
  const auto frames = static_cast<double>(run.answers.size());
  fmt::print("{:38} {:6.1f} frames/s {:6.2f}x   decode {:6.1f} ms a frame", name,
             frames / run.seconds,
             plain.seconds / run.seconds * frames / static_cast<double>(plain.answers.size()),
             1000 * run.sum.decode_s / frames);
  if (run.sum.drafted_tokens > 0) {
    fmt::print("   drafts {} of {} right ({:.0f} %)", run.sum.accepted_tokens,
               run.sum.drafted_tokens,
               100 * static_cast<double>(run.sum.accepted_tokens) /
                   static_cast<double>(run.sum.drafted_tokens));
  }
  fmt::print("\n");
}

double mean_batch(const Histogram& before, const Histogram& after) {
  return (after.sum() - before.sum()) / static_cast<double>(after.count() - before.count());
}

int bench(const std::filesystem::path& model, const std::filesystem::path& folder,
          std::int64_t frames) {
  EngineOptions options;
  options.model_path = model;
  const auto engine = Engine::load(options);
  fmt::print("{} on {}, {}\n", engine->info().model, engine->info().device,
             engine->info().precision);
  Bench bench(*engine, load_pictures(folder), frames);
  bench.in_turn();  // to warm up
  const Run plain = bench.one_camera(false);
  const Run drafts = bench.one_camera(true);
  const Run in_turn = bench.in_turn();
  const EngineCounters before = engine->counters();
  const Run together = bench.together(false);
  const EngineCounters after = engine->counters();
  const Run both = bench.together(true);
  print("one camera", plain, plain);
  print("one camera, drafts", drafts, plain);
  print("eight cameras in turn", in_turn, in_turn);
  print("eight cameras together", together, in_turn);
  print("eight cameras together, drafts", both, in_turn);
  fmt::print("together: {:.1f} images an encoder pass, {:.1f} rows a decode pass\n",
             mean_batch(before.encoder_batches, after.encoder_batches),
             mean_batch(before.decode_batches, after.decode_batches));
  const bool same = drafts.answers == plain.answers && together.answers == in_turn.answers &&
                    both.answers == in_turn.answers;
  fmt::print("{}\n", same ? "all answers are the same" : "ANSWERS DIFFER");
  return same ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace fvlm

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: live_bench MODEL PICTURES [FRAMES]\n");
    return 2;
  }
  try {
    return fvlm::bench(argv[1], argv[2], argc > 3 ? std::atoll(argv[3]) : 200);
  } catch (const std::exception& error) {
    fmt::print(stderr, "live_bench: {}\n", error.what());
    return EXIT_FAILURE;
  }
}
