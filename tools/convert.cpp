// fastvlm convert: any checkpoint to one that loads at once.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>

#include "fvlm/core/error.hpp"
#include "runtime/convert.hpp"
#include "tools/command.hpp"
#include "tools/terminal.hpp"

namespace fvlm {
namespace {

struct Options {
  ConvertOptions convert;
  bool verify = false;
};

const std::map<std::string, DType> kTypes = {
    {"f32", DType::kF32}, {"f16", DType::kF16}, {"bf16", DType::kBF16}};

// How far the first logits may be from the source's: what rounding the weights costs.
double tolerance(const ConvertOptions& options) {
  const bool exact =
      options.dtype == DType::kF32 && options.vision_dtype.value_or(DType::kF32) == DType::kF32;
  return exact ? 1e-5 : 4e-2;
}

int convert(Options& options) {
  {
    ProgressLine progress("fastvlm: converting " + options.convert.input.string());
    options.convert.on_progress = [&](double fraction) { progress.update(fraction); };
    options.convert.on_warning = [&](const std::string& message) {
      progress.erase();
      print_notice("warning: " + message);
    };
    convert_checkpoint(options.convert);
  }
  if (options.verify) {
    const Comparison found =
        compare_checkpoints(options.convert.input, options.convert.base, options.convert.output);
    write_output(fmt::format("features {:.2e}, first logits {:.2e} from the source; tokens {}\n",
                             found.features, found.logits, found.same_tokens ? "equal" : "differ"));
    if (!(found.logits <= tolerance(options.convert))) {
      throw Error("{}: its logits are {:.2e} from the source's, expected at most {:.0e}",
                  options.convert.output.string(), found.logits, tolerance(options.convert));
    }
  }
  return kExitSuccess;
}

}  // namespace

Command add_convert(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("convert", "Rewrite a checkpoint so that it loads at once");
  const auto options = std::make_shared<Options>();
  parser->add_option("--input", options->convert.input, "A checkpoint folder of any layout")
      ->required()
      ->option_text("DIR (required)");
  parser->add_option("--output", options->convert.output, "The folder to write")
      ->required()
      ->option_text("DIR (required)");
  parser
      ->add_option("--model-base", options->convert.base,
                   "The whole weights, if the input is an adapter or a projector alone")
      ->option_text("DIR");
  const auto add_type = [&](const std::string& flag, const std::string& description,
                            const std::function<void(DType)>& set) {
    parser
        ->add_option_function<std::string>(
            flag, [set](const std::string& name) { set(kTypes.at(name)); }, description)
        ->check(CLI::IsMember({"bf16", "f16", "f32"}))
        ->option_text("bf16|f16|f32");
  };
  add_type("--dtype", "Number format of the matrices [bf16]",
           [options](DType type) { options->convert.dtype = type; });
  add_type("--vision-dtype", "The same for the image encoder [as --dtype]",
           [options](DType type) { options->convert.vision_dtype = type; });
  parser->add_flag("--verify", options->verify,
                   "Load the result and compare what it computes with the source");
  return {parser, [options] { return convert(*options); }};
}

}  // namespace fvlm
