# What the Debian package fastvlm-camera holds; `cpack` in the build folder makes it.
set(deploy ${CMAKE_SOURCE_DIR}/capture/deploy)
install(TARGETS fastvlm-camera RUNTIME DESTINATION bin COMPONENT camera)
install(FILES ${deploy}/fastvlm-camera.service DESTINATION /lib/systemd/system COMPONENT camera)
install(FILES ${deploy}/camera.conf DESTINATION /etc/fastvlm-camera COMPONENT camera)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION share/doc/fastvlm-camera RENAME copyright COMPONENT camera)

set(CPACK_DEBIAN_CAMERA_PACKAGE_NAME fastvlm-camera)
set(CPACK_DEBIAN_CAMERA_DESCRIPTION "The camera client: sends a camera's pictures to a FastVLM
 server and shows them with what it says on a web page.")
set(CPACK_DEBIAN_CAMERA_PACKAGE_SECTION video)
set(CPACK_DEBIAN_CAMERA_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_CAMERA_PACKAGE_CONTROL_EXTRA "${deploy}/postinst;${deploy}/prerm;${deploy}/conffiles")
list(APPEND CPACK_COMPONENTS_ALL camera)
