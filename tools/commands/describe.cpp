// fastvlm describe: one prompt about one or more pictures, answered once. The flags are those of
// FastVLM's predict.py, so that its users need to learn nothing.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "tools/commands/answer.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/grammar_options.hpp"
#include "tools/commands/images.hpp"
#include "tools/commands/options.hpp"
#include "tools/commands/report.hpp"
#include "tools/commands/terminal.hpp"

namespace fvlm {
namespace {

struct DescribeOptions {
  EngineOptions engine;
  Sampling sampling;
  std::vector<std::string> stop;
  std::vector<std::string> image_files;
  ImageOptions pictures;
  GrammarOptions grammar;
  std::string prompt = "Describe the image.";
  bool stats = false;
  bool json = false;
};

// What can be wrong is looked at from the quickest to the slowest: flags, pictures' headers,
// checkpoint, pictures.
int describe(const DescribeOptions& options) {
  check_sampling(options.sampling);
  std::optional<Grammar> grammar = compile_grammar(options.grammar);
  const auto pictures = open_pictures(options.image_files, options.pictures);
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  Request request;
  request.conversation.push_back(user_turn(options.prompt, prepare(*engine, pictures)));
  request.sampling = options.sampling;
  request.grammar = std::move(grammar);
  const Reply answer =
      ask(*engine, std::move(request), options.stop, options.json ? Show::kNothing : Show::kText);
  if (options.json) {
    const auto replace = nlohmann::json::error_handler_t::replace;  // folder names may be any bytes
    write_output(answer_json(engine->info(), answer.result).dump(-1, ' ', false, replace) + "\n");
  }
  if (options.stats) {
    print_error_text(statistics_table(engine->info(), answer.result.statistics));
  }
  return answer.signal == 0 ? kExitSuccess : kExitSignal + answer.signal;
}

}  // namespace

Command add_describe(CLI::App& program) {
  CLI::App* parser = program.add_subcommand("describe", "Describe a picture, or ask about it");
  const auto options = std::make_shared<DescribeOptions>();
  add_image_flag(*parser, options->image_files)->required()->option_text("FILE (required)");
  parser->add_option("--prompt", options->prompt, "What to ask [Describe the image.]")
      ->option_text("TEXT");
  add_model_flags(*parser, options->engine);
  add_sampling_flags(*parser, options->sampling);
  add_stop_flag(*parser, options->stop);
  add_picture_flags(*parser, options->pictures);
  add_grammar_flags(*parser, options->grammar);
  parser->add_flag("--stats", options->stats, "Print times and memory to standard error");
  parser->add_flag("--json", options->json, "Print one JSON object with text, tokens and times");
  return {parser, [options] { return describe(*options); }};
}

}  // namespace fvlm
