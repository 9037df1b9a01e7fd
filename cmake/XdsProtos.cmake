# Envoy's API as C++, from the pinned wheel `xds-protos` (never copied into the tree).
# Makes the library `xds_api` and, for DynamicMessage, build/xds/all.pb.
set(wheel ${PROJECT_SOURCE_DIR}/build/deps/xds_protos-1.85.0-py3-none-any.whl)
set(wheel_sha256 e1e7bfd9936389936b2c85660d9db0dae380f12678a594b983da40dd472f1760)
if(NOT EXISTS ${wheel})
  message(FATAL_ERROR "${wheel} is missing: run `make deps` (tools/deps.sh fetches it from PyPI)")
endif()
file(SHA256 ${wheel} found_sha256)
if(NOT found_sha256 STREQUAL wheel_sha256)
  message(FATAL_ERROR "${wheel} has SHA-256 ${found_sha256}, expected ${wheel_sha256}: remove it and run `make deps`")
endif()

find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(xds_dir ${PROJECT_SOURCE_DIR}/build/xds)  # one copy for all presets
file(STRINGS ${PROJECT_SOURCE_DIR}/cmake/xds_roots.txt xds_roots)
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/cmake/xds_roots.txt ${PROJECT_SOURCE_DIR}/tools/xds_descriptors.py)
file(SHA256 ${PROJECT_SOURCE_DIR}/cmake/xds_roots.txt roots_sha256)
set(xds_stamp ${xds_dir}/stamp-${wheel_sha256}-${roots_sha256})
if(NOT EXISTS ${xds_stamp})
  # Made aside; what stays equal keeps its age, so that one root more is no reason to compile all.
  set(xds_new ${xds_dir}/new)
  file(REMOVE_RECURSE ${xds_new})
  file(MAKE_DIRECTORY ${xds_new}/gen)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/xds_descriptors.py --wheel ${wheel}
      --all ${xds_new}/all.pb --closure ${xds_new}/closure.pb --list ${xds_new}/files.txt ${xds_roots}
    COMMAND_ERROR_IS_FATAL ANY)
  file(STRINGS ${xds_new}/files.txt xds_files)
  execute_process(COMMAND protoc --descriptor_set_in=${xds_new}/closure.pb --cpp_out=${xds_new}/gen ${xds_files}
    COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB_RECURSE xds_made RELATIVE ${xds_new} ${xds_new}/*)
  foreach(file IN LISTS xds_made)
    get_filename_component(folder ${xds_dir}/${file} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    file(COPY_FILE ${xds_new}/${file} ${xds_dir}/${file} ONLY_IF_DIFFERENT)
  endforeach()
  file(REMOVE_RECURSE ${xds_new})
  file(TOUCH ${xds_stamp})
endif()
file(STRINGS ${xds_dir}/files.txt xds_files)
list(TRANSFORM xds_files REPLACE "(.*)\\.proto$" "${xds_dir}/gen/\\1.pb.cc" OUTPUT_VARIABLE xds_sources)
add_subdirectory(${PROJECT_SOURCE_DIR}/cmake/xds)
