// The engine: a model loaded once that answers any number of requests, several at a time.
//
// This is the only face of the runtime that servers and programs need; it shows no tensors.
// Times are in seconds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/core/histogram.hpp"
#include "fvlm/error.hpp"
#include "fvlm/image.hpp"

namespace fvlm {

// kAuto: a CUDA device if there is one and the model fits into its memory, else the CPU.
// kCudaEmulated runs the kernels of CUDA on the CPU, slowly, to test them; only builds with
// FVLM_EMULATOR have it, and others throw an Error.
enum class Device : std::uint8_t { kAuto, kCpu, kRef, kCuda, kCudaEmulated };
enum class Precision : std::uint8_t { kAuto, kF32, kBF16, kInt8, kInt4 };

// What to load, onto which device, with how much room.
struct EngineOptions {
  std::filesystem::path model_path;    // a checkpoint folder
  std::filesystem::path model_base{};  // of an adapter or a projector alone, else empty
  Device device = Device::kAuto;
  Precision precision = Precision::kAuto;
  int threads = 0;  // 0: one for each core
  // Tokens of the longest prompt and its answer; at most what the model was made for.
  std::int64_t context_tokens = 8192;
  // Positions of all requests that run at a time and of what is kept for later prompts; as many
  // requests run as have room. 0: four times the context.
  std::int64_t cache_tokens = 0;
  std::int64_t max_waiting = 1024;  // requests that wait for their turn; more are refused
  std::function<void(double fraction)> on_progress{};            // while loading, in 0..1
  std::function<void(const std::string& message)> on_warning{};  // while loading
};

// One turn of a conversation. Its text is text: no name of a control token means anything in it.
struct Turn {
  enum class Role : std::uint8_t { kSystem, kUser, kAssistant };
  Role role = Role::kUser;
  std::string text;
  std::vector<Picture> images;  // before the text
  // predict.py's meaning of a prompt: where the text says "<image>", as often as there are images,
  // they stand there. For texts of who runs the program; in all others it is text.
  bool image_marks = false;
};

// How tokens are chosen; the meanings and their order of application are Hugging Face generate's:
// repetition penalty, temperature, top-k, top-p.
struct Sampling {
  double temperature = 0.2;         // 0: always the most likely token
  std::int64_t top_k = 50;          // 0: all tokens
  double top_p = 1.0;               // in (0, 1]
  double repetition_penalty = 1.0;  // 1: none
  std::int64_t num_beams = 1;       // above 1: beam search
  std::int64_t max_new_tokens = 256;
  std::optional<std::uint64_t> seed{};  // absent: a different one for each request

  // What is wrong with these settings, in one line; empty if nothing is.
  std::string problem() const;
};

// A view that is looked at again and again, such as a camera's: each request's answer helps the
// next request of the same view.
struct LiveView {
  std::uint64_t id = 0;  // the caller's choice; requests of one view come one after the other
  // The last answer is proposed as the next one, and several of its tokens are checked in one pass.
  // The answer stays what it would have been; it is tried only where that can be promised, which is
  // at temperature 0, without beams.
  bool draft = true;
  // An image whose thumbnail differs by less than this (mean difference of a value, in 0..255) from
  // the last described one is not looked at: the last answer to the same prompt is given. 0: never.
  double unchanged_below = 0;
};

// What an answer took.
struct Statistics {                // times in seconds
  double preprocess_s = 0;         // decoding and resizing of pictures, before submission
  double encode_s = 0;             // image encoder and projector
  double prefill_s = 0;            // decoder over the prompt
  double ttft_s = 0;               // submission to first token
  double decode_s = 0;             // first token to last
  double total_s = 0;              // submission to end
  std::int64_t prompt_tokens = 0;  // image positions included
  std::int64_t cached_tokens = 0;  // of these, taken from earlier requests
  std::int64_t new_tokens = 0;
  std::int64_t drafted_tokens = 0;   // proposed by a live view's last answer and checked
  std::int64_t accepted_tokens = 0;  // of these, found right

