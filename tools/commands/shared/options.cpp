#include "tools/commands/shared/options.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

#include "fvlm/error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

// A flag whose value is one of a few names. The index of a name is the value of the enum.
template <class Enum>
void add_choice(CLI::App& parser, const std::string& flag, Enum& value,
                const std::vector<std::string>& names, const std::string& description) {
  const auto choose = [&value, names](const std::string& chosen) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == chosen) value = static_cast<Enum>(i);
    }
  };
  parser.add_option_function<std::string>(flag, choose, description)
      ->check(one_of(names))
      ->option_text(fmt::format("{}", fmt::join(names, "|")));
}

// --device NAME or, of CUDA devices, NAME:N.
void add_device_flag(CLI::App& parser, EngineOptions& options) {
  static const std::vector<std::string> names = {"auto", "cpu", "ref", "cuda",
#ifdef FVLM_HAS_EMULATOR
                                                 "cuda-emulated"
#endif
  };
  const auto name_of = [](const std::string& value) { return value.substr(0, value.find(':')); };
  const auto check = [name_of](const std::string& value) -> std::string {
    const std::string name = name_of(value);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return fmt::format("\"{}\" is none of {} and cuda:N", value, fmt::join(names, ", "));
    }
    if (name == value) return "";
    constexpr std::size_t kMostDigits = 4;
    const std::string index = value.substr(name.size() + 1);
    const bool is_number = !index.empty() && index.size() <= kMostDigits &&
                           index.find_first_not_of("0123456789") == std::string::npos;
    if (name.starts_with("cuda") && is_number) return "";
    return fmt::format("{}: only cuda takes a device's number, as in cuda:1", value);
  };
  const auto set = [&options, name_of](const std::string& value) {
    const std::string name = name_of(value);
    const auto found = std::find(names.begin(), names.end(), name);
    options.device = static_cast<Device>(found - names.begin());
    options.device_index = name == value ? 0 : std::stoi(value.substr(name.size() + 1));
  };
  parser
      .add_option_function<std::string>(
          "--device", set,
          "Backend; cuda:N is the CUDA device number N, cuda the first; ref is the slow reference "
          "[auto: the first GPU if there is one with enough memory, else cpu]")
      ->check(check)
      ->option_text(fmt::format("{}|cuda:N", fmt::join(names, "|")));
}

}  // namespace

void add_verbosity_flags(CLI::App& parser) {
  const auto add = [&parser](const char* flag, Verbosity chosen, const char* description) {
    const auto set = [chosen](std::int64_t given) {
      if (given > 0) set_verbosity(chosen);
    };
    return parser.add_flag_function(flag, set, description)->configurable(false)->option_text(" ");
  };
  CLI::Option* const quiet =
      add("--quiet", Verbosity::kQuiet, "Say nothing but results and errors");
  add("--verbose", Verbosity::kVerbose, "Also say what is loaded and chosen, and what it takes")
      ->excludes(quiet);
}

void add_base_flag(CLI::App& parser, std::filesystem::path& base) {
  const auto set_path = [&base](const std::string& path) { base = path; };
  parser
      .add_option_function<std::string>(
          "--model-base", set_path,
          "Base weights, if the checkpoint has only a LoRA adapter or a projector")
      ->option_text("DIR");
}

void add_force_flag(CLI::App& parser, bool& force) {
  parser.add_flag("--force", force, "Replace what is there, once the new one is whole");
}

void add_model_flags(CLI::App& parser, EngineOptions& options) {
  const auto set_path = [&options](const std::string& path) { options.model_path = path; };
  parser.add_option_function<std::string>("--model-path", set_path, "Folder of the checkpoint")
      ->required()
      ->option_text("DIR (required)");
  add_base_flag(parser, options.model_base);
  add_device_flag(parser, options);
  add_choice(parser, "--dtype", options.precision, {"auto", "f32", "bf16", "int8", "int4"},
             "Weight format of the decoder; int8 and int4 quantise while loading "
             "[auto: that of a quantised checkpoint, else bf16]");
  parser.add_flag(
      "--tuning,!--no-tuning", options.tuning,
      "Choose the tiles of GEMMs on a CUDA device by measuring, in a second of loading, "
      "and remember them in the cache folder; answers do not depend on it; --no-tuning: "
      "by rule [on]");
  parser
      .add_option("--threads", options.threads,
                  "CPU threads; 0: one for each processor that it may use [0]")
      ->check(in_range(0, 1024))
      ->option_text("N");
}

