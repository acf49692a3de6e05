// Which pictures the arguments of `describe` mean: files, folders, patterns, standard input.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fvlm {

inline constexpr const char* kStandardInput = "-";

struct Input {
  std::string name;             // as it is shown
  std::filesystem::path below;  // its place below the folder that was named, or its own name

  bool is_standard_input() const { return name == kStandardInput; }
};

struct Inputs {
  std::vector<Input> pictures;
  std::vector<std::string> problems;  // what holds no pictures or cannot be looked into, and why
};

// The endings of the files that are taken from a folder, in any case, e.g. ".jpg".
const std::vector<std::string>& picture_endings();
bool has_picture_ending(const std::filesystem::path& file);
std::string listed_endings();  // ".jpg, .jpeg, ... or .avif"

// Whether they are one, which is a file or standard input.
bool names_one_picture(const std::vector<std::string>& arguments);

// In the order of the arguments:
//   a file       whatever its ending; whether it is there shows when it is read
//   a folder     the files in it and below it that end as pictures do, sorted by name; hidden ones
//                are left out, links to folders are not followed
//   a pattern    with * ? [...] or {a,b}, if there is no file of that name: files and folders
//                that match it, sorted
//   -            standard input
// Throws Error if standard input is named twice.
Inputs find_inputs(const std::vector<std::string>& arguments);

}  // namespace fvlm
