# What `cmake --install` writes beside the programs, and the Debian packages fastvlm (the engine and its server)
# and fastvlm-camera, each with its unit:
#     cpack --config build/PRESET/CPackConfig.cmake -B build/PRESET/packages
# tools/deploy/install.sh builds one, installs and starts it.
set(CPACK_COMPONENTS_ALL "")

# The history of versions, as Debian wants it in a package.
set(changelog ${PROJECT_BINARY_DIR}/package/changelog.gz)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/package)
execute_process(COMMAND gzip -9 -n -c ${CMAKE_CURRENT_LIST_DIR}/changelog OUTPUT_FILE ${changelog} COMMAND_ERROR_IS_FATAL ANY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/changelog)

# fvlm_package(COMPONENT NAME CONFIG UNIT): what both have.
function(fvlm_package component name config unit)
  string(TOUPPER ${component} upper)
  install(TARGETS ${name} RUNTIME DESTINATION bin COMPONENT ${component})
  install(CODE "
    set(FVLM_NAME \"${name}\")
    set(FVLM_UNIT \"${unit}\")
    set(FVLM_CONFIG \"${config}\")
    set(FVLM_WRITTEN \"${PROJECT_BINARY_DIR}/package\")" COMPONENT ${component})
  install(SCRIPT ${PROJECT_SOURCE_DIR}/tools/deploy/install_service.cmake COMPONENT ${component})
  install(FILES ${changelog} DESTINATION share/doc/${name} COMPONENT ${component})
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/doc/${name} RENAME copyright COMPONENT ${component})
  cmake_path(GET config FILENAME config_name)
  set(control ${PROJECT_BINARY_DIR}/package/${name})
  file(CONFIGURE OUTPUT ${control}/conffiles CONTENT "/etc/${name}/${config_name}\n")
  foreach(script postinst prerm postrm)
    configure_file(${PROJECT_SOURCE_DIR}/tools/deploy/${script}.in ${control}/${script} @ONLY)
    list(APPEND scripts ${control}/${script})
  endforeach()
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name} PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ON PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION video PARENT_SCOPE)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA "${scripts};${control}/conffiles" PARENT_SCOPE)
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${component} PARENT_SCOPE)
endfunction()

# fvlm_manual(COMPONENT NAME): what a program makes of its table of flags, manual pages and completions of
# three shells. It must run for that, so a cross-built package has none.
function(fvlm_manual component name)
  if(CMAKE_CROSSCOMPILING)
    return()
  endif()
  get_target_property(manual ${name} FVLM_MANUAL)
  install(DIRECTORY ${manual}/man1 DESTINATION share/man COMPONENT ${component})
  install(FILES ${manual}/${name} DESTINATION share/bash-completion/completions COMPONENT ${component})
  install(FILES ${manual}/${name}.fish DESTINATION share/fish/vendor_completions.d COMPONENT ${component})
  # Debian's zsh looks here for those of packages, and in site-functions below /usr/local.
  install(CODE "
    set(folder site-functions)
    if(CMAKE_INSTALL_PREFIX MATCHES \"^/usr/?$\")
      set(folder vendor-completions)
    endif()
    file(INSTALL \"${manual}/_${name}\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/share/zsh/\${folder}\")" COMPONENT ${component})
endfunction()

# Not of a developer's build, with its emulated device.
if(FVLM_ENGINE AND FVLM_PROGRAMS AND NOT FVLM_EMULATOR)
  # The server has a user and a folder for its model; see fastvlm.service.
  set(state_user fastvlm)
  set(deploy ${PROJECT_SOURCE_DIR}/tools/deploy)
  fvlm_package(server fastvlm ${deploy}/fastvlm.toml ${deploy}/fastvlm.service)
  set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "passwd")
  set(CPACK_DEBIAN_SERVER_DESCRIPTION "A native runtime and server for FastVLM, Apple's
 vision-language model, for processors and NVIDIA GPUs.")
  fvlm_manual(server fastvlm)
endif()
if(FVLM_CAMERA)
  set(state_user "")
  set(deploy ${PROJECT_SOURCE_DIR}/capture/deploy)
  fvlm_package(camera fastvlm-camera ${deploy}/camera.conf ${deploy}/fastvlm-camera.service)
  set(CPACK_DEBIAN_CAMERA_DESCRIPTION "Sends a camera's pictures to a FastVLM server, and shows
 them with what it says on a web page.")
  fvlm_manual(camera fastvlm-camera)
endif()

if(CPACK_COMPONENTS_ALL)
  set(CPACK_GENERATOR DEB)
  set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "FastVLM: pictures described as they are seen")
  set(CPACK_PACKAGE_CONTACT "The fastvlm project <fastvlm@localhost>")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_STRIP_FILES ON)
  set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/tools/deploy/package_tools.cmake)
  include(CPack)
  if(FVLM_TESTS AND NOT FVLM_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME packages_test COMMAND ${PROJECT_SOURCE_DIR}/tests/tools/packages.sh ${PROJECT_BINARY_DIR})
    set_tests_properties(packages_test PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 RESOURCE_LOCK install)
  endif()
endif()
