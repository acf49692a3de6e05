// fastvlm trace: the activations of a model's stages, in one safetensors file.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "net/command_line/flag_checks.hpp"
#include "runtime/checkpoint/safetensors_writer.hpp"
#include "runtime/engine/trace_run.hpp"
#include "runtime/support/new_files.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/describe/written.hpp"
#include "tools/commands/shared/images.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

struct TraceArguments {
  EngineOptions engine;
  std::string image_file;
  ImageOptions pictures;
  std::vector<std::int32_t> prompt_ids;
  std::int64_t max_new_tokens = 1;
  std::string output;
  bool force = false;
};

int trace(const TraceArguments& options) {
  require_new_file(options.output, options.force);
  const Writing writing(options.output);
  ProgressLine progress("fastvlm: tracing " + options.image_file);
  const Stopwatch computing;
  const auto tensors =
      trace_run({.model_path = options.engine.model_path,
                 .model_base = options.engine.model_base,
                 .prompt_ids = options.prompt_ids,
                 .max_new_tokens = options.max_new_tokens,
                 .device = options.engine.device,
                 .device_index = options.engine.device_index,
                 .precision = options.engine.precision,
                 .threads = options.engine.threads,
                 .on_loading =
                     [&progress](double fraction) {
                       progress.update(fraction / 2, fraction < 1 ? "loading" : "computing");
                     }},
                *open_picture(options.image_file, options.pictures).reader);
  print_detail(fmt::format("loaded {} and computed {} tensors of {} in {:.2f} s",
                           options.engine.model_path.string(), tensors.size(), options.image_file,
                           computing.seconds()));
  std::vector<TensorHeader> headers;
  for (const TracedTensor& t : tensors) headers.push_back({t.name, DType::kF32, t.shape});
  SafetensorsWriter writer(options.output, std::move(headers));
  for (const TracedTensor& t : tensors) writer.write(std::as_bytes(std::span(t.values)));
  writer.finish();
  writing.print_done();
  return kExitSuccess;
}

}  // namespace

Command add_trace(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("trace", "Write the activations of each stage to a file");
  const auto options = std::make_shared<TraceArguments>();
  add_model_flags(*parser, options->engine);
  add_picture_flags(*parser, options->pictures);
  parser->add_option("--image-file", options->image_file, "The picture")
      ->required()
      ->option_text("FILE (required)");
  parser->add_option("--prompt-ids", options->prompt_ids, "Token ids; -200 stands for the picture")
      ->required()
      ->delimiter(',')
      ->option_text("ID,ID,... (required)");
  parser
      ->add_option("--max_new_tokens,--max-new-tokens", options->max_new_tokens,
                   "Steps of greedy decoding [1]")
      ->check(above_zero<std::int64_t>())
      ->option_text("N");
  parser->add_option("--output", options->output, "The safetensors file to write")
      ->required()
      ->option_text("FILE (required)");
  add_force_flag(*parser, options->force);
  return {parser, [options] { return trace(*options); }};
}

}  // namespace fvlm
