# The tests of the camera client, which build without the engine.
find_package(GTest REQUIRED)
find_package(JPEG REQUIRED)
find_package(OpenSSL REQUIRED)
include(GoogleTest)

# Started by camera_vivid.sh.
add_executable(camera_vivid_guest tests/camera_vivid_guest.cpp tests/camera_program.cpp)
target_link_libraries(camera_vivid_guest PRIVATE fvlm_options GTest::gtest_main JPEG::JPEG)

function(fvlm_camera_test name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE fvlm_capture GTest::gtest_main)
  set_target_properties(${name} PROPERTIES FVLM_ROLE test)
  target_compile_options(${name} PRIVATE -O1)  # builds twice as fast; what is tested has -O3
  target_compile_definitions(${name} PRIVATE FVLM_SOURCE="${CMAKE_SOURCE_DIR}"
    FVLM_CAMERA_PROGRAM="$<JOIN:${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:fastvlm-camera>, >")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120)
endfunction()

fvlm_camera_test(camera_unit_test tests/camera_encoder_test.cpp tests/camera_link_test.cpp tests/camera_source_test.cpp
                 tests/camera_v4l2_test.cpp tests/camera_jpeg.cpp tests/fake_camera.cpp)
fvlm_camera_test(camera_client_test tests/camera_client_test.cpp tests/camera_page_test.cpp tests/camera_jpeg.cpp
                 tests/camera_program.cpp tests/camera_server.cpp tests/raw_websocket.cpp)
target_link_libraries(camera_client_test PRIVATE OpenSSL::Crypto)
add_dependencies(camera_client_test fastvlm-camera)
