#include "tools/commands/config_file.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "net/process/config_lines.hpp"

namespace fvlm {
namespace {

std::vector<CLI::ConfigItem> read_items(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) throw make_error("{}: cannot be opened", file);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  const std::string wrong = net::wrong_config_line(text, net::ConfigTables::kNone);
  if (!wrong.empty()) throw make_error("{}: {}", file, wrong);
  std::istringstream lines(text);
  try {
    return CLI::ConfigTOML().from_config(lines);
  } catch (const CLI::Error& error) {
    throw make_error("{}: {}", file, error.what());
  }
}

CLI::Option* find_flag(CLI::App& command, const CLI::ConfigItem& item) {
  static const std::set<std::string> not_of_files = {"config", "help", "quiet", "verbose"};
  if (!item.parents.empty() || not_of_files.contains(item.name)) return nullptr;
  return command.get_option_no_throw("--" + item.name);
}

}  // namespace

void apply_config_file(CLI::App& command, const std::string& file) {
  std::map<const CLI::Option*, std::string> keys;  // of the file: a flag may have several names
  for (const CLI::ConfigItem& item : read_items(file)) {
    CLI::Option* flag = find_flag(command, item);
    if (flag == nullptr) throw make_error("{}: there is no flag \"{}\"", file, item.fullname());
    const auto [first, is_new] = keys.emplace(flag, item.name);
    if (!is_new) {
      throw make_error("{}: \"{}\" and \"{}\" are one flag; keep one of them", file, first->second,
                       item.name);
    }
    // Lines with the same key come as one item.
    if (item.inputs.size() > 1 && flag->get_expected_max() <= 1) {
      throw make_error("{}: \"{}\" has more than one value", file, item.name);
    }
    if (flag->count() > 0) continue;  // the command line overrides it
    try {
      if (flag->get_expected_min() == 0) {
        flag->add_result(flag->get_flag_value(item.name, CLI::ConfigTOML().to_flag(item)));
      } else {
        flag->add_result(item.inputs);
      }
      flag->run_callback();
    } catch (const CLI::Error& error) {
      throw make_error("{}: {}", file, error.what());
    }
  }
}

}  // namespace fvlm