void add_sampling_flags(CLI::App& parser, Sampling& sampling) {
  parser
      .add_option("--temperature", sampling.temperature,
                  "Sampling temperature; 0: greedy decoding [0.2]")
      ->option_text("T");
  parser
      .add_option("--top_p,--top-p", sampling.top_p,
                  "Nucleus sampling: keep the likeliest tokens, up to probability P [1]")
      ->option_text("P");
  parser
      .add_option("--top_k,--top-k", sampling.top_k,
                  "Sample from the K likeliest tokens; 0: from all [50]")
      ->option_text("K");
  parser
      .add_option("--min_p,--min-p", sampling.min_p,
                  "Leave out tokens less likely than P times the likeliest [0]")
      ->option_text("P");
  parser
      .add_option("--repetition_penalty,--repetition-penalty", sampling.repetition_penalty,
                  "Above 1: tokens already in the answer become less likely [1]")
      ->option_text("R");
  parser
      .add_option("--frequency_penalty,--frequency-penalty", sampling.frequency_penalty,
                  "-2..2: lowers a token's logit for each time that the answer has it [0]")
      ->option_text("F");
  parser
      .add_option("--presence_penalty,--presence-penalty", sampling.presence_penalty,
                  "-2..2: lowers a token's logit once if the answer has it [0]")
      ->option_text("F");
  parser
      .add_option("--num_beams,--num-beams", sampling.num_beams,
                  "Above 1: beam search with N beams [1]")
      ->option_text("N");
  parser
      .add_option("--max_new_tokens,--max-new-tokens", sampling.max_new_tokens,
                  "Tokens of the answer, at most [256]")
      ->option_text("N");
  const auto set_seed = [&sampling](std::uint64_t seed) { sampling.seed = seed; };
  parser.add_option_function<std::uint64_t>("--seed", set_seed,
                                            "Seed of sampling [random]")
      ->check([](const std::string& value) -> std::string {  // CLI11 would wrap and saturate
        std::uint64_t seed = 0;
        const char* const end = value.data() + value.size();
        const auto [rest, error] = std::from_chars(value.data(), end, seed);
        if (error == std::errc() && rest == end) return {};
        return fmt::format("\"{}\" is not a whole number of 64 bits, 0 or more", value);
      })
      ->option_text("S");
  // Flags of predict.py must not fail here, so this one exists, with the one value that applies.
  parser
      .add_option_function<std::string>(
          "--conv-mode", [](const std::string&) {}, "Chat template [qwen_2]")
      ->check(one_of({"qwen_2"}))
      ->option_text("qwen_2");
}

void add_stop_flag(CLI::App& parser, std::vector<std::string>& stop) {
  parser.add_option("--stop", stop, "Text before which the answer ends; repeat for several")
      ->take_all()
      ->allow_extra_args(false)
      ->check([](const std::string& text) { return text.empty() ? "--stop needs a text" : ""; })
      ->option_text("TEXT");
}

CLI::Option* add_image_flag(CLI::App& parser, std::vector<std::string>& files) {
  return parser.add_option("--image-file", files, "Picture of one question; repeat for several")
      ->take_all()
      ->allow_extra_args(false)
      ->option_text("FILE");
}

void check_sampling(const Sampling& sampling) {
  const std::string problem = sampling.problem();
  if (!problem.empty()) throw Error(problem);
}

std::unique_ptr<Engine> load_engine(EngineOptions options) {
  ProgressLine progress(fmt::format("fastvlm: loading {}", options.model_path.string()));
  options.on_progress = [&progress](double fraction) { progress.update(fraction); };
  options.on_warning = print_warning;
  std::unique_ptr<Engine> engine = Engine::load(options);
  const EngineInfo& info = engine->info();
  print_detail(fmt::format(
      "loaded {} on {} in {:.2f} s: {}, {:.0f} MB of weights, {:.0f} MB of scratch memory, "
      "{} tokens in the KV cache, {} of context, pictures of {} x {} as {} tokens",
      options.model_path.string(), info.device, info.load_s, info.precision,
      static_cast<double>(info.weight_bytes) / 1e6, static_cast<double>(info.scratch_bytes) / 1e6,
      info.cache_tokens, info.context_tokens, info.image_size, info.image_size, info.image_tokens));
  return engine;
}

}  // namespace fvlm
