// fastvlm describe: a prompt about pictures: either once about all of them, with the flags of
// FastVLM's predict.py, so that its users need to learn nothing, or about each on its own.
#include "tools/commands/describe/describe.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/answer.hpp"
#include "tools/commands/shared/inputs.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/report.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

// One question about all pictures, whose answer is shown as it is made. `file`: what JSON calls the
// picture, if it was named alone.
int describe_once(const DescribeOptions& options, const Question& question,
                  const std::vector<OpenImage>& pictures, const std::string& file) {
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  const Reply answer = ask(*engine, make_request(options, question, prepare(*engine, pictures)),
                           options.stop, options.json ? Show::kNothing : Show::kText);
  if (options.json) write_output(json_line(answer_json(engine->info(), answer.result, file)));
  const Statistics& statistics = answer.result.statistics;
  print_detail(timing_line(statistics));
  if (options.stats) print_error_text(statistics_table(engine->info(), statistics));
  return answer.signal == 0 ? kExitSuccess : kExitSignal + answer.signal;
}

// What can be wrong is looked at from the quickest to the slowest: flags, pictures' headers,
// checkpoint, pictures.
int describe(const DescribeOptions& options) {
  check_sampling(options.sampling);
  const Question question{read_prompt(options.prompt), compile_grammar(options.grammar)};
  if (options.force && options.output_dir.empty()) {
    throw Error("--force is for answers in --output-dir DIR, which is not given");
  }
  if (options.inputs.empty()) {
    if (!options.output_dir.empty()) {
      throw Error(
          "--output-dir is for pictures named without --image-file, as in fastvlm describe "
          "--model-path DIR --output-dir OUT photos/");
    }
    if (options.image_files.empty()) {
      throw Error(
          "there is no picture: name one, as in fastvlm describe --model-path DIR "
          "photo.jpg, or use --image-file; run fastvlm describe --help");
    }
    return describe_once(options, question, open_pictures(options.image_files, options.pictures),
                         "");
  }
  if (options.output_dir.empty() && names_one_picture(options.inputs)) {
    const std::string& file = options.inputs.front();
    std::vector<OpenImage> pictures;
    pictures.push_back(file == kStandardInput ? open_standard_input(options.pictures)
                                              : open_picture(file, options.pictures));
    return describe_once(options, question, pictures, file);
  }
  return describe_each(options, question);
}

}  // namespace

Request make_request(const DescribeOptions& options, const Question& question,
                     std::vector<PreparedImage> pictures) {
  Request request =
      make_request(options.prompt.system, question.prompt, std::move(pictures), options.sampling);
  request.grammar = question.grammar;
  return request;
}

Command add_describe(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("describe", "Describe pictures, or ask about each of them");
  parser->alias("caption");
  const auto options = std::make_shared<DescribeOptions>();
  CLI::Option* const inputs =
      parser->add_option("PICTURE", options->inputs, "Pictures to ask about, one question for each")
          ->option_text("...");
  add_image_flag(*parser, options->image_files)->excludes(inputs);
  add_prompt_flags(*parser, options->prompt);
  parser
      ->add_option("--output-dir", options->output_dir,
                   "Write each answer to NAME.txt, or NAME.json with --json, in this folder, with "
                   "the folders below those that are named; what is there already is left out, "
                   "unless it is an answer to another prompt or by another model")
      ->option_text("DIR");
  parser->add_flag("--force", options->force,
                   "With --output-dir: ask again about pictures that have an answer there");
  add_model_flags(*parser, options->engine);
  add_sampling_flags(*parser, options->sampling);
  add_stop_flag(*parser, options->stop);
  add_picture_flags(*parser, options->pictures);
  add_grammar_flags(*parser, options->grammar);
  parser->add_flag("--stats", options->stats, "Print times and memory to standard error");
  parser->add_flag("--json", options->json,
                   "Print one JSON object with text, tokens and times, a line for each question");
  parser->footer(
      "A PICTURE is a file; a folder, in which and below which files count that end in\n" +
      listed_endings() +
      ";\n"
      "a quoted pattern with * ? [...] or {a,b}; or - for standard input. Answers come in the\n"
      "order of the pictures, as NAME: TEXT if there are several. A picture that cannot be read\n"
      "is reported, the others are described, and the exit code is 1.\n\n"
      "Examples:\n"
      "  fastvlm describe --model-path DIR photo.jpg\n"
      "  fastvlm describe --model-path DIR a.jpg b.jpg photos/ 'scans/*.png'\n"
      "  fastvlm describe --model-path DIR --output-dir captions photos/\n"
      "  fastvlm describe --model-path DIR --image-file a.jpg --image-file b.jpg "
      "--prompt 'What is different?'\n"
      "  curl -s URL | fastvlm describe --model-path DIR -\n");
  return {parser, [options] { return describe(*options); }};
}

}  // namespace fvlm
