// Pickles: what a dictionary of tensors needs is read; everything else is refused by name, quickly
// and with little memory.
#include "runtime/checkpoint/pickle.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <tuple>

#include "tests/runtime/checkpoint/torch_bytes.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using namespace program;

Pickle read(const std::string& bytes) {
  return Pickle::read(std::as_bytes(std::span(bytes)), "file");
}

std::string refusal(const std::string& bytes) {
  const std::clock_t begin = std::clock();
  const std::string message = error_of([&] { read(bytes); });
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LT(seconds, 5) << "a bomb went off";  // sanitizers included; it is far below 1 s without
  return message;
}

const std::string kFloats = storage("FloatStorage", "0", 12);

TEST(Pickle, ReadsADictionaryOfTensors) {
  const std::string bytes = dictionary({{"a", tensor(kFloats, 2, {2, 3}, {3, 1})}});
  const std::string more = bytes + "what follows";
  const Pickle pickle = read(more);
  EXPECT_EQ(pickle.length(), bytes.size());
  const auto& dict = std::get<pickle::Dict>(pickle.root());
  ASSERT_EQ(dict.items.size(), 1U);
  EXPECT_EQ(std::get<std::string_view>(pickle[dict.items[0].first]), "a");
  const auto& got = std::get<pickle::Tensor>(pickle[dict.items[0].second]);
  EXPECT_EQ(got.storage.dtype, DType::kF32);
  EXPECT_EQ(got.storage.key, "0");
  EXPECT_EQ(got.storage.elements, 12);
  EXPECT_EQ(got.offset, 2);
  EXPECT_EQ(got.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(got.strides, (std::vector<std::int64_t>{3, 1}));
}

TEST(Pickle, ReadsParametersMemosAndMetadata) {
  const std::string parameter = global("torch._utils", "_rebuild_parameter") + "(" +
                                tensor(kFloats, 0, {12}, {1}) + "q\x05\x88" +
                                global("collections", "OrderedDict") + ")RtR";
  const std::string metadata = "}" + text("_metadata") + "}sb";
  const std::string bytes = kProto + global("collections", "OrderedDict") + ")R(" + text("a") +
                            parameter + text("b") + "h\x05u" + metadata + kStop;
  const Pickle pickle = read(bytes);
  const auto& dict = std::get<pickle::Dict>(pickle.root());
  ASSERT_EQ(dict.items.size(), 2U);
  EXPECT_EQ(dict.items[0].second, dict.items[1].second);
}

TEST(Pickle, ReadsNumbersOfAllLengths) {
  for (const auto& [bytes, number] : {std::pair(std::string("K\xff"), std::int64_t{255}),
                                      {"M\xff\xff", 65535},
                                      {std::string("J\xfe\xff\xff\xff"), -2},
                                      {std::string("\x8a\x00", 2), 0},
                                      {std::string("\x8a\x01\xff"), -1},
                                      {"\x8a\x05" + little_endian(1ULL << 33, 5), 1LL << 33}}) {
    EXPECT_EQ(std::get<std::int64_t>(read(bytes + ".").root()), number);
  }
}

// Names that Python would look up and call ------------------------------------------------------
class ForeignName : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ForeignName, IsRefusedByName) {
  const auto& [module, name] = GetParam();
  const std::string asked = "\"" + std::string(module) + "." + name + "\"";
  const std::string call = global(module, name) + "(" + text("touch /tmp/owned") + "tR";
  EXPECT_NE(refusal(kProto + call + kStop).find(asked), std::string::npos);
  // In place of a tensor, and as what a persistent id calls a storage.
  EXPECT_NE(refusal(dictionary({{"a", call}})).find(asked), std::string::npos);
  EXPECT_NE(refusal(kProto + "(" + text("storage") + global(module, name) + text("0") +
                    text("cpu") + integer(1) + "tQ.")
                .find(asked),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Names, ForeignName,
    testing::Values(std::pair("os", "system"), std::pair("posix", "system"),
                    std::pair("nt", "system"), std::pair("os", "popen"),
                    std::pair("subprocess", "Popen"), std::pair("subprocess", "check_output"),
                    std::pair("builtins", "eval"), std::pair("builtins", "exec"),
                    std::pair("__builtin__", "eval"), std::pair("builtins", "__import__"),
                    std::pair("builtins", "getattr"), std::pair("builtins", "open"),
                    std::pair("operator", "attrgetter"), std::pair("functools", "partial"),
                    std::pair("importlib", "import_module"), std::pair("runpy", "run_path"),
                    std::pair("pickle", "loads"), std::pair("marshal", "loads"),
                    std::pair("types", "FunctionType"), std::pair("ctypes", "CDLL"),
                    std::pair("socket", "create_connection"), std::pair("shutil", "rmtree"),
                    std::pair("torch", "load"), std::pair("torch.hub", "load"),
                    std::pair("torch.storage", "_load_from_bytes"),
                    std::pair("torch._utils", "_rebuild_sparse_tensor"),
                    std::pair("torch._utils", "_rebuild_tensor_v2 "),
                    std::pair("torch", "_utils._rebuild_tensor_v2"),
                    std::pair("torch._utils._rebuild_tensor", "__globals__"),
                    std::pair("collections", "OrderedDict.update"),
                    std::pair("collections", "Counter"), std::pair("torch", "QInt8Storage"),
                    std::pair("numpy.core.multiarray", "_reconstruct"),
                    std::pair("_codecs", "encode"), std::pair("", "")));

// Opcodes that no dictionary of tensors needs ---------------------------------------------------
class ForeignOpcode : public testing::TestWithParam<std::pair<int, const char*>> {};

TEST_P(ForeignOpcode, IsRefusedByName) {
  const auto& [opcode, name] = GetParam();
  const std::string code(1, static_cast<char>(opcode));
  EXPECT_NE(refusal(kProto + "}" + code + std::string(16, '\n')).find(name), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Opcodes, ForeignOpcode,
    testing::Values(std::pair('0', "POP"), std::pair('1', "POP_MARK"), std::pair('2', "DUP"),
                    std::pair('F', "FLOAT"), std::pair('G', "BINFLOAT"), std::pair('I', "INT"),
                    std::pair('L', "LONG"), std::pair('P', "PERSID"), std::pair('S', "STRING"),
                    std::pair('V', "UNICODE"), std::pair('d', "DICT"), std::pair('g', "GET"),
                    std::pair('i', "INST"), std::pair('l', "LIST"), std::pair('o', "OBJ"),
                    std::pair('p', "PUT"), std::pair(0x81, "NEWOBJ"), std::pair(0x82, "EXT1"),
                    std::pair(0x83, "EXT2"), std::pair(0x84, "EXT4"), std::pair(0x8b, "LONG4"),
                    std::pair('B', "BINBYTES"), std::pair(0x8c, "SHORT_BINUNICODE"),
                    std::pair(0x92, "NEWOBJ_EX"), std::pair(0x93, "STACK_GLOBAL"),
                    std::pair(0x94, "MEMOIZE"), std::pair(0x95, "FRAME"),
                    std::pair(0x98, "READONLY_BUFFER"), std::pair(0xff, "0xff does not exist"),
                    std::pair(0x00, "0x00 does not exist")));

// Programs of known opcodes that make no sense --------------------------------------------------
struct Hostile {
  const char* name;
  std::string bytes;
  std::string part;  // of the message
};
void PrintTo(const Hostile& hostile, std::ostream* out) {
  *out << hostile.name;
}

std::string repeated(const std::string& piece, std::size_t bytes) {
  std::string out;
  out.reserve(bytes);
  while (out.size() + piece.size() <= bytes) out += piece;
  return out;
}

std::vector<Hostile> hostile_programs() {
  const std::string floats = kFloats;
  const auto with_tensor = [](const std::string& program) { return dictionary({{"a", program}}); };
  const std::string large = std::to_string(kMaxPickleValues) + " ";
  return {
      {"Empty", "", "ends in the middle"},
      {"StopAlone", ".", "STOP leaves"},
      {"TwoValuesLeft", kProto + "}}.", "STOP leaves"},
      {"MarkLeft", kProto + "}(.", "STOP leaves"},
      {"NoStop", kProto + "}", "ends in the middle"},
      {"Protocol4", "\x80\x04}.", "protocol 4"},
      {"Protocol255", "\x80\xff}.", "protocol 255"},
      {"TextLongerThanFile",
       "X\xff\xff\xff\xff"
       "abc",
       "ends in the middle"},
      {"TextCutShort", "X\x08", "ends in the middle"},
      {"NameWithoutEnd", "cos", "ends in the middle of a name"},
      {"NumberOf255Bytes", "\x8a\xff" + std::string(255, '\1') + ".", "number of 255 bytes"},
      {"PopFromNothing", kProto + "s.", "empty stack"},
      {"PopBelowMark", kProto + "}KA(s.", "empty stack"},
      {"TupleWithoutMark", kProto + "t.", "MARK that is not there"},
      {"TupleOfTooFew", kProto + "N\x87.", "empty stack"},
      {"UnknownMemo", kProto + "h\x07.", "value 7"},
      {"UnknownLongMemo", kProto + "j\xff\xff\xff\xff.", "value 4294967295"},
      {"PutOfNothing", kProto + "q\x01.", "empty stack"},
      {"AppendToDict", kProto + "}Na.", "wrong type"},
      {"SetItemOfList", kProto + "]NNs.", "wrong type"},
      {"KeyWithoutValue", kProto + "}(Nu.", "key without a value"},
      {"ReduceOfText", kProto + text("os.system") + "(" + text("x") + "tR.", "wrong type"},
      {"ReduceOfStorageType", kProto + global("torch", "FloatStorage") + ")R.", "wrong type"},
      {"ReduceWithoutTuple", kProto + global("collections", "OrderedDict") + "]R.", "wrong type"},
      {"OrderedDictOfItems", kProto + global("collections", "OrderedDict") + "(]tR.",
       "OrderedDict with arguments"},
      {"BuildOfPlainDict", kProto + "}}b.", "BUILD of anything but"},
      {"BuildOfTensor", with_tensor(tensor(floats, 0, {1}, {1}) + "}b"), "wrong type"},
      {"BuildWithSlots", kProto + global("collections", "OrderedDict") + ")R(}}t" + "b.",
       "wrong type"},
      {"BuildOfGlobal", kProto + global("collections", "OrderedDict") + "}b.", "wrong type"},
      {"PersistentText", kProto + text("0") + "Q.", "wrong type"},
      {"PersistentOther", kProto + "(" + text("module") + "NNNNtQ.", "not a storage"},
      {"PersistentShort", kProto + "(" + text("storage") + "tQ.", "not a storage"},
      {"StorageNegative", kProto + storage("FloatStorage", "0", -1) + ".", "-1 elements"},
      {"StorageOfNoType",
       kProto + "(" + text("storage") + "N" + text("0") + text("cpu") + integer(1) + "tQ.",
       "wrong type"},
      {"StorageView",
       kProto + "(" + text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") +
           integer(1) + ")tQ.",
       "wrong type"},
      {"TensorOfNothing", with_tensor(tensor("N", 0, {1}, {1})), "wrong type"},
      {"TensorOfTensor", with_tensor(tensor(tensor(floats, 0, {1}, {1}), 0, {1}, {1})),
       "wrong type"},
      {"TensorBeyondStorage", with_tensor(tensor(floats, 0, {13}, {1})), "storage of 12"},
      {"TensorOffsetBeyond", with_tensor(tensor(floats, 12, {1}, {1})), "storage of 12"},
      {"TensorStrideBeyond", with_tensor(tensor(floats, 0, {2}, {12})), "storage of 12"},
      {"TensorNegativeSize", with_tensor(tensor(floats, 0, {-1}, {1})), "negative"},
      {"TensorNegativeStride", with_tensor(tensor(floats, 5, {2}, {-1})), "negative"},
      {"TensorNegativeOffset", with_tensor(tensor(floats, -1, {1}, {1})), "negative"},
      {"TensorHuge", with_tensor(tensor(floats, 0, {1LL << 40, 1LL << 40}, {0, 0})),
       "larger than any memory"},
      {"TensorHugeStride", with_tensor(tensor(floats, 0, {3}, {1LL << 62})),
       "larger than any memory"},
      {"TensorExpanded", with_tensor(tensor(floats, 0, {1000000}, {0})), "storage of 12"},
      {"TensorOfShapeAndStride", with_tensor(tensor(floats, 0, {2, 2}, {1})), "do not match"},
      {"TensorOf9Dimensions",
       with_tensor(
           tensor(floats, 0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1))),
       "9 dimensions"},
      {"TensorOfTexts",
       kProto + global("torch._utils", "_rebuild_tensor_v2") + "(" + floats + integer(0) + "(" +
           text("1") + "t)\x89NtR.",
       "wrong type"},
      {"TensorOfOneArgument",
       kProto + global("torch._utils", "_rebuild_tensor_v2") + "(" + floats + "tR.", "1 arguments"},
      {"ParameterOfText",
       kProto + global("torch._utils", "_rebuild_parameter") + "(" + text("x") + "\x88NtR.",
       "wrong type"},
      {"MarkBomb", repeated("(", 17 << 20), "more than " + large + "marks"},
      {"ValueBomb", repeated("N", 17 << 20), "more than " + large + "values"},
      {"TupleBomb", kProto + ")" + repeated("\x85", 17 << 20), "more than " + large + "values"},
      {"NestedLists", repeated("]", 17 << 20), "more than " + large + "values"},
      {"StackBomb",
       kProto + "Nq" + std::string(1, '\0') + repeated(std::string("h\0", 2), 17 << 20),
       "more than " + large + "values"},
      {"LongText", "X" + little_endian(17 << 20, 4) + std::string(17 << 20, 'a') + ".",
       "more than 16777216 bytes"},
  };
}

class HostileProgram : public testing::TestWithParam<Hostile> {};

TEST_P(HostileProgram, IsRefused) {
  const std::string message = refusal(GetParam().bytes);
  EXPECT_NE(message.find(GetParam().part), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Programs, HostileProgram, testing::ValuesIn(hostile_programs()),
                         [](const auto& hostile) { return hostile.param.name; });

TEST(Pickle, MemoBombStaysSmall) {
  std::string bytes = kProto + "N";
  for (std::uint64_t i = 0; i < 2'500'000; ++i) bytes += "r" + little_endian(i * 1717, 4);
  EXPECT_NE(refusal(bytes).find("values"), std::string::npos);
}

TEST(Pickle, CirclesAreValuesLikeOthers) {
  const Pickle pickle = read(kProto + "]q\x01h\x01" + "a.");
  const auto& list = std::get<pickle::List>(pickle.root());
  ASSERT_EQ(list.items.size(), 1U);
  EXPECT_EQ(&pickle[list.items[0]], &pickle.root());
}

}  // namespace
}  // namespace fvlm
