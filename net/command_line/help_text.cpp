#include "net/command_line/help_text.hpp"

#include <memory>
#include <sstream>
#include <string_view>

namespace fvlm {
namespace {

constexpr std::size_t kNameColumns = 32;
constexpr std::size_t kColumns = 100;

// With the first name of each flag. Others are aliases: predict.py's names with dashes, and names
// of earlier versions.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(kNameColumns);
    label("SUBCOMMAND", "COMMAND");
    label("Positionals", "Arguments");
  }

  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    if (positional) return option->get_name(true);
    const std::string name = "--" + option->get_lnames().front();
    return option->get_snames().empty() ? name : "-" + option->get_snames().front() + ", " + name;
  }
  std::string make_description(const CLI::App* command) const override {
    return command->get_description() + "\n\n";
  }
  std::string make_option(const CLI::Option* option, bool positional) const override {
    std::string text = "  " + make_option_name(option, positional) + make_option_opts(option);
    if (text.size() >= kNameColumns) {
      text += '\n' + std::string(kNameColumns, ' ');
    } else {
      text.resize(kNameColumns, ' ');
    }
    return text + wrapped(make_option_desc(option)) + '\n';
  }

 private:
  // Lines of whole words beside the names.
  static std::string wrapped(const std::string& description) {
    std::string text;
    std::size_t column = kNameColumns;
    std::istringstream words(description);
    for (std::string word; words >> word;) {
      if (column > kNameColumns && column + 1 + word.size() > kColumns) {
        text += '\n' + std::string(kNameColumns, ' ');
        column = kNameColumns;
      }
      if (column > kNameColumns) text += ' ', ++column;
      text += word;
      column += word.size();
    }
    return text;
  }
};

}  // namespace

void set_help_form(CLI::App& program) {
  program.formatter(std::make_shared<HelpFormatter>());
}

// Not App::help(), which is that of the command that was parsed.
std::string help_text(const CLI::App& command) {
  const CLI::App* const program = command.get_parent();
  return command.get_formatter()->make_help(
      &command,
      program == nullptr ? command.get_name() : program->get_name() + " " + command.get_name(),
      CLI::AppFormatMode::Normal);
}

}  // namespace fvlm
