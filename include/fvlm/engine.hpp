// The engine: a model that is loaded once and serves concurrent requests. Servers and programs need
// no other header but image.hpp; no tensors are shown. Times are in seconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fvlm/core/histogram.hpp"
#include "fvlm/error.hpp"
#include "fvlm/grammar.hpp"
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
  std::filesystem::path model_base{};  // the base checkpoint, if model_path holds only an adapter
                                       // (LoRA) or a projector
  Device device = Device::kAuto;
  // Which CUDA device, of those that CUDA_VISIBLE_DEVICES shows; kAuto takes the first. It becomes
  // the current one of each thread that loads the engine or prepares images for it.
  int device_index = 0;
  // Whether kernels are chosen by measuring on the CUDA device while loading, in at most a second;
  // the choice is remembered in the user's cache folder. Answers do not depend on it.
  bool tuning = true;
  Precision precision = Precision::kAuto;
  int threads = 0;  // of the CPU backend; 0: one for each processor that the process may use
  std::int64_t context_tokens = 8192;  // prompt + answer, in tokens; at most the model's context
  // Capacity of the KV cache in tokens, in whole pages of 64, for running requests and the prefix
  // cache; it limits how many requests run at a time. 0: four times the context.
  std::int64_t cache_tokens = 0;
  // Memory for the embeddings of recent images, which are not encoded again when a request shows
  // them again; 0: none are kept.
  std::size_t image_cache_bytes = 0;
  std::int64_t max_waiting = 1024;  // length of the request queue; more are refused
  std::function<void(double fraction)> on_progress{};            // while loading, in 0..1
  std::function<void(const std::string& message)> on_warning{};  // while loading
};

// One turn of a conversation. Its text is plain text: names of special tokens in it have no effect.
struct Turn {
  enum class Role : std::uint8_t { kSystem, kUser, kAssistant };
  Role role = Role::kUser;
  std::string text;
  std::vector<PreparedImage> images;
  // Where in the text the images stand, as offsets in bytes: one for each image, none smaller than
  // the one before. Empty: they precede the text, each on a line of its own, as the model was
  // trained.
  std::vector<std::size_t> image_places{};
};

// A number that is added to a token's logit before its penalties: generate()'s sequence_bias for
// one token, the API's logit_bias.
struct TokenBias {
  std::int32_t token = 0;
  double bias = 0;  // -100..100
};

// Sampling settings; their meanings and order of application are those of Hugging Face generate:
// logit_bias, repetition penalty, temperature, top-k, top-p, min-p. The frequency and presence
// penalties, which generate() does not have, follow the repetition penalty, as in vLLM. Penalties
// apply to tokens of the answer, not to the prompt's.
struct Sampling {
  double temperature = 0.2;         // 0: greedy
  std::int64_t top_k = 50;          // 0: all tokens
  double top_p = 1.0;               // in (0, 1]
  double min_p = 0;                 // in [0, 1]: least probability, as a fraction of the largest
  double repetition_penalty = 1.0;  // divides positive logits and multiplies negative ones; 1: none
  double frequency_penalty = 0;     // -2..2: subtracted for each time that the answer has the token
  double presence_penalty = 0;      // -2..2: subtracted once if the answer has it
  std::vector<TokenBias> logit_bias{};  // biases of one token add up
  std::int64_t num_beams = 1;           // above 1: beam search
  std::int64_t max_new_tokens = 256;
  std::optional<std::uint64_t> seed{};  // absent: a different one for each request
  // Log probabilities of each token of the answer, and of so many of the likeliest, 0 to
  // kMostLogprobs; absent: none. Not with beam search.
  std::optional<std::int64_t> logprobs{};

  static constexpr std::int64_t kMostLogprobs = 20;

  // What is wrong with these settings, in one line; empty if nothing is.
  std::string problem() const;
};

// A stream of similar images, such as a camera's frames: each request's answer speeds up the next
// request of the same view.
struct LiveView {
  std::uint64_t id = 0;  // chosen by the caller; requests of one view run one after the other
  // Speculative decoding: the view's last answer to the same prompt is the draft of the next one,
  // and several of its tokens are verified in one decode step. A draft token is accepted if it is
  // the token that would be sampled, so the answer is the same. Not used for beam search.
  bool draft = true;
  // If the view's last answer was to the same prompt with one image, whose thumbnail differs from
  // the new one's by less than this (mean absolute difference, in 0..255), that answer is repeated
  // and nothing is computed. 0: never.
  double unchanged_below = 0;
};

// What an answer took: wall-clock times in seconds. A forward pass that several requests share
// counts in full for each of them.
struct Statistics {
  double preprocess_s = 0;           // decoding and resizing of images, before submission
  double queue_s = 0;                // from submission to the first work on it
  double encode_s = 0;               // image encoder and projector
  double prefill_s = 0;              // prefill: the decoder over the prompt
  double ttft_s = 0;                 // time to first token, from submission
  double decode_s = 0;               // from the first token to the end
  double total_s = 0;                // from submission to the end
  std::int64_t prompt_tokens = 0;    // image positions included
  std::int64_t cached_tokens = 0;    // of these, from the prefix cache
  std::int64_t encoded_images = 0;   // by the encoder; others' embeddings or prefixes were cached
  std::int64_t new_tokens = 0;       // sampled, the end-of-sequence token included
  std::int64_t drafted_tokens = 0;   // verified by speculative decoding
  std::int64_t accepted_tokens = 0;  // of these, accepted

