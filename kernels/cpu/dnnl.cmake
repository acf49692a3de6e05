# The target fastvlm::dnnl, oneDNN, for the build and, installed, for those who link to fastvlm::cpu: not through
# oneDNN's own CMake package, which asks for OpenCL's headers that only its GPU engine needs.
find_library(FVLM_DNNL_LIBRARY dnnl REQUIRED)
mark_as_advanced(FVLM_DNNL_LIBRARY)
if(NOT TARGET fastvlm::dnnl)
  add_library(fastvlm::dnnl UNKNOWN IMPORTED)
  set_target_properties(fastvlm::dnnl PROPERTIES IMPORTED_LOCATION ${FVLM_DNNL_LIBRARY})
endif()
