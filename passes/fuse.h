/* Fuse: from single ops to kernels.  Shared by the files of the pass.
 *
 *   fuse_reshape.c  moves reshapes out of the way of what should be fused
 *   fuse_scale.c    moves scales of a product's operands behind it
 *   fuse_cost.c     every decision about what is worth computing again, and what fits where
 *   fuse_group.c    which node goes to which kernels
 *   fuse_rows.c     which kernels become one that goes over its rows once
 *   fuse_attention.c  which of these take the products before and after them along
 *   fuse_pool.c     which pools become part of the convolution before them
 *   fuse.c          makes KERNEL nodes of the groups; the pass
 *
 * A group is a kernel to be: some nodes of one graph, with one or more roots whose results it writes to memory.
 * A node may be in several groups: each computes it again.  Everything a group computes that is not a root is
 * recomputed wherever it is read, in registers.
 *
 * What a kernel may be (the contract with code generation):
 *   pointwise   nodes with an element definition alone; all roots have one shape; a concat, or a pad that
 * grows, is the root and read by nothing else in the group anchored    one anchor.  A reduction (TN_REDUCE):
 * pointwise nodes before it and, after it, elementwise nodes of its result's shape up to the root.  Any other
 * op (arg_max, topk, ...): pointwise nodes before it, and it is the root.
 *   by rows     reductions over the last dims, `rows` the first of them, and pointwise nodes: everything is of
 * one shape, or of that shape with the reduced dims 1, so that a row needs nothing of other rows.  `kept` nodes
 * are computed once a row, the others wherever they are read.  With rows of one dim there may be a matmul
 * before and one after: the elements of the rows end the first, the kept rows are the first operand of the
 * second, and its result, of the same dims before the last, goes through elementwise nodes, then perhaps a
 * transpose that leaves the last dim where it is, to be the root.  When what lies between them is a softmax and
 * the rows are long, it may go on while the row comes in blocks (`block`).
 *   pooled      an anchor that is a convolution (or the last part of one by Winograd), elementwise nodes of its
 * shape, a pool whose windows neither overlap nor hang over a border, elementwise nodes of the pool's shape up
 * to the root: what is pooled is never in memory. */
#ifndef TENON_PASSES_FUSE_H
#define TENON_PASSES_FUSE_H

#include "passes/passes.h"

/* A node as part of a group. */
struct tn_member {
  struct tn_node *node;
  double evals; /* how many times an element of its result is computed in a run of the kernel */
  bool aligned; /* elementwise, of the roots' shape, and so is everything in the group that reads it: element i
                   of it serves element i of a root alone */
  bool strict;  /* read by a contraction: index moves only */
  int depth;    /* repeated nodes in a row, from here on, that are computed in several groups */
};

/* The nodes of a softmax that a product follows: max and sum are reductions over the last dim, and the
 * product's rows are exp(x - max) / sum; with `zero`, 0 where that is nan (or NULL: there is no such). */
struct tn_softmax {
  struct tn_node *max, *exp, *sum, *product, *zero;
};

struct tn_group {
  int order; /* position of the last root in the graph */
  TN_VEC(struct tn_member) members;
  TN_VEC(struct tn_node *) roots; /* in graph order once the groups are final */
  struct tn_node *anchor;         /* NULL: pointwise */
  struct tn_node *pool;           /* of what the anchor's epilogue makes; NULL: none */
  TN_VEC(struct tn_node *)
  kept;          /* by rows: results that are not written, or read again, and kept for the row */
  int rows;      /* by rows: first of the dims of a row; -1: not by rows */
  int64_t block; /* by rows, with a softmax between products: elements of a row at a time; 0: all of them */
  struct tn_softmax softmax; /* with a block */
  bool merged;               /* became part of another group */
};

struct tn_fuse {
  struct tn_pass *pass;
  struct tn_graph *graph;
  tn_arena *arena;        /* the pass's scratch */
  struct tn_node **nodes; /* [count], in graph order */
  int count;
  int *position; /* [ids]: of the node that defines the value; -1: not of this graph */
  struct tn_places {
    TN_VEC(int) at;
  } *places;    /* [count]: the groups that the node is in */
  uint32_t ids; /* value ids below this are known */
  TN_VEC(struct tn_group *) groups;
};

