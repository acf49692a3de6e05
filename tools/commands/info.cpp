// fastvlm info: the tree of modules with the shapes a checkpoint stores, and what the model costs
// in memory and FLOPs. Both come from the model's own description: nothing is loaded.
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/command_line/flag_checks.hpp"
#include "runtime/engine/load_runner.hpp"
#include "runtime/engine/model_work.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

struct InfoOptions {
  std::filesystem::path folder;
  std::filesystem::path base;
  int depth = -1;
};

// A module or a tensor. Children are in the order in which the model names them.
struct Node {
  std::string name;
  std::string shape;  // of a tensor, e.g. "[96, 3, 3, 3] BF16"
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;
  std::vector<Node> children;

  // Equal for modules of the same structure, whatever their numbers.
  std::string signature() const {
    std::string text = shape;
    for (const Node& child : children) text += "(" + child.name + child.signature() + ")";
    return text;
  }
};

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

struct Size {
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;
};

class TreeBuilder : public Visitor<TreeBuilder> {
 public:
  explicit TreeBuilder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  template <class P>
  void leaf(const std::string& path, const P& parameter) {
    for (const StoredTensor& stored : checkpoint_.stored(path, parameter.spec)) {
      const TensorView& tensor = checkpoint_.require(stored);
      names.push_back(stored.name);
      const std::string format = stored.quantised ? name_of(*stored.quantised)
                                 : stored.role == Role::kScales
                                     ? scaled_
                                     : std::string(name_of(tensor.dtype));
      scaled_ = format;  // the scales of a matrix follow it
      formats[format].parameters += stored.parameters();
      formats[format].bytes += static_cast<std::int64_t>(tensor.data.size());
      add(stored.name, describe(stored, tensor), stored.parameters(),
          static_cast<std::int64_t>(tensor.data.size()));
    }
  }

  Node root{.name = "", .shape = "", .children = {}};
  std::vector<std::string> names;
  std::map<std::string, Size> formats;

 private:
  static std::string describe(const StoredTensor& stored, const TensorView& tensor) {
    if (stored.quantised) {
      return fmt::format("[{}, {}] {}", stored.shape[0], stored.in, name_of(*stored.quantised));
    }
    return fmt::format("[{}] {}", fmt::join(stored.shape, ", "), name_of(tensor.dtype));
  }

  void add(const std::string& path, const std::string& shape, std::int64_t parameters,
           std::int64_t bytes) {
    Node* node = &root;
    for (std::size_t from = 0; from <= path.size();) {
      const std::size_t dot = std::min(path.find('.', from), path.size());
      const std::string name = path.substr(from, dot - from);
      node->parameters += parameters;
      node->bytes += bytes;
      const auto same = std::find_if(node->children.begin(), node->children.end(),
                                     [&](const Node& child) { return child.name == name; });
      if (same == node->children.end()) {
        node->children.push_back({.name = name, .shape = "", .children = {}});
        node = &node->children.back();
      } else {
        node = &*same;
      }
      from = dot + 1;
    }
    node->shape = shape;
    node->parameters = parameters;
    node->bytes = bytes;
  }

  const Checkpoint& checkpoint_;
  std::string scaled_;
};

void print_line(const std::string& label, const std::string& shape, std::int64_t parameters,
                std::int64_t bytes) {
  fmt::print("{:<52}{:>12.3f} M {:>10.2f} MB{}{}\n", label, static_cast<double>(parameters) / 1e6,
             static_cast<double>(bytes) / 1e6, shape.empty() ? "" : "  ", shape);
}

// Of each format and of all, with scales.
void print_formats(const std::map<std::string, Size>& formats) {
  Size all;
  fmt::print("\nBits of a weight:");
  const auto bits = [](const Size& size) {
    return 8 * static_cast<double>(size.bytes) / static_cast<double>(size.parameters);
  };
  for (const auto& [name, size] : formats) {
    fmt::print(" {} {:.2f} ({:.1f} M weights),", name, bits(size),
               static_cast<double>(size.parameters) / 1e6);
    all.parameters += size.parameters;
    all.bytes += size.bytes;
  }
  fmt::print(" on average {:.2f}\n", bits(all));
}

void print_children(const Node& node, int depth, int indent);

// A node and what is below; an only child goes on the same line as its parent.
void print_node(const Node& node, const std::string& name, std::int64_t times, int depth,
                int indent) {
  const Node* last = &node;
  std::string label = std::string(static_cast<std::size_t>(2 * indent), ' ') + name;
  while (last->children.size() == 1) {
    last = &last->children.front();
    label += "." + last->name;
  }
  print_line(label, last->shape, node.parameters * times, node.bytes * times);
  print_children(*last, depth - 1, indent + 1);
}

