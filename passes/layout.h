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

struct tn_layout {
  int rank;
  uint8_t at[TN_MAX_RANK];
};
struct tn_layout tn_layout_identity(int rank);
bool tn_layout_equal(const struct tn_layout *a, const struct tn_layout *b);
bool tn_layout_is_identity(const struct tn_layout *layout);
/* after[i] = first[second[i]]: the layout of x after it was transposed by `first`, then stored in `second`. */
struct tn_layout tn_layout_compose(const struct tn_layout *first, const struct tn_layout *second);
struct tn_layout tn_layout_inverse(const struct tn_layout *layout);
struct tn_layout tn_layout_of_perm(const struct tn_node *transpose);
/* Both layouts put the elements of such a value into the same places: they order the dims of more than one
 * element in the same way. */
bool tn_layout_same_bytes(const struct tn_type *type, const struct tn_layout *a, const struct tn_layout *b);

/* ---- ops (layout_op.c) ---- */

enum tn_layout_role {
  TN_ROLE_FIXED,     /* works in the model's order of dims alone */
  TN_ROLE_SAME,      /* works in any layout that its operands and results share */
  TN_ROLE_DROP,      /* the same, but the result lacks some of operand 0's dims */
  TN_ROLE_TRANSPOSE, /* only says how the result's layout relates to the operand's */
  TN_ROLE_RESHAPE
};
enum tn_layout_role tn_layout_role(const struct tn_node *node);
/* Operand `index` is stored in the node's layout (others, such as indices, are as the model means them). */
bool tn_layout_carries(const struct tn_node *node, int index);
/* The layout of a TN_ROLE_DROP node's result when operand 0 has the layout `operand`. */
struct tn_layout tn_layout_drop(const struct tn_node *node, const struct tn_layout *operand);
/* Makes the value's quantization that of the value in the layout. */
void tn_layout_set_quant(struct tn_value *value, const struct tn_layout *layout);
/* Makes the attributes, and the results' quantization, those of the node in the layout (of operand 0 for
 * TN_ROLE_DROP). */
void tn_layout_set_attrs(struct tn_node *node, const struct tn_layout *layout);

/* ---- reshapes in blocks (also of simplify and fuse) ---- */

/* Dims from[0]..from[1]-1 of a reshape's operand hold the same elements, in the same order, as dims
 * to[0]..to[1]-1 of its result. */
struct tn_block {
  int from[2], to[2];
};
/* The finest blocks, in order; they cover all dims of both shapes.  -1: not known for symbolic dimensions. */
int tn_reshape_blocks(const struct tn_type *from, const struct tn_type *to, struct tn_block *out);
/* The only dim of more than one element among dims range[0] .. range[1]-1; -1: there are several, or none. */
int tn_only_dim(const struct tn_type *type, const int range[2]);

/* Moves dims, as a reshape (which costs nothing) when only dims of extent 1 move; x itself when none does. */
struct tn_value *tn_permute(struct tn_build *b, struct tn_value *x, const int64_t *perm);
/* The layout that a reshape's result has when its operand, stored in `before`, is reshaped as it lies.  False
 * when the result would be no permutation of what is meant. */
bool tn_layout_through(const struct tn_type *from, const struct tn_type *to, const struct tn_layout *before,
                       struct tn_layout *after);

/* ---- the choice ---- */

/* What is known of a graph's values.  Constants and values of other graphs are in no component: they are as the
 * model means them, wherever they are used. */
struct tn_layouts {
  struct tn_pass *pass;
  struct tn_graph *graph;
  tn_arena *arena;
  uint32_t ids;             /* value ids below this are known */
  int *component;           /* [ids]; -1: none.  Values of one component have one layout */
  struct tn_type *meant;    /* [ids]: the types that the model gives to those in components */
  struct tn_layout *layout; /* [components] */
};
/* The layout in which the value is stored. */
struct tn_layout tn_layout_of(const struct tn_layouts *l, const struct tn_value *value);
/* The value's definition cannot give it another layout than the model's: a graph input, a conv, ... */
bool tn_layout_fixed_def(const struct tn_value *value);
/* How the value is converted for a reshape: to `operand` before it, from `result` (what comes out then) to its
 * own layout after it; whichever order moves the fewest bytes.  Returns those bytes. */
double tn_layout_reshape_plan(const struct tn_layouts *l, const struct tn_node *reshape,
                              struct tn_layout *operand, struct tn_layout *result);
/* Bytes moved when the value is taken from one layout to the other. */
double tn_layout_move_cost(const struct tn_layouts *l, const struct tn_type *type, const struct tn_layout *from,
                           const struct tn_layout *to);
/* A lower-rank operand of an elementwise node, seen with as many dims as the result: leading ones. */
struct tn_type tn_layout_widen_type(const struct tn_type *type, int rank);
struct tn_layout tn_layout_widen(const struct tn_layout *layout, int rank);

/* ---- the rewrite (layout_rewrite.c) ---- */
void tn_layout_rewrite(struct tn_layouts *l);

#endif
