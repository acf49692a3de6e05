#include "bench/gpu_check/plain_checkpoint.hpp"

#include <cstddef>
#include <fstream>
#include <sstream>

#include "fvlm/core/convert.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

DType dtype_of(const std::string& name) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (name == name_of(type)) return type;
  }
  throw make_error("a tensor of type {}, which is not expected here", name);
}

}  // namespace

PlainFile::PlainFile(const std::filesystem::path& file) : file_(file) {
  std::ifstream index(file.string() + ".index");
  if (!index) throw make_error("{}.index: cannot be read; plain_index.py makes it", file.string());
  std::size_t data = 0;  // the header's length, in 8 bytes, and the header
  for (int i = 7; i >= 0; --i)
    data = data << 8 | static_cast<std::size_t>(file_.bytes()[static_cast<std::size_t>(i)]);
  data += 8;
  for (std::string line; std::getline(index, line);) {
    std::istringstream words(line);
    std::string what;
    std::string name;
    words >> what >> name;
    if (what == "config") {
      std::vector<double> values;
      for (double value; words >> value;) values.push_back(value);
      read_config(name, values);
      continue;
    }
    std::string type;
    std::size_t begin = 0;
    std::size_t end = 0;
    words >> type >> begin >> end;
    TensorView view{.name = name,
                    .dtype = dtype_of(type),
                    .shape = {},
                    .data = file_.bytes().subspan(data + begin, end - begin),
                    .file = file.string()};
    for (std::int64_t size; words >> size;) view.shape.push_back(size);
    tensors_.emplace(name, std::move(view));
  }
}

void PlainFile::read_config(const std::string& key, std::span<const double> values) {
  const auto first = static_cast<std::int64_t>(values.front());
  const std::vector<std::int64_t> all(values.begin(), values.end());
  FastViTHDConfig& vision = config_.vision;
  Qwen2Config& text = config_.text;
  if (key == "image_size") vision.image_size = first;
  if (key == "layers") vision.layers = all;
  if (key == "embed_dims") vision.embed_dims = all;
  if (key == "hidden_size") text.hidden_size = first;
  if (key == "num_hidden_layers") text.layers = first;
  if (key == "num_attention_heads") text.heads = first;
  if (key == "num_key_value_heads") text.kv_heads = first;
  if (key == "intermediate_size") text.intermediate_size = first;
  if (key == "vocab_size") text.vocab_size = first;
  if (key == "rms_norm_eps") text.rms_norm_eps = values.front();
  if (key == "rope_theta") text.rope_theta = values.front();
  if (key == "tie_word_embeddings") text.tie_word_embeddings = first != 0;
  if (key == "eos_token_id") text.eos_tokens = {static_cast<std::int32_t>(first)};
}

const TensorView& PlainFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw make_error("{}: no tensor {}", file_.path().string(), name);
  return found->second;
}

std::vector<float> PlainFile::floats(const std::string& name) const {
  const TensorView& view = tensor(name);
  std::vector<float> values(static_cast<std::size_t>(view.elements()));
  convert_to_float(view.dtype, view.data.data(), values);
  return values;
}

}  // namespace fvlm
