/* What the files of lowering share. */
#ifndef TENON_CODEGEN_LOWER_H
#define TENON_CODEGEN_LOWER_H

#include "codegen/nest.h"

/* From now on an element of `value` (of the region) in row `row` (positions of dims 0 .. first-1, which live as
 * long as the nest) is `element`, or is found in `buf`, which holds the dims from `first` on, from element
 * `from` of a row (NULL: the first one) on. */
void tn_stage(struct tn_lower *l, const struct tn_value *value, int first, struct tn_expr *const *row,
              struct tn_expr *element, struct tn_buf *buf, struct tn_expr *from);
bool tn_is_staged(const struct tn_lower *l, const struct tn_value *value);
struct tn_buf *tn_staged_in(const struct tn_lower *l, const struct tn_value *value); /* NULL: in no buffer */
/* Element idx of `value`, which is computed from that of `anchor` at the same position: `element`. */
struct tn_expr *tn_element_over(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx,
                                const struct tn_value *anchor, struct tn_expr *element);
/* Where position idx lies in a buffer of dims first .. rank-1. */
struct tn_expr *tn_row_position(struct tn_nest *n, const struct tn_type *type, int first,
                                struct tn_expr *const *idx);

/* Serial loops over a box; idx: its positions.  The cursor is in the innermost one. */
struct tn_cursor tn_loops_over(struct tn_cursor *c, int rank, const int64_t *extent, struct tn_expr **idx);
/* The reduction's sum for domain point `i` at c, over its loops of r->extent, of which the first one starts at
 * `from` (NULL: 0), in the accumulator's dtype. */
struct tn_expr *tn_lower_sum(struct tn_lower *l, struct tn_cursor *c, const struct tn_node *node,
                             const struct tn_reduction *r, struct tn_expr *const *i, struct tn_expr *from);

/* A kernel with the attribute `rows`. */
void tn_lower_rows(struct tn_lower *l, struct tn_node *kernel);
/* The product that the value ends: it is computed from that element by element, through nothing that is kept.
 * NULL: none. */
struct tn_node *tn_row_product(struct tn_lower *l, const struct tn_value *value);
/* acc = the reduction's element that domain point `i` is about. */
struct tn_expr *tn_row_reduce(struct tn_lower *l, struct tn_cursor *c, const struct tn_node *node,
                              struct tn_expr *const *i);
/* The rows of attention in the loops at c, block by block; row: positions of the dims before `first`. */
void tn_lower_blocks(struct tn_lower *l, struct tn_node *kernel, struct tn_cursor *c, int first,
                     struct tn_expr **row);

/* order.c: cuts the only loop of the nest into blocks of `rows` that run in order, downwards when it is
 * negative. */
void tn_order_blocks(struct tn_nest *n, int64_t rows);
/* Whether in that order nothing is stored in the arena over what is still to be loaded. */
bool tn_order_holds(struct tn_nest *n);
/* A kernel with the attribute `pool`, whose anchor is a reduction. */
void tn_lower_pool(struct tn_lower *l, const struct tn_node *anchor, const struct tn_node *pool, int count,
                   struct tn_value *const *outs);
/* Element idx of `head`, which an anchor with a nest of its own stores, on its way into the pool: the last one
 * of a window stores the results.  *parts: windows that have begun, NULL at first. */
struct tn_window_part;
void tn_pool_element(struct tn_lower *l, struct tn_cursor *c, struct tn_window_part **parts,
                     const struct tn_node *pool, const struct tn_value *head, struct tn_expr *const *idx,
                     struct tn_expr *element, int count, struct tn_value *const *outs);

#endif
