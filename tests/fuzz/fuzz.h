/* What fuzz targets share. */
#ifndef TENON_FUZZ_H
#define TENON_FUZZ_H

#include "support/support.h"

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

/* The context of one run ends: whatever was refused was no bug. */
static inline void fuzz_end(tn_ctx *ctx) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    fuzz_want(diags[i].severity != TN_BUG, tn_diag_format(tn_ctx_arena(ctx), &diags[i]));
  tn_ctx_destroy(ctx);
}

#endif
