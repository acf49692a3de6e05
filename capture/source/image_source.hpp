// A folder of JPEG files, shown one after the other in the order of their names, again and again.
// Other files are left out. The folder is read once, a file each time it is shown.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "capture/source/counters.hpp"
#include "capture/source/pace.hpp"
#include "capture/source/source.hpp"

namespace fvlm::capture {

class ImageSource final : public FrameSource {
 public:
  // `rate`: files a second.
  ImageSource(const std::filesystem::path& folder, double rate, Counters& counters);

  std::optional<Frame> next(std::chrono::milliseconds patience) override;
  std::string description() const override;

 private:
  std::filesystem::path folder_;
  Counters& counters_;
  Pace pace_;
  std::vector<std::filesystem::path> files_{};
  std::uint64_t shown_ = 0;
};

}  // namespace fvlm::capture
