// Manual pages: see man(7) for the macros.
#include <fmt/format.h>

#include <cctype>
#include <sstream>
#include <string_view>

#include "net/command_line/command_table.hpp"

namespace fvlm {
namespace {

// Text that troff takes as it is.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else if (c == '\'') {
      result += "\\(aq";
    } else {
      result += c;
    }
  }
  return result.starts_with('.') ? "\\&" + result : result;
}

std::string head(const CLI::App& program, const std::string& name, const std::string& description) {
  std::string title = name;
  for (char& c : title) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format(".TH {} 1 \"\" \"{}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n",
                     escaped(title), escaped(program.version()), escaped(name),
                     escaped(description));
}

std::string flag_lines(const std::vector<FlagEntry>& flags) {
  std::string text;
  for (const FlagEntry& flag : flags) {
    text += fmt::format(".TP\n\\fB{}\\fR", escaped(flag.name));
    if (!flag.value.empty()) text += fmt::format(" \\fI{}\\fR", escaped(flag.value));
    text += "\n" + escaped(flag.description) + "\n";
  }
  return text;
}

// Lines as they are.
std::string literal(const std::string& lines) {
  std::string text = ".nf\n";
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) text += escaped(line) + "\n";
  return text + ".fi\n";
}

constexpr const char* kExitStatus = R"(.SH EXIT STATUS
.TP
0
What was asked for is done.
.TP
1
It ran, and a part failed: pictures that cannot be read, too few right answers.
.TP
2
Flags, files or settings are wrong; standard error says which.
.TP
128 + N
Signal N ended it.
)";

}  // namespace

std::string man_page(const CLI::App& program, const std::vector<CommandEntry>& commands) {
  std::string text =
      head(program, "fastvlm", "describe pictures with FastVLM and answer questions about them");
  text += ".SH SYNOPSIS\n.B fastvlm\n.I COMMAND\n[\\fIFLAG\\fR]...\n.SH DESCRIPTION\n";
  text += escaped(program.get_description()) +
          "\nAnswers go to standard output, everything else to standard error.\n.SH COMMANDS\n";
  for (const CommandEntry& command : commands) {
    text += ".TP\n\\fB" + escaped(command.names.front()) + "\\fR";
    for (std::size_t i = 1; i < command.names.size(); ++i) {
      text += ", \\fB" + escaped(command.names[i]) + "\\fR";
    }
    text += "\n" + escaped(command.description) + "; see\n.BR fastvlm\\-" +
            escaped(command.names.front()) + " (1)\n";
  }
  text += ".SH OPTIONS\n" + flag_lines(flag_table(program)) + kExitStatus;
  return text;
}

std::string man_page(const CLI::App& program, const CommandEntry& command) {
  const std::string& name = command.names.front();
  std::string text = head(program, "fastvlm-" + name, command.description);
  text += ".SH SYNOPSIS\n";
  for (const std::string& one : command.names) {
    text += fmt::format(".B fastvlm {}\n[\\fIFLAG\\fR]...", escaped(one));
    if (!command.argument.empty()) text += " [\\fI" + escaped(command.argument) + "\\fR]";
    text += &one == &command.names.back() ? "\n" : "\n.br\n";
  }
  text += ".SH DESCRIPTION\n" + escaped(command.description) + ".\n";
  if (!command.footer.empty()) text += ".PP\n" + literal(command.footer);
  text += ".SH OPTIONS\n";
  if (!command.argument.empty()) {
    text += fmt::format(".TP\n\\fI{}\\fR\n{}\n", escaped(command.argument),
                        escaped(command.argument_description));
  }
  return text + flag_lines(command.flags) + kExitStatus + ".SH SEE ALSO\n.BR fastvlm (1)\n";
}

}  // namespace fvlm
