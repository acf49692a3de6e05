// The stack machine. Values live in one vector and refer to each other by index, so that neither
// circles nor deep nesting in a pickle lead to recursion here.
#include "runtime/checkpoint/pickle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <unordered_map>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"

namespace fvlm {

using namespace pickle;

namespace {

enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinUnicode = 'X',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kGlobal = 'c',
  kReduce = 'R',
  kBuild = 'b',
  kBinPersId = 'Q',
  kProto = 0x80,
};

// Opcodes that are refused, for the message.
constexpr std::pair<std::uint8_t, std::string_view> kRefused[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'G', "BINFLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

struct KnownGlobal {
  std::string_view module;
  std::string_view name;
  Value value;
};

const std::vector<KnownGlobal>& known_globals() {
  static const std::vector<KnownGlobal> known = {
      {"collections", "OrderedDict", Global::kOrderedDict},
      {"torch._utils", "_rebuild_tensor", Global::kRebuildTensor},
      {"torch._utils", "_rebuild_tensor_v2", Global::kRebuildTensorV2},
      {"torch._utils", "_rebuild_parameter", Global::kRebuildParameter},
      {"torch", "DoubleStorage", StorageType{DType::kF64}},
      {"torch", "FloatStorage", StorageType{DType::kF32}},
      {"torch", "HalfStorage", StorageType{DType::kF16}},
      {"torch", "BFloat16Storage", StorageType{DType::kBF16}},
      {"torch", "LongStorage", StorageType{DType::kI64}},
      {"torch", "IntStorage", StorageType{DType::kI32}},
      {"torch", "ShortStorage", StorageType{DType::kI16}},
      {"torch", "CharStorage", StorageType{DType::kI8}},
      {"torch", "ByteStorage", StorageType{DType::kU8}},
      {"torch", "BoolStorage", StorageType{DType::kBool}},
  };
  return known;
}

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes.first(std::min(bytes.size(), kMaxPickleBytes))), source_(source) {}

  // Runs to STOP; returns the value that is left.
  Node run() {
    while (true) {
      opcode_at_ = at_;
      const auto opcode = take_number<std::uint8_t>();
      if (opcode == kStop) break;
      step(opcode);
    }
    if (stack_.size() != 1 || !marks_.empty()) refuse("STOP leaves more or less than one value");
    return stack_.back();
  }

