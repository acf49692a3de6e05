# Puts the files of a web page into a target, whose sources include <web_files.hpp>: pictures in JPEG as
# bytes, others as text, made again when one changes.
function(fvlm_web_files target)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
  set(entries "")
  foreach(path ${ARGN})
    cmake_path(GET path FILENAME name)
    if(name MATCHES "[.]jpg$")
      file(READ ${path} content HEX)
      string(REGEX REPLACE "(..)" "\\\\x\\1" content "${content}")
      file(SIZE ${path} size)
      string(APPEND entries "    {\"${name}\", {\"${content}\", ${size}}},\n")
    else()
      file(READ ${path} content)
      string(APPEND entries "    {\"${name}\", R\"fvlm_page(${content})fvlm_page\"},\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/web_files.hpp @ONLY CONTENT
"#pragma once

#include \"net/http/web_page.hpp\"

namespace fvlm::net {

inline constexpr WebFile kWebFiles[] = {
@entries@};

}  // namespace fvlm::net
")
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/generated)
endfunction()