  // Tokens per second of decoding, without the first one; 0 if there are no more.
  double tokens_per_second() const {
    return new_tokens > 1 && decode_s > 0 ? static_cast<double>(new_tokens - 1) / decode_s : 0;
  }
};

// A token that the model might have said, and its log probability: the log softmax of the model's
// logits as they are, before temperature, penalties and filters.
struct TokenLogprob {
  std::int32_t token = 0;
  std::string text{};    // bytes, often not whole characters; of a control token its name
  bool control = false;  // such as the end of a turn, which no text shows
  double logprob = 0;
};

// Of one token of an answer.
struct TokenLogprobs {
  TokenLogprob chosen{};
  std::vector<TokenLogprob> top{};  // the likeliest first, of equal ones the lower id
  std::size_t begin = 0;            // where its text begins in the answer's, in bytes
};

// How an answer ended: by itself, at max_new_tokens or the context's end, by cancel(), by an error.
enum class Outcome : std::uint8_t { kStop, kLength, kCancelled, kFailed };

// An answer, or as much of it as there is.
struct Result {
  Outcome outcome = Outcome::kStop;
  std::string text;
  std::string error;                      // if kFailed
  std::vector<std::int32_t> tokens{};     // of the text, without the end-of-sequence token
  std::vector<TokenLogprobs> logprobs{};  // of each of these, if Sampling::logprobs asks for them
  bool unchanged = false;                 // the last answer of a live view, repeated
  Statistics statistics;
};

// A prompt that the decoder continues as it is, without a chat template: ids, or a text, in which
// names of special tokens stand for these: whoever sends it writes all of the prompt.
using RawPrompt = std::variant<std::string, std::vector<std::int32_t>>;

// A conversation, and how to answer it. A last turn of the assistant is continued: the answer is
// what follows its text, with the white space between them.
struct Request {
  std::vector<Turn> conversation;
  Sampling sampling;
  std::optional<RawPrompt> raw{};  // in place of a conversation
  // What the answer follows: tokens are sampled among those with which it still can. It ends by
  // itself only where it is in the grammar.
  std::optional<Grammar> grammar{};
  std::optional<LiveView> live{};
  // Called on the engine's thread: they must not throw, and all requests wait until they return.
  // They may submit() and cancel(), but neither run() nor destroy the engine, which would deadlock.
  std::function<void(std::string_view text)> on_text{};  // whole UTF-8 characters, streamed
  // For each token, before on_text has what is complete with it; if Sampling::logprobs asks for it.
  std::function<void(const TokenLogprobs& token)> on_logprobs{};
  std::function<void(const Result& result)> on_done{};  // exactly once, last
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
  std::int64_t vocabulary = 0;  // ids of tokens that can be sampled are below
  std::int64_t cache_tokens = 0;
  std::int64_t parameters = 0;  // of the whole model
  std::int64_t weight_bytes = 0;
  std::int64_t scratch_bytes = 0;
  double load_s = 0;
};

// The engine's load at a moment, and what it has done since it was loaded.
struct EngineCounters {
  std::int64_t waiting = 0;                 // queued requests
  std::int64_t running = 0;                 // running requests
  std::int64_t cache_pages = 0;             // of the KV cache, in all
  std::int64_t free_pages = 0;              // neither used by requests nor by the prefix cache
  double step_s = 0;                        // age of the current step of the engine; 0: idle
  std::int64_t reused_images = 0;           // whose embeddings were kept, or made for another
  Histogram encoder_batches{kBatchBounds};  // images per encoder pass
  Histogram prefill_batches{kBatchBounds};  // prompts per prefill pass
  Histogram decode_batches{kBatchBounds};   // rows per decode pass, draft tokens included

  static constexpr std::initializer_list<double> kBatchBounds = {1, 2, 4, 8, 16, 32, 64};
};

// Thrown by submit() when max_waiting requests are queued.
class Busy : public Error {
 public:
  using Error::Error;
};

// Thrown by submit() when a prompt is longer than the context.
class PromptTooLong : public Error {
 public:
  using Error::Error;
};

// A loaded model. Its functions may be called from any thread.
class Engine {
 public:
  // Loads a checkpoint, which takes seconds. Throws Error if files or settings are wrong, or the
  // device is missing or has too little memory.
  static std::unique_ptr<Engine> load(const EngineOptions& options);

  // Cancels running requests and waits for their end.
  virtual ~Engine() = default;

  // Decodes and preprocesses an image on the caller's thread. Throws Error as the reader does.
  virtual PreparedImage prepare(ImageReader& reader) = 0;

  // Queues a request. Throws Error if it cannot be served: settings out of range, a bias for a
  // token that the model does not have, no turn of the user, images in another's turn or other than
  // their places, a raw prompt that is empty, beside a conversation, or of ids without a token, an
  // image that no engine with this image size has prepared, a prompt longer than the cache;
  // PromptTooLong if it is longer than the context; Busy if the queue is full.
  virtual RequestId submit(Request request) = 0;
  // Ends a request with kCancelled: no forward pass after the current one computes for it, and
  // on_done follows within the next step. Does nothing if it has ended.
  virtual void cancel(RequestId id) = 0;
  // Forgets a live view: its last answer, as draft and as the answer to unchanged images.
  virtual void end_live(std::uint64_t view) = 0;
  virtual EngineCounters counters() const = 0;
  // What was loaded, and where.
  virtual const EngineInfo& info() const = 0;

  // Submits and waits for the end; callbacks are called as well. Throws Error as submit() does;
  // later failures are in the result.
  Result run(Request request);
};

}  // namespace fvlm
