#include "capture/source/v4l2_calls.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fvlm::capture {
namespace {

class SystemCalls final : public V4l2Calls {
 public:
  int open(const std::string& path) override {
    return ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  int close(int descriptor) override { return ::close(descriptor); }
  int ioctl(int descriptor, unsigned long request, void* argument) override {
    int result = 0;
    do {
      result = ::ioctl(descriptor, request, argument);
    } while (result == -1 && errno == EINTR);
    return result;
  }
  void* map(int descriptor, std::size_t length, std::size_t offset) override {
    void* const address = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor,
                                 static_cast<off_t>(offset));
    return address == MAP_FAILED ? nullptr : address;
  }
  int unmap(void* address, std::size_t length) override { return ::munmap(address, length); }
  Ready poll(int descriptor, int milliseconds) override {
    pollfd wanted{descriptor, POLLIN | POLLPRI, 0};
    if (::poll(&wanted, 1, milliseconds) <= 0) return {};  // a signal counts as a timeout
    return {(wanted.revents & POLLIN) != 0, (wanted.revents & POLLPRI) != 0,
            (wanted.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0};
  }
};

}  // namespace

std::shared_ptr<V4l2Calls> system_calls() {
  static const auto kCalls = std::make_shared<SystemCalls>();
  return kCalls;
}

Trouble meaning_of(int error) {
  switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return {Cause::kNoDevice,
              "there is no such camera; is it plugged in? fastvlm-camera --list shows which there "
              "are"};
    case EACCES:
    case EPERM:
      return {Cause::kDeviceDenied,
              "this user may not open it; add the user to the group video (sudo usermod -aG video "
              "USER) and log in again"};
    case EBUSY:
      return {Cause::kDeviceBusy,
              "another program uses the camera; end that one (fuser -v shows which it is)"};
    default:
      return {Cause::kOther, std::strerror(error)};
  }
}

}  // namespace fvlm::capture
