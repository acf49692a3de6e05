# Read by cpack before it makes a package. Without these programs it would leave out the dependencies and say nothing.
foreach(tool dpkg-shlibdeps file)
  find_program(found_${tool} ${tool} NO_CACHE)
  if(NOT found_${tool})
    message(FATAL_ERROR "cpack: ${tool} is missing; a package would come out without its dependencies. "
                        "tools/install_packages.sh installs it.")
  endif()
endforeach()
