# Sets fvlm_cuda_kernels, the sources of kernels: for a device, for the emulator, and for
# bench/gpu_check.
set(fvlm_cuda_kernels
  attention/attention.cu
  attention/image_attention.cu
  convolution/depthwise.cu
  convolution/squeeze_excite.cu
  convolution/stem.cu
  gemm/feed_forward.cu
  gemm/linear.cu
  gemm/token_products.cu
  rowwise/embed.cu
  rowwise/fold_norm.cu
  rowwise/layer_norm.cu
  sampling/sampling.cu)
list(TRANSFORM fvlm_cuda_kernels PREPEND ${CMAKE_CURRENT_LIST_DIR}/)

# One for each format of weights, so that they are compiled side by side.
foreach(format F32 F16 BF16 Int8 Int4)
  string(TOLOWER ${format} name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/token_gemv_${name}.cu)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/gemv/token_gemv.cu.in ${source} @ONLY)
  list(APPEND fvlm_cuda_kernels ${source})
endforeach()
