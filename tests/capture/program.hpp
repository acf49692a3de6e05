// A running fastvlm-camera, for tests that look at it from outside: it is started on a free port,
// asked over HTTP, and ended with the object, which is a failure of the test if it does not end
// well: under a sanitizer that is its verdict.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace fvlm::capture {

class CameraProgram {
 public:
  // `program` may have an emulator and a space before it. Waits until its page answers. Throws
  // std::runtime_error if it does not.
  CameraProgram(const std::string& program, const std::vector<std::string>& flags);
  ~CameraProgram();
  CameraProgram(const CameraProgram&) = delete;
  CameraProgram& operator=(const CameraProgram&) = delete;

  pid_t process() const { return process_; }
  std::uint16_t port() const { return port_; }
  // The body of an answer with status 200, else empty.
  std::string get(const std::string& path) const;
  // A line of /metrics, e.g. "fastvlm_camera_live"; -1 if there is none.
  double metric(const std::string& name) const;
  // Ends it by a signal and returns its exit status, -1 if it was killed.
  int end(int signal);

 private:
  // Head and body; empty if there is none.
  std::string answer(const std::string& path) const;

  pid_t process_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace fvlm::capture
