// Reads the pickles in PyTorch's checkpoints without running anything.
//
// A pickle is a program for a small stack machine, and Python's machine lets it call any function.
// This one knows the opcodes that torch.save writes for a dictionary of tensors (protocol 2) and
// the few names that occur there; whatever else a pickle asks for is refused by its name. Nothing
// is ever called: "rebuild this tensor" becomes a Tensor value that says where its numbers lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fvlm/core/element.hpp"

namespace fvlm {

namespace pickle {

using Node = std::uint32_t;  // index of a value; values refer to each other, perhaps in circles

struct Tuple {
  std::vector<Node> items;
};
struct List {
  std::vector<Node> items;
};
struct Dict {
  std::vector<std::pair<Node, Node>> items;  // in the order of insertion
  bool ordered = false;                      // a collections.OrderedDict
};
// A name of Python's that a pickle may mention.
enum class Global : std::uint8_t {
  kOrderedDict,
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildParameter,
};
struct StorageType {
  DType dtype;
};
// Numbers of one type, stored in one piece outside of the pickle.
struct Storage {
  DType dtype = DType::kF32;
  std::string_view key;
  std::int64_t elements = 0;
};
// Element (i, j, ...) is the storage's number offset + i * strides[0] + j * strides[1] + ...; all
// of them lie inside the storage.
struct Tensor {
  Storage storage;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

using Value = std::variant<std::monostate, bool, std::int64_t, std::string_view, Tuple, List, Dict,
                           Global, StorageType, Storage, Tensor>;

}  // namespace pickle

class Pickle {
 public:
  // Reads the pickle at the start of `bytes`, which must outlive this: texts lie there. Messages
  // begin with `source`. Throws Error if it is damaged or asks for anything unknown.
  static Pickle read(std::span<const std::byte> bytes, const std::string& source);

  const pickle::Value& root() const { return values_[root_]; }
  const pickle::Value& operator[](pickle::Node node) const { return values_[node]; }
  // Bytes of the pickle, up to its STOP.
  std::size_t length() const { return length_; }

 private:
  Pickle() = default;

  std::vector<pickle::Value> values_;
  pickle::Node root_ = 0;
  std::size_t length_ = 0;
};

// What is accepted at most: far more than the 1,500 tensors of a large model need.
inline constexpr std::size_t kMaxPickleBytes = 16 << 20;
inline constexpr std::size_t kMaxPickleValues = 1'000'000;

}  // namespace fvlm
