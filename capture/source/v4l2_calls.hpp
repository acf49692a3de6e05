// The system calls that V4L2 is made of, so that tests can be the driver.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "capture/source/trouble.hpp"

namespace fvlm::capture {

class V4l2Calls {
 public:
  virtual ~V4l2Calls() = default;
  // Each as the system call of its name: -1 and errno on failure. Interruptions by signals are
  // not seen.
  virtual int open(const std::string& path) = 0;
  virtual int close(int descriptor) = 0;
  virtual int ioctl(int descriptor, unsigned long request, void* argument) = 0;
  // Null on failure.
  virtual void* map(int descriptor, std::size_t length, std::size_t offset) = 0;
  virtual int unmap(void* address, std::size_t length) = 0;

  struct Ready {
    bool frame = false;
    bool event = false;
    bool error = false;
  };
  virtual Ready poll(int descriptor, int milliseconds) = 0;
};

std::shared_ptr<V4l2Calls> system_calls();

// What the errno of one of them means to a user, and what helps.
Trouble meaning_of(int error);

}  // namespace fvlm::capture
