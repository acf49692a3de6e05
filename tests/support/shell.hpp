// What a command of the shell prints, and how it ends.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace fvlm {

struct Ended {
  int code = 0;
  std::string output;  // and errors
};

inline Ended shell(const std::string& command) {
  Ended ended;
  std::FILE* pipe = ::popen(("(" + command + ") 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  char part[4096];
  while (std::fgets(part, sizeof(part), pipe) != nullptr) ended.output += part;
  const int status = ::pclose(pipe);
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ended;
}

}  // namespace fvlm
