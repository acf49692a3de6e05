// Config files that people wrote, or did not: each is read or refused.
#include <cstddef>
#include <cstdint>

#include "net/command_line/config_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    fvlm::net::parse_config({reinterpret_cast<const char*>(data), size}, "file", "camera");
  } catch (const fvlm::net::ConfigError&) {
  }
  return 0;
}