/* ---- fuse_reshape.c ---- */
void tn_fuse_sink_reshapes(struct tn_pass *pass, struct tn_graph *graph);

/* ---- fuse_scale.c ---- */
void tn_fuse_sink_scales(struct tn_pass *pass, struct tn_graph *graph);

/* ---- fuse_cost.c ---- */
#define TN_MAX_MEMBERS 64

/* Elements and bytes; symbolic dimensions count by their upper bound, or as many when they have none. */
double tn_fuse_elements(const struct tn_module *module, const struct tn_type *type);
double tn_fuse_bytes(const struct tn_module *module, const struct tn_type *type);
/* May be computed within a kernel that reads its result. */
bool tn_fuse_inlinable(const struct tn_node *node);
/* Reads its operands at many positions for each result: matmul, conv, overlapping pool. */
bool tn_fuse_contraction(const struct tn_node *node);
/* A reshape that only adds or removes dims of extent 1. */
bool tn_fuse_unit_reshape(const struct tn_node *node);
/* How often `reader`, evaluated `evals` times, reads elements of its operand `index` in all. */
double tn_fuse_reads(const struct tn_node *reader, int index, double evals);
/* Whether `reader` may have its operand computed rather than loaded, whatever the cost. */
bool tn_fuse_takes(const struct tn_node *reader, int index, const struct tn_node *producer, bool strict);
/* Whether computing `evals` elements of the node's result costs no more than it saves. */
bool tn_fuse_affordable(const struct tn_node *node, double evals);
/* Whether computing it in each of several kernels is better than storing it once. */
/* (depth: readers already so repeated; contractions_only: no other kind of node reads it) */
bool tn_fuse_repeatable(const struct tn_node *node, int depth, bool contractions_only);
/* Comes from a reduction through elementwise nodes that can be its epilogue, and is none that had better be
 * computed by its reader, from fewer bytes. */
bool tn_fuse_ends_reduction(const struct tn_node *node);

/* ---- fuse_rows.c ---- */
/* Merges groups whose reductions go over the same rows. */
void tn_fuse_merge_rows(struct tn_fuse *f);
/* The rows that a group is about. */
struct tn_row_shape {
  const struct tn_type *whole; /* of a row's elements, all dims */
  int first;                   /* dims from here on are the row; -1: any */
};
/* False when it cannot be part of a kernel by rows. */
bool tn_fuse_rows_of(const struct tn_group *g, struct tn_row_shape *out);
/* All that is made of value in the group, up to its roots, needs of a row only this row.  seen: [members],
 * false at first. */
bool tn_fuse_stays_in_rows(const struct tn_fuse *f, int group, const struct tn_value *value,
                           const struct tn_row_shape *s, bool *seen);
/* Group `to` is one by rows from now on, with all of `from`. */
void tn_fuse_merge_by_rows(struct tn_fuse *f, int from, int to, const struct tn_row_shape *s);
/* A reduction over the last dims, which it keeps as 1: the first of them; else -1. */
int tn_fuse_reduced_from(const struct tn_node *node);

/* ---- fuse_attention.c ---- */
/* All that the two groups reduce is for softmaxes between products, and there is one. */
bool tn_fuse_only_attention(const struct tn_group *a, const struct tn_group *b);
/* Merges the group by rows with the products before and after it, when it has both. */
void tn_fuse_merge_products(struct tn_fuse *f, int group);

/* ---- fuse_pool.c ---- */
/* Merges groups of convolutions with those that pool what they write. */
void tn_fuse_merge_pools(struct tn_fuse *f);

/* ---- fuse_group.c ---- */
void tn_fuse_form_groups(struct tn_fuse *f);
/* Whether anything but a direct edge leads from a root of one group to the other, through whole groups (which
 * run at once) and other nodes. */
bool tn_fuse_leads_around(struct tn_fuse *f, int from, int to);
/* Moves members and roots of group `from` to group `to`. */
void tn_fuse_merge(struct tn_fuse *f, int from, int to);
struct tn_member *tn_fuse_member(struct tn_fuse *f, int group, const struct tn_node *node); /* or NULL */
/* Position of the node that defines the value in this graph; -1: elsewhere. */
int tn_fuse_position(const struct tn_fuse *f, const struct tn_value *value);

#endif
