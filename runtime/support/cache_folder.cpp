#include "runtime/support/cache_folder.hpp"

#include <cstdlib>
#include <string>

namespace fvlm {
namespace {

// Of a variable; relative paths have no meaning here.
std::filesystem::path absolute_path_in(const char* variable) {
  const char* const value = std::getenv(variable);
  const std::filesystem::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : std::filesystem::path();
}

}  // namespace

std::filesystem::path cache_folder() {
  // Of several folders the first.
  const std::string service = absolute_path_in("CACHE_DIRECTORY").string();
  if (!service.empty()) return service.substr(0, service.find(':'));
  if (const auto user = absolute_path_in("XDG_CACHE_HOME"); !user.empty()) return user / "fastvlm";
  if (const auto home = absolute_path_in("HOME"); !home.empty()) return home / ".cache/fastvlm";
  return {};
}

}  // namespace fvlm
