/* What the definitions of ops (define_*.c) share.  See "definitions" in nest.h for what a definition is.
 *
 * A definition sees static shapes only, and is asked for positions inside of its result (or under a guard that
 * says so).  It asks its operands for positions inside of them, or under a guard. */
#ifndef TENON_CODEGEN_DEFINE_H
#define TENON_CODEGEN_DEFINE_H

#include "codegen/nest.h"

/* One definition for each rule; a forgotten one is a link error. */
#define OP(id, name, min_in, max_in, min_out, max_out, flags, shape, define, doc) \
  extern const struct tn_definition tn_define_##define;
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR

/* The number of a dim from an attribute; negative ones count from the end. */
int tn_define_axis(const struct tn_node *node, enum tn_attr_id id, int rank);
/* Leaves to the guard with an error about the node. */
TN_NORETURN void tn_define_fail(const struct tn_node *node, const char *text);
/* Positions in `operand` for position idx of a result that it is broadcast to: out has room for its rank. */
void tn_define_broadcast(struct tn_nest *n, const struct tn_type *operand, const struct tn_type *result,
                         struct tn_expr *const *idx, struct tn_expr **out);
/* What a float of dtype is summed up in: f32 for the 16-bit ones; anything else in itself. */
enum tn_dtype tn_define_accumulator(enum tn_dtype dtype);
struct tn_expr *tn_define_zero(struct tn_nest *n, enum tn_dtype dtype);
/* 0 <= pos < extent; folds away when the bounds prove it. */
struct tn_expr *tn_define_inside(struct tn_nest *n, struct tn_expr *pos, int64_t extent);
/* An index value (any integer dtype) as a position along a dim: negative ones count from the end. */
struct tn_expr *tn_define_index(struct tn_nest *n, struct tn_expr *index, int64_t extent);
/* a comes before b in the order from largest (or from smallest): nans are larger than everything and equal to
 * each other. */
struct tn_expr *tn_define_before(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b, bool largest);
/* Loops over the dims of a type but `skip` (-1: none), outermost first.  idx receives their positions (at
 * `skip`: NULL).  Returns the cursor in the innermost body, kept in *body; c itself when there is no loop. */
struct tn_cursor *tn_define_loops(struct tn_cursor *c, const struct tn_type *type, int skip,
                                  enum tn_loop_kind kind, struct tn_expr **idx, struct tn_cursor *body);

#endif
