/* The check of weights that are in a file of their own: a model compiled with --weights-file=FILE.
 *
 *   const void *weights = mmap(NULL, DIGITS_WEIGHTS_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
 *   if (tenon_check_weights(&digits_model, weights, size_of_the_file) != TENON_OK) ...
 *   struct digits_inputs in = {.image = image, .weights = weights};
 *   digits_run(&in, &out, arena);
 *
 * Compile tenon_weights.c into the program (C99, freestanding).  No model calls it: a run trusts the weights
 * that it is given, and a program that has checked them once need not do so again. */
#ifndef TENON_WEIGHTS_H
#define TENON_WEIGHTS_H

#include "tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the `bytes` bytes at `weights` are the model's: of its size, aligned, and of its hash (XXH3-128 of
 * the whole file, which is what `xxhsum -H2 FILE` prints).  TENON_OK, TENON_NULL_POINTER,
 * TENON_WEIGHTS_MISALIGNED, TENON_WEIGHTS_WRONG_SIZE or TENON_WEIGHTS_WRONG_HASH.  TENON_OK for a model that
 * has its weights in the object. */
int tenon_check_weights(const struct tenon_model *model, const void *weights, uint64_t bytes);

#ifdef __cplusplus
}
#endif

#endif
