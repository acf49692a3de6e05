# The tests of the camera client, which build without the engine.
find_package(GTest REQUIRED)
find_package(JPEG REQUIRED)
include(GoogleTest)

add_executable(camera_vivid_guest tests/camera_vivid_guest.cpp tests/camera_program.cpp)
target_link_libraries(camera_vivid_guest PRIVATE fvlm_options GTest::gtest_main JPEG::JPEG)