// Numbered modules of the same structure that follow each other are shown once.
void print_children(const Node& node, int depth, int indent) {
  if (depth == 0) return;
  for (std::size_t i = 0; i < node.children.size();) {
    const Node& child = node.children[i];
    std::size_t end = i + 1;
    const std::string signature = child.signature();
    while (is_number(child.name) && end < node.children.size() &&
           is_number(node.children[end].name) && node.children[end].signature() == signature) {
      ++end;
    }
    const std::string name = end == i + 1 ? child.name
                                          : fmt::format("{}..{} ({} alike)", child.name,
                                                        node.children[end - 1].name, end - i);
    print_node(child, name, static_cast<std::int64_t>(end - i), depth, indent);
    i = end;
  }
}

// FLOPs and memory traffic of a typical request, from the backend without data.
void print_work(const Checkpoint& checkpoint) {
  const FastVlmConfig& config = checkpoint.config();
  const FormatChoice formats = format_choice(Precision::kAuto);
  constexpr std::int64_t kPrompt = 24;
  const std::int64_t rows = config.vision.tokens() + kPrompt;
  const ModelWork costs = model_work(checkpoint, rows, formats);
  const auto print = [](const std::string& name, const Operation& work) {
    fmt::print("{:<34}{:>10.2f} GFLOP  {:>8.3f} GB of weights  {:>8.3f} GB of activations\n", name,
               work.flops / 1e9, work.weight_bytes / 1e9, work.activation_bytes / 1e9);
  };
  fmt::print("\nWork, with the decoder's weights in {} and activations in f32\n",
             token_formats(checkpoint, formats));
  print(
      fmt::format("image {0}x{0} -> {1} tokens", config.vision.image_size, config.vision.tokens()),
      costs.encoder);
  print(fmt::format("prefill of {} tokens", rows), costs.prefill);
  print(fmt::format("decode step at {}", rows), costs.decode);
  const BackendChoice choice = backend_choice({.model_path = {}, .device = Device::kCpu}, config);
  const ModelMemory memory = plan_memory(checkpoint, choice);
  fmt::print("\nMemory: {:.1f} MB of scratch, {:.1f} KB of KV cache a token (f32)\n",
             static_cast<double>(memory.scratch) / 1e6,
             static_cast<double>(memory.cache) / static_cast<double>(choice.cache_tokens) / 1e3);
}

std::string description(const Preprocessing& picture) {
  const char* const filter =
      picture.filter == Preprocessing::Filter::kBicubic ? "bicubic" : "bilinear";
  if (picture.shape == Preprocessing::Shape::kPad) {
    return fmt::format("padded to a black square, {}", filter);
  }
  return fmt::format("shorter side resized to {}, {}, centre cut out", picture.shorter_side,
                     filter);
}

int info(const InfoOptions& options) {
  const Stopwatch reading;
  const Checkpoint checkpoint = Checkpoint::open(options.folder, options.base, print_warning);
  print_detail(fmt::format("read the headers of {} tensors in {} in {:.2f} s",
                           checkpoint.tensors().size(), options.folder.string(),
                           reading.seconds()));
  const FastVlmConfig& config = checkpoint.config();
  FastVlm<Plan> model(config);
  TreeBuilder tree(checkpoint);
  model.visit(tree);
  fmt::print(
      "{}: {} layout, image {}, hidden {}, {} layers, {} heads, {} kv heads, vocabulary {}\n",
      config.name, config.layout == TensorLayout::kLlava ? "LLaVA" : "Hugging Face",
      config.vision.image_size, config.text.hidden_size, config.text.layers, config.text.heads,
      config.text.kv_heads, config.text.vocab_size);
  fmt::print("Pictures: {}\n\n", description(config.preprocessing));
  print_children(tree.root, options.depth, 0);
  print_line("total", "", tree.root.parameters, tree.root.bytes);
  print_formats(tree.formats);
  const auto unused = checkpoint.tensors_besides(tree.names);
  if (!unused.empty()) {
    fmt::print("\nNot used by the model: {} tensors", unused.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(unused.size(), 5); ++i)
      fmt::print("{} {}", i == 0 ? ":" : ",", unused[i]->name);
    fmt::print("{}\n", unused.size() > 5 ? ", ..." : "");
  }
  print_work(checkpoint);
  return kExitSuccess;
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("info", "Show a checkpoint's modules, memory and FLOPs");
  const auto options = std::make_shared<InfoOptions>();
  parser->add_option("--model-path", options->folder, "A checkpoint folder")
      ->required()
      ->option_text("DIR (required)");
  add_base_flag(*parser, options->base);
  parser->add_option("--depth", options->depth, "Levels of the tree to show [all]")
      ->check(above_zero<std::int64_t>())
      ->option_text("N");
  return {parser, [options] { return info(*options); }};
}

}  // namespace fvlm