  double tokens_per_second() const {
    return decode_s > 0 ? static_cast<double>(new_tokens - 1) / decode_s : 0;
  }
};

// How an answer ended: by itself, at max_new_tokens or the context's end, by cancel(), by an error.
enum class Outcome : std::uint8_t { kStop, kLength, kCancelled, kFailed };

// An answer, or as much of it as there is.
struct Result {
  Outcome outcome = Outcome::kStop;
  std::string text;
  std::string error;  // of kFailed
  std::vector<std::int32_t> tokens{};
  bool unchanged = false;  // the last answer of a live view, given again
  Statistics statistics;
};

// A conversation that ends with a turn of the user, and how to answer it.
struct Request {
  std::vector<Turn> conversation;
  Sampling sampling;
  std::optional<LiveView> live{};
  // Called on the engine's thread; they must not throw and should return at once.
  std::function<void(std::string_view text)> on_text{};  // whole UTF-8 characters, as they are made
  std::function<void(const Result& result)> on_done{};   // exactly once, last
};

using RequestId = std::uint64_t;

// A loaded model and the device that it runs on.
struct EngineInfo {
  std::string model;      // folder name
  std::string device;     // e.g. "cpu (AVX3_DL, 2 threads)"
  std::string precision;  // e.g. "bf16"
  int threads = 0;
  std::int64_t image_size = 0;  // pixels a side
  std::int64_t image_tokens = 0;
  std::int64_t context_tokens = 0;
  std::int64_t cache_tokens = 0;
  std::int64_t weight_bytes = 0;
  std::int64_t scratch_bytes = 0;
  double load_s = 0;
};

// What the engine has to do at a moment, and what it has done since it was loaded.
struct EngineCounters {
  std::int64_t waiting = 0;      // requests that have not begun
  std::int64_t running = 0;      // requests that have
  std::int64_t cache_pages = 0;  // of the KV cache, in all
  std::int64_t free_pages = 0;   // neither used by requests nor kept for later ones
  double turn_s = 0;             // how long the work that is under way has taken; 0: none is
  Histogram encoder_batches{kBatchBounds};  // images in each pass of the encoder
  Histogram prefill_batches{kBatchBounds};  // prompts in each pass over prompts
  Histogram decode_batches{kBatchBounds};   // positions in each decode step

  static constexpr std::initializer_list<double> kBatchBounds = {1, 2, 4, 8, 16, 32, 64};
};

// Thrown by submit() when max_waiting requests wait already.
class Busy : public Error {
 public:
  using Error::Error;
};

// A loaded model. All of it may be called from several threads.
class Engine {
 public:
  // Loads a checkpoint, which takes seconds. Throws Error if files or settings are wrong.
  static std::unique_ptr<Engine> load(const EngineOptions& options);

  // Cancels what is running and waits for it.
  virtual ~Engine() = default;

  // Reads a picture to its end and makes it what the model sees. Throws Error as the reader does.
  // Safe from any thread; it runs on the caller's.
  virtual Picture prepare(ImageReader& reader) = 0;

  // Queues a request. Throws Error on this thread if it cannot be served: settings out of range,
  // no user turn, a prompt longer than the context; Busy if too many wait. Safe from any thread.
  virtual RequestId submit(Request request) = 0;
  // Ends a request soon with kCancelled; does nothing if it has ended. Safe from any thread.
  virtual void cancel(RequestId id) = 0;
  // Forgets a live view's last answer. Safe from any thread.
  virtual void end_live(std::uint64_t view) = 0;
  // Of this moment. Safe from any thread.
  virtual EngineCounters counters() const = 0;
  // What was loaded, and where.
  virtual const EngineInfo& info() const = 0;

  // Submits and waits for the end. Throws Error as submit() does; what goes wrong later is the
  // result's.
  Result run(Request request);
};

}  // namespace fvlm
