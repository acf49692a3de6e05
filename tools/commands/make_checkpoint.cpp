// fastvlm make-checkpoint: random weights in the released layout and real sizes.
#include <fmt/ranges.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "net/command_line/flag_checks.hpp"
#include "runtime/checkpoint/random_checkpoint.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/describe/written.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {

Command add_make_checkpoint(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("make-checkpoint", "Write a checkpoint of random weights");
  const auto options = std::make_shared<RandomCheckpointOptions>();
  parser->add_option("--size", options->size, fmt::format("{}", fmt::join(model_sizes(), ", ")))
      ->required()
      ->check(one_of(model_sizes()))
      ->option_text("SIZE (required)");
  parser->add_option("--seed", options->seed, "Seed of the weights [0]")
      ->check(in_range<std::int64_t>(0, std::numeric_limits<std::int64_t>::max()))
      ->option_text("N");
  parser->add_option("--output", options->output, "The folder to write")
      ->required()
      ->option_text("DIR (required)");
  add_force_flag(*parser, options->force);
  parser
      ->add_option("--tokenizer", options->tokenizer,
                   "Folder with the vocab.json and merges.txt to use; without it tokens are bytes")
      ->option_text("DIR");
  return {parser, [options] {
            ProgressLine progress("fastvlm: writing " + options->output.string());
            options->on_progress = [&progress](double fraction) { progress.update(fraction); };
            const Writing writing(options->output);
            write_random_checkpoint(*options);
            writing.print_done();
            return kExitSuccess;
          }};
}

}  // namespace fvlm
