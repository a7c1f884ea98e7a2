/* Layout: which order of dims each value is stored in.  Shared by the files of the pass.
 *
 *   layout.c          gives every value a layout so that the fewest bytes are transposed; the pass
 *   layout_op.c       which ops work in any layout, and how their attributes follow it
 *   layout_reshape.c  how a layout passes through a reshape
 *   layout_rewrite.c  makes the graph compute in the layouts that were chosen
 *
 * A layout is a permutation: stored dim i is dim perm[i] of the value as the model means it. */
#ifndef TENON_PASSES_LAYOUT_H
#define TENON_PASSES_LAYOUT_H

#include "passes/passes.h"

/* ---- reshapes in blocks (also of the fuse pass) ---- */

/* Dims from[0]..from[1]-1 of a reshape's operand hold the same elements, in the same order, as dims
 * to[0]..to[1]-1 of its result. */
struct tn_block {
  int from[2], to[2];
};
/* The finest blocks, in order; they cover all dims of both shapes.  -1: not known for symbolic dimensions. */
int tn_reshape_blocks(const struct tn_type *from, const struct tn_type *to, struct tn_block *out);

#endif
