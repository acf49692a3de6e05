// The input is a text to encode, up to a zero byte, and a vocabulary: tokenizer.json, or vocab.json
// and merges.txt with a zero byte between them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "fvlm/error.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path& folder() {
  static const fs::path made = [] {
    std::string name = (fs::temp_directory_path() / "fvlm-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    std::atexit([] { fs::remove_all(folder()); });
    return fs::path(name);
  }();
  return made;
}

void write(const char* name, std::string_view content) {
  std::ofstream(folder() / name, std::ios::binary) << content;
}

std::string_view take(std::string_view& rest) {
  const std::string_view part = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view text = take(rest);
  const std::string_view first = take(rest);
  for (const char* name : {"tokenizer.json", "vocab.json", "merges.txt"}) {
    fs::remove(folder() / name);
  }
  if (rest.empty()) {
    write("tokenizer.json", first);
  } else {
    write("vocab.json", first);
    write("merges.txt", rest);
  }
  try {
    const auto tokenizer = fvlm::Tokenizer::load(folder());
    tokenizer.decode(tokenizer.encode(text));
    constexpr std::size_t kMost = 100;
    std::vector<std::int32_t> ids;
    if (tokenizer.append_text(text, kMost, ids) && ids.size() > kMost) std::abort();
  } catch (const fvlm::Error&) {
  }
  return 0;
}
