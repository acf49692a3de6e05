# The libraries under the names by which other projects link to them, whether they find an installed package or
# build this project as a part of theirs:
#     fastvlm::engine   fvlm/engine.hpp, image.hpp, error.hpp: load a model, submit pictures and prompts
#     fastvlm::models   fvlm/models, ops, core: the model as templates over a backend; headers alone
#     fastvlm::ref, fastvlm::cpu, fastvlm::cuda   backends: kernels/ref/ref.hpp, cpu/cpu.hpp, cuda/host/cuda.hpp
# A developer's build with the emulated device installs none.
set(libraries fvlm_models)
if(FVLM_ENGINE)
  set_target_properties(fvlm_runtime PROPERTIES EXPORT_NAME engine)
  add_library(fastvlm::engine ALIAS fvlm_runtime)
  list(APPEND libraries fvlm_runtime fvlm_kernels)
endif()
foreach(backend ref cpu cuda)
  if(TARGET fvlm_${backend})
    add_library(fastvlm::${backend} ALIAS fvlm_${backend})
    list(APPEND libraries fvlm_${backend})
  endif()
endforeach()
add_library(fastvlm::models ALIAS fvlm_models)
foreach(library ${libraries})
  get_target_property(name ${library} EXPORT_NAME)
  if(NOT name)
    string(REPLACE fvlm_ "" name ${library})
    set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
  endif()
endforeach()

if(NOT FVLM_INSTALL OR NOT FVLM_ENGINE OR FVLM_EMULATOR)
  return()
endif()

# Headers of the backends: those named first, and all that they include.
set(headers kernels/plan/plan.hpp kernels/ref/ref.hpp kernels/cpu/cpu.hpp)
if(TARGET fvlm_cuda)
  list(APPEND headers kernels/cuda/host/cuda.hpp)
endif()
set(seen "")
while(headers)
  list(POP_FRONT headers header)
  list(APPEND seen ${header})
  file(STRINGS ${PROJECT_SOURCE_DIR}/${header} includes REGEX "^#include \"kernels/")
  foreach(include ${includes})
    string(REGEX REPLACE "^#include \"(.*)\".*" "\\1" include "${include}")
    if(NOT include IN_LIST seen AND NOT include IN_LIST headers)
      list(APPEND headers ${include})
    endif()
  endforeach()
endwhile()
foreach(header ${seen})
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${FVLM_INSTALLED_HEADERS}/${folder} COMPONENT development)
endforeach()
install(DIRECTORY include/fvlm DESTINATION ${FVLM_INSTALLED_HEADERS} COMPONENT development)

include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/fastvlm)
set(generated ${PROJECT_BINARY_DIR}/package/cmake)
install(TARGETS ${libraries} EXPORT fastvlm ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT fastvlm FILE fastvlmTargets.cmake NAMESPACE fastvlm:: DESTINATION ${package} COMPONENT development)
configure_package_config_file(tools/deploy/fastvlmConfig.cmake.in ${generated}/fastvlmConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${generated}/fastvlmConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${generated}/fastvlmConfig.cmake ${generated}/fastvlmConfigVersion.cmake kernels/cpu/dnnl.cmake
        DESTINATION ${package} COMPONENT development)
