# A step of `cmake --install`, and so of packages: the unit of a service, which names its program and its settings
# where they went, and the settings, unless there are some already. For the prefixes /usr and /usr/local settings are
# in /etc, and systemd finds the unit; of another prefix both are below it.
if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
  set(etc /etc/${FVLM_NAME})
else()
  set(etc ${CMAKE_INSTALL_PREFIX}/etc/${FVLM_NAME})
endif()

file(READ ${FVLM_UNIT} unit)
string(REPLACE /usr/local/bin/ ${CMAKE_INSTALL_PREFIX}/bin/ unit "${unit}")
string(REPLACE /etc/${FVLM_NAME}/ ${etc}/ unit "${unit}")
set(written ${FVLM_WRITTEN}/${FVLM_NAME}.service)
file(CONFIGURE OUTPUT ${written} CONTENT "${unit}" @ONLY)
file(INSTALL ${written} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)

cmake_path(GET FVLM_CONFIG FILENAME config)
if(EXISTS $ENV{DESTDIR}${etc}/${config})
  message(STATUS "Kept: ${etc}/${config}")
else()
  file(INSTALL ${FVLM_CONFIG} DESTINATION ${etc})
endif()
