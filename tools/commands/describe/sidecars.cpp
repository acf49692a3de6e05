#include "tools/commands/describe/sidecars.hpp"

#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "kernels/support/make_error.hpp"
#include "runtime/support/new_files.hpp"

namespace fvlm {
namespace {

namespace fs = std::filesystem;

// The same file under whatever name.
fs::path identity(const Input& picture) {
  std::error_code error;
  const fs::path whole = fs::canonical(picture.name, error);
  return error ? fs::path(picture.name) : whole;
}

}  // namespace

Sidecars::Sidecars(fs::path folder, std::string ending, const std::vector<Input>& pictures,
                   nlohmann::json asked)
    : folder_(std::move(folder)), ending_(std::move(ending)) {
  std::map<fs::path, const Input*> owners;
  for (const Input& picture : pictures) {
    const auto [owner, is_new] = owners.emplace(path_of(picture), &picture);
    if (is_new || identity(*owner->second) == identity(picture)) continue;
    throw make_error(
        "{} and {} would both be described in {}; give each an --output-dir of its own",
        owner->second->name, picture.name, owner->first.string());
  }
  make_folder(folder_);
  if (access(folder_.c_str(), W_OK | X_OK) != 0) throw_not_writable(folder_);
  record_.emplace(folder_, std::move(asked));
}

// As the record has it.
std::string Sidecars::name_of(const Input& picture) const {
  return fs::path(picture.below).replace_extension(ending_).lexically_normal().generic_string();
}

fs::path Sidecars::path_of(const Input& picture) const {
  return (folder_ / picture.below).replace_extension(ending_);
}

Sidecars::Missing Sidecars::missing(const std::vector<Input>& pictures, bool force) const {
  Missing left;
  std::set<fs::path> seen;
  for (const Input& picture : pictures) {
    const fs::path path = path_of(picture);
    std::error_code none;
    if (!seen.insert(path).second) continue;
    const bool is_there = fs::exists(path, none);
    const bool to_another = is_there && record_->is_to_another(name_of(picture));
    if (force || !is_there || to_another) left.pictures.push_back(picture);
    left.to_another += to_another ? 1 : 0;
  }
  return left;
}

void Sidecars::write(const Input& picture, std::string_view text) {
  const fs::path path = path_of(picture);
  make_folder(path.parent_path());
  const fs::path partial = partial_name(path);
  std::ofstream file(partial, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw_not_writable(path);
  sync_to_disk(partial);
  put_in_place(partial, path);
  record_->add(name_of(picture));
}

}  // namespace fvlm
