# Writes a header with what --version says. Run at each build, since commits come between builds:
#     cmake -D VERSION=1.2.3 -D SOURCE=DIR -D HEADER=FILE -P version.cmake
# Without git or outside of a clone the version stands alone.
execute_process(
  COMMAND git -C ${SOURCE} describe --always --abbrev=12 --dirty --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit)
  set(commit " (${commit})")
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT
"#pragma once

#define FVLM_VERSION \"${VERSION}${commit}\"
")