  std::vector<Value> take_values() { return std::move(values_); }
  std::size_t position() const { return at_; }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    throw make_error("{}: pickle, byte {}: {}", source_, opcode_at_,
                     fmt::format(format, std::forward<Args>(args)...));
  }

  // Bytes of the program ---------------------------------------------------------------------
  std::span<const std::byte> take(std::size_t count) {
    if (count > bytes_.size() - at_) {
      if (bytes_.size() == kMaxPickleBytes) refuse("more than {} bytes", kMaxPickleBytes);
      refuse("it ends in the middle of an opcode");
    }
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  template <class T>
  T take_number() {
    T number;
    std::memcpy(&number, take(sizeof(T)).data(), sizeof(T));
    return number;
  }
  std::string_view take_text(std::size_t length) {
    const auto text = take(length);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  std::string_view take_line() {
    const auto rest = bytes_.subspan(at_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    if (end == rest.end()) refuse("it ends in the middle of a name");
    const std::string_view line = take_text(static_cast<std::size_t>(end - rest.begin()));
    at_ += 1;
    return line;
  }

  // The stack --------------------------------------------------------------------------------
  void push(Value value) {
    if (values_.size() == kMaxPickleValues) refuse("more than {} values", kMaxPickleValues);
    values_.push_back(std::move(value));
    stack_.push_back(static_cast<Node>(values_.size() - 1));
  }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Node pop() {
    if (stack_.size() <= floor()) refuse("it takes a value from an empty stack");
    const Node node = stack_.back();
    stack_.pop_back();
    return node;
  }
  Node top() {
    const Node node = pop();
    stack_.push_back(node);
    return node;
  }
  std::vector<Node> pop_to_mark() {
    if (marks_.empty()) refuse("it goes back to a MARK that is not there");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Node> nodes(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return nodes;
  }
  void push_tuple(std::size_t count) {
    std::vector<Node> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push(Tuple{std::move(items)});
  }

  // A value of one type, or a refusal.
  template <class T>
  const T& as(Node node, std::string_view what) const {
    if (const T* value = std::get_if<T>(&values_[node])) return *value;
    refuse("{} is of the wrong type", what);
  }
  template <class T>
  T& as(Node node, std::string_view what) {
    return const_cast<T&>(std::as_const(*this).template as<T>(node, what));
  }

  // Opcodes ----------------------------------------------------------------------------------
  void step(std::uint8_t opcode) {
    switch (opcode) {
      case kProto:
        if (const int protocol = take_number<std::uint8_t>(); protocol > 2) {
          refuse("protocol {}, expected 2, which torch.save writes", protocol);
        }
        return;
      case kMark:
        if (marks_.size() == kMaxPickleValues) refuse("more than {} marks", kMaxPickleValues);
        return marks_.push_back(stack_.size());
      case kNone:
        return push(std::monostate{});
      case kNewTrue:
        return push(true);
      case kNewFalse:
        return push(false);
      case kBinInt:
        return push(std::int64_t{take_number<std::int32_t>()});
      case kBinInt1:
        return push(std::int64_t{take_number<std::uint8_t>()});
      case kBinInt2:
        return push(std::int64_t{take_number<std::uint16_t>()});
      case kLong1:
        return push(take_long(take_number<std::uint8_t>()));
      case kBinUnicode:
        return push(take_text(take_number<std::uint32_t>()));
      case kEmptyTuple:
        return push(Tuple{});
      case kTuple:
        return push(Tuple{pop_to_mark()});
      case kTuple1:
        return push_tuple(1);
      case kTuple2:
        return push_tuple(2);
      case kTuple3:
        return push_tuple(3);
      case kEmptyList:
        return push(List{});
      case kAppend:
        return append({pop()});
      case kAppends:
        return append(pop_to_mark());
      case kEmptyDict:
        return push(Dict{});
      case kSetItem: {
        const Node value = pop();
        return set_items({pop(), value});
      }
      case kSetItems:
        return set_items(pop_to_mark());
      case kBinPut:
        return put(take_number<std::uint8_t>());
      case kLongBinPut:
        return put(take_number<std::uint32_t>());
      case kBinGet:
        return get(take_number<std::uint8_t>());
      case kLongBinGet:
        return get(take_number<std::uint32_t>());
      case kGlobal:
        return global();
      case kReduce:
        return reduce();
      case kBuild:
        return build();
      case kBinPersId:
        return persistent();
      default:
        refuse_opcode(opcode);
    }
  }

  [[noreturn]] void refuse_opcode(std::uint8_t opcode) const {
    const auto* known = std::ranges::find(kRefused, opcode, [](const auto& r) { return r.first; });
    if (known == std::end(kRefused)) refuse("opcode 0x{:02x} does not exist", opcode);
    refuse("opcode {} does not occur in a dictionary of tensors", known->second);
  }

  // Little-endian two's complement of any length.
  std::int64_t take_long(std::size_t length) {
    if (length > sizeof(std::int64_t)) refuse("a number of {} bytes", length);
    const auto digits = take(length);
    std::int64_t number = 0;
    if (!digits.empty() && (digits.back() & std::byte{0x80}) != std::byte{0}) number = -1;
    std::memcpy(&number, digits.data(), length);
    return number;
  }

  void append(const std::vector<Node>& nodes) {
    auto& items = as<List>(top(), "what is appended to").items;
    items.insert(items.end(), nodes.begin(), nodes.end());
  }

  void set_items(const std::vector<Node>& nodes) {
    auto& items = as<Dict>(top(), "what items are set in").items;
    if (nodes.size() % 2 != 0) refuse("a key without a value");
    for (std::size_t i = 0; i < nodes.size(); i += 2) items.emplace_back(nodes[i], nodes[i + 1]);
  }

  void put(std::uint32_t index) {
    const Node node = top();
    if (memo_.size() >= kMaxPickleValues) refuse("more than {} values", kMaxPickleValues);
    memo_[index] = node;
  }
  void get(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse("it recalls value {}, which was never kept", index);
    if (stack_.size() >= kMaxPickleValues) refuse("more than {} values", kMaxPickleValues);
    stack_.push_back(found->second);
  }

  void global() {
    const std::string_view module = take_line();
    const std::string_view name = take_line();
    for (const KnownGlobal& known : known_globals()) {
      if (known.module == module && known.name == name) return push(known.value);
    }
    refuse("it asks for {}, which is not needed for tensors and is never run",
           in_quotes(std::string(module) + "." + std::string(name)));
  }

  // "Call this with these arguments": what the call would make is made here.
  void reduce() {
    const Node arguments = pop();
    const Node callable = pop();
    const auto& items = as<Tuple>(arguments, "the arguments of REDUCE").items;
    switch (as<Global>(callable, "what REDUCE calls")) {
      case Global::kOrderedDict:
        if (!items.empty()) refuse("OrderedDict with arguments");
        return push(Dict{{}, true});
      case Global::kRebuildTensor:
        return rebuild_tensor(items, 4, 4);
      case Global::kRebuildTensorV2:
        return rebuild_tensor(items, 6, 7);
      case Global::kRebuildParameter:
        if (items.size() != 3) refuse("_rebuild_parameter with {} arguments", items.size());
        as<Tensor>(items[0], "what becomes a parameter");
        return stack_.push_back(items[0]);
    }
    refuse("REDUCE calls what cannot be called");
  }

  // (storage, offset, shape, strides, ...): what follows has no influence on the numbers.
  void rebuild_tensor(const std::vector<Node>& items, std::size_t fewest, std::size_t most) {
    if (items.size() < fewest || items.size() > most) {
      refuse("_rebuild_tensor with {} arguments", items.size());
    }
    Tensor tensor{as<Storage>(items[0], "a tensor's storage"),
                  as<std::int64_t>(items[1], "a tensor's offset"),
                  sizes(items[2], "a tensor's shape"), sizes(items[3], "a tensor's strides")};
    check(tensor);
    push(std::move(tensor));
  }

  std::vector<std::int64_t> sizes(Node node, std::string_view what) const {
    constexpr std::size_t kMaxDimensions = 8;
    const auto& items = as<Tuple>(node, what).items;
    if (items.size() > kMaxDimensions) refuse("{} has {} dimensions", what, items.size());
    std::vector<std::int64_t> sizes;
    for (const Node item : items) sizes.push_back(as<std::int64_t>(item, what));
    return sizes;
  }

  // Every element lies in the storage, and none of the storage's appears twice: an expanded view
  // could be larger than any memory.
  void check(const Tensor& tensor) const {
    const auto& [storage, offset, shape, strides] = tensor;
    const auto is_negative = [](std::int64_t n) { return n < 0; };
    if (shape.size() != strides.size()) refuse("a tensor whose shape and strides do not match");
    if (offset < 0 || std::ranges::any_of(shape, is_negative) ||
        std::ranges::any_of(strides, is_negative)) {
      refuse("a tensor with a negative offset, size or stride");
    }
    if (std::ranges::find(shape, 0) != shape.end()) return;
    std::int64_t elements = 1;
    std::int64_t last = offset;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t reach = 0;
      if (__builtin_mul_overflow(elements, shape[i], &elements) ||
          __builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        refuse("a tensor larger than any memory");
      }
    }
    if (last >= storage.elements || elements > storage.elements) {
      refuse("a tensor of {} elements that reaches to element {} of a storage of {}", elements,
             last, storage.elements);
    }
  }

  // Sets attributes of an object: for the OrderedDict of a module that is its "_metadata", which
  // nobody needs.
  void build() {
    const Node state = pop();
    as<Dict>(state, "the state that BUILD sets");
    if (!as<Dict>(top(), "the object that BUILD changes").ordered) {
      refuse("BUILD of anything but an OrderedDict");
    }
  }

  // ("storage", type, key, device, elements[, view]): the view of a storage in another one is no
  // longer written by any PyTorch; it is None.
  void persistent() {
    const auto& items = as<Tuple>(pop(), "a persistent id").items;
    if ((items.size() != 5 && items.size() != 6) ||
        as<std::string_view>(items[0], "a persistent id") != "storage") {
      refuse("a persistent id that is not a storage's");
    }
    if (items.size() == 6) as<std::monostate>(items[5], "the view of a storage");
    const Storage storage{as<StorageType>(items[1], "the type of a storage").dtype,
                          as<std::string_view>(items[2], "the key of a storage"),
                          as<std::int64_t>(items[4], "the size of a storage")};
    if (storage.elements < 0) refuse("a storage of {} elements", storage.elements);
    push(storage);
  }

  std::span<const std::byte> bytes_;
  const std::string& source_;
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  std::vector<Value> values_;
  std::vector<Node> stack_;
  std::vector<std::size_t> marks_;  // positions in the stack
  std::unordered_map<std::uint32_t, Node> memo_;
};

}  // namespace

Pickle Pickle::read(std::span<const std::byte> bytes, const std::string& source) {
  Machine machine(bytes, source);
  Pickle result;
  result.root_ = machine.run();
  result.length_ = machine.position();
  result.values_ = machine.take_values();
  return result;
}

}  // namespace fvlm
