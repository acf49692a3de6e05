# Puts files into a target that compiles page.cpp, which finds them by their path: as text in a
# header, made again when one changes.
function(fvlm_page_files target)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
  set(entries "")
  foreach(path ${ARGN})
    cmake_path(GET path FILENAME name)
    file(READ ${path} content)
    string(APPEND entries "    {\"${name}\", R\"fvlm_page(${content})fvlm_page\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/page_files.hpp @ONLY CONTENT
"#pragma once

#include <string_view>
#include <utility>

namespace fvlm::net {

inline constexpr std::pair<std::string_view, std::string_view> kPageFiles[] = {
@entries@};

}  // namespace fvlm::net
")
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/generated)
endfunction()
