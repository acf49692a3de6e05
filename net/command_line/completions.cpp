// Scripts that complete command lines, for three shells.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>

#include "net/command_line/command_table.hpp"

namespace fvlm {
namespace {

std::string joined_names(const std::vector<CommandEntry>& commands, const char* between) {
  std::vector<std::string> names;
  for (const CommandEntry& command : commands) {
    names.insert(names.end(), command.names.begin(), command.names.end());
  }
  return fmt::format("{}", fmt::join(names, between));
}

std::string bash_script(const std::vector<CommandEntry>& commands) {
  std::string text = R"(# bash completion of fastvlm, made from its table of flags
_fastvlm() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} flags= files= word=
  COMPREPLY=()
  if [[ $current == = ]]; then current=; elif [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W ')" +
                     joined_names(commands, " ") + R"( --help --version' -- "$current"))
    return
  fi
  case ${COMP_WORDS[1]},$previous in
)";
  const auto add = [&](const std::string& pattern, const std::string& words) {
    text += "    " + pattern + ") " + words + "; return ;;\n";
  };
  for (const CommandEntry& command : commands) {
    for (const FlagEntry& flag : command.flags) {
      if (flag.kind == ValueKind::kNone) continue;
      std::string words = "COMPREPLY=()";
      if (flag.kind == ValueKind::kFile) words = "_fastvlm_files -f";
      if (flag.kind == ValueKind::kFolder) words = "_fastvlm_files -d";
      if (flag.kind == ValueKind::kChoice) {
        words = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$current\"))",
                            fmt::join(flag.choices, " "));
      }
      std::vector<std::string> patterns;
      for (const std::string& name : command.names) patterns.push_back(name + "," + flag.name);
      add(fmt::format("{}", fmt::join(patterns, "|")), words);
    }
  }
  text += "  esac\n  case ${COMP_WORDS[1]} in\n";
  for (const CommandEntry& command : commands) {
    std::string flags;
    for (const FlagEntry& flag : command.flags) flags += flag.name + " ";
    text += fmt::format("    {}) flags='{}' files={} word='{}' ;;\n", fmt::join(command.names, "|"),
                        flags, command.takes_files ? "yes" : "",
                        command.takes_command ? joined_names(commands, " ") : "");
  }
  return text + R"(  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ -n $files ]]; then
    _fastvlm_files -f
  else
    COMPREPLY=($(compgen -W "$word" -- "$current"))
  fi
}
_fastvlm_files() {
  local IFS=$'\n'
  compopt -o filenames 2> /dev/null
  COMPREPLY=($(compgen "$1" -- "$current"))
}
complete -F _fastvlm fastvlm
)";
}

// In a text between single quotes, within [...] of zsh's _arguments.
std::string zsh_text(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else if (c == '[' || c == ']' || c == ':' || c == '\\') {
      result += '\\';
      result += c;
    } else {
      result += c;
    }
  }
  return result;
}

std::string zsh_script(const std::vector<CommandEntry>& commands) {
  std::string text =
      "#compdef fastvlm\n# zsh completion of fastvlm, made from its table of flags\n"
      "_fastvlm() {\n  local context state line\n  local -a commands\n  commands=(\n";
  for (const CommandEntry& command : commands) {
    for (const std::string& name : command.names) {
      text += fmt::format("    '{}:{}'\n", name, zsh_text(command.description));
    }
  }
  text +=
      "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  ((--CURRENT))\n  case $command in\n";
  for (const CommandEntry& command : commands) {
    text += fmt::format("    {})\n      _arguments", fmt::join(command.names, "|"));
    for (const FlagEntry& flag : command.flags) {
      text += fmt::format(" \\\n        '{}{}[{}]", flag.repeatable ? "*" : "", flag.name,
                          zsh_text(flag.description));
      if (flag.kind == ValueKind::kFile) text += ":file:_files";
      if (flag.kind == ValueKind::kFolder) text += ":folder:_files -/";
      if (flag.kind == ValueKind::kText) text += ":value:";
      if (flag.kind == ValueKind::kChoice) {
        text += fmt::format(":choice:({})", fmt::join(flag.choices, " "));
      }
      text += "'";
    }
    if (command.takes_files) text += " \\\n        '*:picture:_files'";
    if (command.takes_command) {
      text += " \\\n        '1:command:(" + joined_names(commands, " ") + ")'";
    }
    text += " ;;\n";
  }
  return text +
         "  esac\n}\nif [[ $funcstack[1] == _fastvlm ]]; then\n  _fastvlm \"$@\"\nelse\n"
         "  compdef _fastvlm fastvlm\nfi\n";
}

std::string fish_text(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return "'" + result + "'";
}

std::string fish_script(const std::vector<CommandEntry>& commands) {
  std::string text =
      "# fish completion of fastvlm, made from its table of flags\n"
      "complete -c fastvlm -f\n";
  for (const CommandEntry& command : commands) {
    for (const std::string& name : command.names) {
      text += fmt::format("complete -c fastvlm -n __fish_use_subcommand -a {} -d {}\n", name,
                          fish_text(command.description));
    }
    const std::string here = fmt::format("complete -c fastvlm -n '__fish_seen_subcommand_from {}'",
                                         fmt::join(command.names, " "));
    if (command.takes_files) text += here + " -F\n";
    if (command.takes_command) text += here + " -a '" + joined_names(commands, " ") + "'\n";
    for (const FlagEntry& flag : command.flags) {
      text += fmt::format("{} -l {} -d {}", here, flag.name.substr(2), fish_text(flag.description));
      if (flag.kind == ValueKind::kFile) text += " -r -F";
      if (flag.kind == ValueKind::kFolder) text += " -x -a '(__fish_complete_directories)'";
      if (flag.kind == ValueKind::kText) text += " -x";
      if (flag.kind == ValueKind::kChoice) {
        text += fmt::format(" -x -a '{}'", fmt::join(flag.choices, " "));
      }
      text += "\n";
    }
  }
  return text;
}

}  // namespace

std::string completion_script(const std::string& shell, const std::vector<CommandEntry>& commands) {
  if (shell == "bash") return bash_script(commands);
  if (shell == "zsh") return zsh_script(commands);
  if (shell == "fish") return fish_script(commands);
  throw std::invalid_argument("there are completions for bash, zsh and fish");
}

}  // namespace fvlm
