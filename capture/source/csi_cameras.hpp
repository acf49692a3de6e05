// Cameras at the CSI connectors of a Raspberry Pi, which are no plain devices of V4L2: libcamera's
// programs know them, and hand their pictures over through a pipe.
#pragma once

#include <string>
#include <vector>

namespace fvlm::capture {

struct CsiCamera {
  int number = 0;  // what rpicam-vid --camera takes
  std::string sensor{};
  std::string size{};  // of the sensor, e.g. "3280x2464"; empty: not told
};

// What `rpicam-hello --list-cameras` prints. Lines that are no camera's are passed over.
std::vector<CsiCamera> parse_csi_cameras(const std::string& output);

// Those that rpicam-hello, or libcamera-hello as it was called before, finds, with the flags that
// use them, for people; empty if neither is installed or there are no cameras.
std::string list_csi_cameras();

}  // namespace fvlm::capture
