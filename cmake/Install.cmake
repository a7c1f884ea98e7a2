include(GNUInstallDirs)
install(TARGETS tenon RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES runtime/tenon.h runtime/tenon_threads.h runtime/tenon_weights.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES runtime/tenon_threads.c runtime/tenon_weights.c DESTINATION ${CMAKE_INSTALL_DATADIR}/tenon)
# find_package(tenon) gives tenon_add_model().
install(FILES cmake/TenonModel.cmake DESTINATION lib/cmake/tenon RENAME tenon-config.cmake)
install(FILES docs/tenon.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${PROJECT_BINARY_DIR}/docs/ops.md docs/ir.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
