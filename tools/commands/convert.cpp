// fastvlm convert: quantises, merges and folds any checkpoint into one that needs no more of it.
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "runtime/convert/convert.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/describe/written.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

const std::map<std::string, WeightFormat::Type> kTypes = {{"f32", WeightFormat::Type::kF32},
                                                          {"f16", WeightFormat::Type::kF16},
                                                          {"bf16", WeightFormat::Type::kBF16},
                                                          {"int8", WeightFormat::Type::kInt8},
                                                          {"int4", WeightFormat::Type::kInt4}};

struct ConvertArguments {
  ConvertOptions convert;
  WeightFormat::Type type = WeightFormat::Type::kBF16;
  std::optional<WeightFormat::Type> vision_type;
  int group = WeightFormat::kDefaultGroup;
  bool verify = false;

  WeightFormat format(WeightFormat::Type of) const {
    const bool quantised = std::ranges::count(WeightFormat::kQuantised, of) > 0;
    return {of, quantised ? group : 0};
  }
};

// How far the first logits may be from the source's: what rounding the weights to as many bits
// costs where they are random, which is the worst.
double tolerance(const ConvertOptions& options) {
  const auto bits =
      std::min(options.format.bits(), options.vision_format.value_or(options.format).bits());
  return bits == 32 ? 1e-5 : bits == 16 ? 4e-2 : bits == 8 ? 8e-2 : 0.6;
}

int convert(ConvertArguments& options) {
  options.convert.format = options.format(options.type);
  if (options.vision_type) options.convert.vision_format = options.format(*options.vision_type);
  {
    ProgressLine progress("fastvlm: converting " + options.convert.input.string());
    options.convert.on_progress = [&](double fraction) { progress.update(fraction); };
    options.convert.on_warning = print_warning;
    const Writing writing(options.convert.output);
    convert_checkpoint(options.convert);
    writing.print_done();
  }
  if (options.verify) {
    const Comparison found =
        compare_checkpoints(options.convert.input, options.convert.base, options.convert.output);
    write_output(fmt::format("features {:.2e}, first logits {:.2e} from the source; tokens {}\n",
                             found.features, found.logits, found.same_tokens ? "equal" : "differ"));
    if (!(found.logits <= tolerance(options.convert))) {
      throw make_error("{}: its logits are {:.2e} from the source's, expected at most {:.0e}",
                       options.convert.output.string(), found.logits, tolerance(options.convert));
    }
  }
  return kExitSuccess;
}

}  // namespace

Command add_convert(CLI::App& program) {
  CLI::App* parser = program.add_subcommand(
      "convert", "Convert a checkpoint: quantise weights, merge adapters, fold norms");
  const auto options = std::make_shared<ConvertArguments>();
  parser->add_option("--input", options->convert.input, "A checkpoint folder of any layout")
      ->required()
      ->option_text("DIR (required)");
  parser->add_option("--output", options->convert.output, "The folder to write")
      ->required()
      ->option_text("DIR (required)");
  add_force_flag(*parser, options->convert.force);
  add_base_flag(*parser, options->convert.base);
  const auto add_type = [&](const std::string& flag, const std::vector<std::string>& names,
                            const std::string& description,
                            const std::function<void(WeightFormat::Type)>& set) {
    parser
        ->add_option_function<std::string>(
            flag, [set](const std::string& name) { set(kTypes.at(name)); }, description)
        ->check(one_of(names))
        ->option_text(fmt::format("{}", fmt::join(names, "|")));
  };
  add_type("--dtype", {"bf16", "f16", "f32", "int8", "int4"},
           "Format of the decoder's and projector's matrices [bf16]",
           [options](WeightFormat::Type type) { options->type = type; });
  add_type("--vision-dtype", {"bf16", "f16", "f32", "int8"},
           "Format of the image encoder's matrices [as --dtype; bf16 with int8 and int4]",
           [options](WeightFormat::Type type) { options->vision_type = type; });
  std::vector<std::string> groups;
  for (const auto group : WeightFormat::kGroups) groups.push_back(std::to_string(group));
  parser
      ->add_option("--group-size,--group", options->group,
                   "Weights that share a scale in int8 and int4: 32, 64 or 128 [64]")
      ->check(one_of(groups))
      ->option_text("N");
  parser->add_flag("--verify", options->verify,
                   "Load the result and compare what it computes with the source");
  return {parser, [options] { return convert(*options); }};
}

}  // namespace fvlm
