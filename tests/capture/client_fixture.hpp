// What tests of the whole client share: the program with its log in a folder of its own, and
// servers that describe everything as a tree.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/capture/program.hpp"
#include "tests/capture/server.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm::capture {

using Milliseconds = std::chrono::milliseconds;

inline constexpr char kNowhere[] = "ws://127.0.0.1:9/ws";

// As the original server.
inline std::vector<std::string> describe(bool binary, const std::string&) {
  return binary ? std::vector<std::string>{original_description("A tree.")}
                : std::vector<std::string>{};
}

class ClientTest : public testing::Test {
 protected:
  std::unique_ptr<CameraProgram> start(const std::string& server,
                                       const std::vector<std::string>& more) {
    std::vector<std::string> flags = {"--server", server, "--log-folder", folder.path().string()};
    flags.insert(flags.end(), more.begin(), more.end());
    return std::make_unique<CameraProgram>(FVLM_CAMERA_PROGRAM, flags);
  }
  // Ends at once, with a status and something to read.
  int status_of_run(const std::string& flags) const {
    const std::string command = std::string(FVLM_CAMERA_PROGRAM) + " --log-folder " +
                                folder.path().string() + " " + flags + " > " +
                                (folder / "output").string() + " 2>&1";
    return WEXITSTATUS(std::system(command.c_str()));
  }
  std::string output() const { return read_file(folder / "output"); }

  const TemporaryFolder folder{};
};

}  // namespace fvlm::capture
