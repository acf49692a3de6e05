#include "tools/commands/shared/text_file.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>

#include "kernels/support/make_error.hpp"

namespace fvlm {

std::string read_text_file(const std::string& name) {
  constexpr std::size_t kMost = std::size_t{16} << 20;
  const auto cannot_read = [&] {
    return make_error("{}: cannot be read: {}", name, std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(name.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) throw cannot_read();
  std::string text;
  std::array<char, 1 << 16> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), file.get())) {
    text.append(block.data(), count);
    if (text.size() > kMost) throw make_error("{}: larger than 16 MB, expected a text", name);
  }
  if (std::ferror(file.get()) != 0) throw cannot_read();
  return text;
}

}  // namespace fvlm
