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
  gemm/token_tile.cu
  gemv/token_matvec_bf16.cu
  gemv/token_matvec_f16.cu
  gemv/token_matvec_f32.cu
  gemv/token_matvec_int4.cu
  gemv/token_matvec_int8.cu
  gemv/token_products.cu
  rowwise/embed.cu
  rowwise/layer_norm.cu
  sampling/sampling.cu)
list(TRANSFORM fvlm_cuda_kernels PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
