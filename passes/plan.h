/* Private to the memory plan (plan*.c). */
#ifndef TENON_PASSES_PLAN_H
#define TENON_PASSES_PLAN_H

#include "passes/passes.h"

/* The value whose storage a value has: itself, or what it is a view of. */
struct tn_value *tn_plan_root(struct tn_value *value);
/* Adds the copies that the contract asks for. */
void tn_plan_copies(struct tn_pass *pass, struct tn_module *module);
/* Whether the kernel reads each element of this operand only to compute the result's element at the same place,
 * so that its one result may overwrite it. */
bool tn_plan_same_elements(const struct tn_node *kernel, int operand);

/* A value that is stored as a box of another one's elements: element idx is the parent's element start + step *
 * idx. */
struct tn_placing {
  struct tn_value *parent; /* NULL: it has a buffer of its own */
  bool reshaped; /* the parent is a view of it, and decides where it lies; start and step are not set */
  int64_t start[TN_MAX_RANK], step[TN_MAX_RANK];
};
/* Which moves cost nothing: the operand of a pad or a concat is computed where the result wants it; a slice is
 * read where it lies. */
enum tn_placings { TN_PLACE_NONE, TN_PLACE_PADS, TN_PLACE_ALL };
/* placing[value id], zeroed before; returns how many values got one. */
size_t tn_plan_placings(struct tn_pass *pass, struct tn_graph *graph, enum tn_placings which,
                        struct tn_placing *placing);
/* The value's window of the buffer at the end of its chain of parents; NULL: it has no parent. */
const struct tn_window *tn_plan_window(tn_arena *arena, const struct tn_placing *placing,
                                       const struct tn_value *value);

/* Asks for the reach of those pairs of buffers that make the arena large; index of storage: number of the
 * buffer.  Returns whether any may overlap. */
bool tn_plan_choose_pairs(struct tn_pass *pass, const struct tn_plan_buffer *buffers, size_t count,
                          struct tn_plan_pair *pairs, size_t pair_count);
/* Bytes that the pair needs less than its buffers have, at best. */
int64_t tn_plan_saves(const struct tn_plan_pair *pair, const struct tn_plan_buffer *buffers);
/* Bytes that live at each time up to *end. */
int64_t *tn_plan_live(tn_arena *scratch, const struct tn_plan_buffer *buffers, size_t count, int32_t *end);

/* Whether the value may be stored as a window of some buffer though no placing says so. */
bool tn_plan_may_take_window(const struct tn_value *value, const struct tn_placing *placing);

#endif
