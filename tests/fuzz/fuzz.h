/* What fuzz targets share. */
#ifndef TENON_FUZZ_H
#define TENON_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A violation is a crash, which is what a fuzzer reports. */
static inline void fuzz_want(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "does not hold: %s\n", what);
  abort();
}

#endif
