/* What the files of the schedule share. */
#ifndef TENON_CODEGEN_SCHEDULE_H
#define TENON_CODEGEN_SCHEDULE_H

#include "codegen/internal.h"

/* Iterations for each thread, so that their shares are about equal. */
#define TN_RANGES_A_THREAD 4

/* A perfect nest of loops around [reduce] stores; or, pooled: around let, loops over a window { reduce, set },
 * stores.
 */
struct tn_band {
  struct tn_nest *nest;
  int loops; /* outermost first */
  struct tn_var *loop[TN_MAX_REDUCE];
  struct tn_stmt *reduce; /* NULL: pointwise; its `next` is `stores` (pooled: `set`, which ends its list) */
  struct tn_stmt *stores;
  struct tn_stmt *let,
      *set; /* pooled: of the variable in which the window's elements are combined; else NULL */
  int windows;
  struct tn_var *window[TN_MAX_REDUCE];
  bool whole_windows; /* the reduction is to be unrolled altogether */
  int jam;            /* iterations of tile loops around it */
  bool ahead; /* not to be built: its operands are prepared in front of the loops around it, scratch apart,
                 which is filled inside */
};

/* schedule_band.c */
/* The band of which `first` is the outermost loop, or the only statement.  False: none. */
bool tn_find_band(struct tn_nest *n, struct tn_stmt *first, struct tn_band *band);
/* Expressions of the band, one by one: NULL past the last. */
struct tn_expr *tn_band_expr(const struct tn_band *b, int at);
void tn_collapse_band(struct tn_band *band);
/* Different iterations of the band's loops have different positions. */
bool tn_tells_iterations(const struct tn_band *b, const struct tn_expr *index);
/* e loads from buf. */
bool tn_ex_reads(const struct tn_expr *e, const struct tn_buf *buf);

/* A stretch of an axis: `whole` blocks of lanes * vectors iterations from `start`, of which the last one may
 * have only `last` valid (masked); extent = iterations covered. */
struct tn_segment {
  int64_t start, extent, whole;
  int lanes, vectors;
  bool masked;
};
#define TN_MAX_SEGMENTS 8
/* Cuts an axis into segments for blocks of `vectors` vectors of `lanes`. */
int tn_segments(const struct tn_target *t, int64_t extent, int lanes, int vectors, struct tn_segment *segs);

/* A packed constant operand: stands for loads of `buf` in the term. */
struct tn_packed {
  struct tn_expr *load; /* the load it replaces */
  struct tn_buf *buf;   /* new buffer */
  int outer_count;      /* result loops that it depends on, outermost first, axis left out */
  struct tn_var *outer[TN_MAX_REDUCE];
};

/* A stretch of a row loop: `whole` blocks of `rows` iterations from `start`. */
struct tn_cut {
  int64_t start, whole, rows;
};

/* A sum of products whose rows share what the vector axis loads: schedule_contract.c chooses, schedule_panels.c
 * builds. */
struct tn_contraction {
  const struct tn_target *t;
  struct tn_nest *n;
  struct tn_band *band;
  struct tn_var *axis;   /* columns */
  struct tn_var *row[2]; /* inner and outer row loop, or NULL */
  int lanes;
  enum tn_op op;                  /* of the term: TN_MUL, TN_DOT_S, TN_DOT_U, TN_DOT_W */
  struct tn_expr *columns, *rows; /* its operands that change with the columns, with the rows */
  bool columns_first;
  int64_t steps;  /* of the sum */
  int64_t window; /* elements that are pooled; 1: none are */
  /* the choice */
  int tile_rows[2], tile_vectors;
  bool window_in_tile; /* else window loops are around the sums of a tile */
  bool stage_rows, stage_columns;
  double cycles; /* of all sums */
};
int64_t tn_extent_of(const struct tn_var *v); /* 1 for NULL */
/* Cuts a row loop into blocks of `rows`, and what is left: at most two cuts. */
int tn_cut_rows(int64_t extent, int64_t rows, struct tn_cut *out);
/* All rows, for one stretch of columns that is packed as said or not (NULL). */
void tn_build_panels(struct tn_contraction *k, struct tn_cursor *c, const struct tn_segment *seg,
                     const struct tn_packed *packed);

/* Emits the band's loops with the axis cut as `seg` says and `rows` iterations of `row_axis` as a tile. */
struct tn_rows {
  struct tn_var *axis;  /* NULL: no tile */
  int64_t start, whole; /* blocks */
  int rows;             /* a block */
  struct tn_var *inner; /* NULL, or one more loop: all its iterations, innermost of the tile */
};
void tn_build_band(const struct tn_target *t, const struct tn_band *b, struct tn_cursor *c, struct tn_var *axis,
                   const struct tn_segment *seg, const struct tn_rows *rows);

/* A sum of the axis (or NULL) and variables of the band's loops alone: what loops around it decide, or what is
 * itself loaded, is known only at run time. */
bool tn_ex_of_band(const struct tn_band *b, const struct tn_var *axis, const struct tn_expr *index);

/* Rewrites a contraction of bytes to take four at a time, where the target has instructions for that.
 * schedule_dot.c */
void tn_dot_band(const struct tn_target *t, struct tn_band *b);
/* Reads 16-bit floats that a contraction reads often from f32 copies, made at c or constant. schedule_half.c */
void tn_half_band(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c);

void tn_build_lanes_over_reduction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                                   int lanes);
/* acc = `term`, in which the innermost variable is still r's, combined: whole vectors, then the rest in masked
 * lanes or one by one.  jam: as a band's. */
void tn_reduce_in_lanes(const struct tn_target *t, struct tn_cursor *at, const struct tn_stmt *r,
                        struct tn_expr *term, int lanes, int jam);
void tn_build_tiled_reduction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                              struct tn_var *axis, int lanes);

/* A sum of products over a register tile; false (and nothing built) when the term is none or nothing is shared.
 */
bool tn_build_contraction(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                          struct tn_var *axis, int lanes);
/* Whether the band is such a sum with enough rows that staging its column operand pays. */
bool tn_contraction_stages(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes);
/* Cycles of that tile for each sum, estimated; huge when the band is no such sum. */
double tn_contraction_cycles(const struct tn_target *t, struct tn_band *b, struct tn_var *axis, int lanes);
/* Such a sum with few columns and its lanes along the sum, where that is faster; false: nothing built. */
bool tn_build_few_columns(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c,
                          struct tn_var *axis, int lanes);
/* A pooled band: in the registers of a contraction's tile, or by way of scratch.  schedule_pool.c */
void tn_schedule_pooled(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c);
/* The loop over which a reduction has its lanes, and how many; NULL: none.  *over_reduction: they had better be
 * over its own innermost loop. */
struct tn_var *tn_reduction_axis(const struct tn_target *t, struct tn_band *b, int *lanes,
                                 bool *over_reduction);
/* Splits a pointwise band's loop by the divisor of a quotient over it, likewise; picks: only where that is
 * better than tn_build_picks. */
bool tn_schedule_quotients(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c, bool picks);
/* Cuts a loop where a border ends and schedules the pieces; false (and nothing built) when no
 * border is worth it.  schedule_peel.c */
bool tn_schedule_peeled(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c);
/* The largest stride over the lanes at which masked loads cost what plain ones do; 0: no stride. */
int64_t tn_most_masked(const struct tn_target *t);
/* A copy of the band with `at` for loop i and the `loops` in its place. */
struct tn_band tn_with_loops(const struct tn_band *b, int i, struct tn_expr *at, int loops,
                             struct tn_var *const *loop);
/* Whether the columns of a pointwise band read from close by, as tables say; then those loads go by the tables
 * that the band is built with.  lanes: of a register.  schedule_pick.c */
bool tn_find_picks(const struct tn_target *t, const struct tn_band *b, int lanes);
void tn_build_picks(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c, int lanes);
/* A band: cut at borders, its loops collapsed, then scheduled. */
void tn_schedule_band(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c);
/* The operand that changes with the columns, and whether it is to be staged; NULL: no contraction. */
struct tn_expr *tn_contraction_columns(const struct tn_target *t, struct tn_band *b, struct tn_var *axis,
                                       int lanes, bool *stages);
/* buf[sum of stride * loop] = e for all loops (fresh ones stand for `vars` in e), as fast as a copy. */
void tn_copy_operand(const struct tn_target *t, struct tn_nest *n, struct tn_cursor *at, struct tn_buf *buf,
                     struct tn_expr *e, int count, struct tn_var *const *vars, const int64_t *strides);
/* For products inside of loops over rows (schedule_rows.c).  Cycles of the band, estimated; huge when it
 * is no contraction. */
double tn_product_cycles(const struct tn_target *t, const struct tn_band *b);
/* Whether what the product loads for its columns serves every iteration of `row`. */
bool tn_product_shares(const struct tn_target *t, const struct tn_band *b, const struct tn_var *row);
/* How many of the band's first `most` loops the copy below has to be inside of. */
int tn_product_around(const struct tn_target *t, const struct tn_band *b, const struct tn_var *row, int most);
/* Copies the column operand, which serves every iteration of `row`, at c, inside of the band's first `around`
 * loops, when it would be staged and is in none of the buffers that are `filled` inside, and has the product
 * read the copy: its order is the loops it depends on, the sum's, the columns. */
void tn_product_copies(const struct tn_target *t, struct tn_band *b, const struct tn_var *row, int around,
                       int filled_count, struct tn_buf *const *filled, struct tn_cursor *c);
/* A band without a reduction. */
void tn_schedule_pointwise(const struct tn_target *t, struct tn_band *b, struct tn_cursor *c);

/* e with the load `from` replaced, and with its loads over `lane` done only where guard holds (NULL:
 * everywhere), those of `unguarded` apart. */
struct tn_expr *tn_replace_load(struct tn_nest *n, struct tn_expr *e, const struct tn_expr *from,
                                struct tn_expr *to);
struct tn_expr *tn_guard_loads(struct tn_nest *n, struct tn_expr *e, const struct tn_var *lane,
                               struct tn_expr *guard, const struct tn_buf *unguarded);

/* Bytes of a local buffer that threads may each have, on their stacks. */
#define TN_MOST_OWN_BYTES (32 * 1024)
/* How far the reduction is unrolled when every trip does `tile` multiply-adds. */
int tn_unroll_steps(const struct tn_target *t, const struct tn_stmt *r, int64_t tile);
bool tn_var_among(const struct tn_var *v, struct tn_var *const *list, int count);
/* A loop, unless it has one iteration. */
struct tn_cursor tn_enter_loop(struct tn_cursor *at, struct tn_var *var, enum tn_loop_kind kind);

/* Schedules statements one after the other, appending them at `c`; jam: iterations of tile loops around. */
void tn_schedule_list(const struct tn_target *t, struct tn_stmt *list, struct tn_cursor *c, int jam);
/* Rows of scratch: each has room for `pitch` elements and has so many. */
struct tn_row_room {
  const struct tn_buf *buf;
  int64_t elements, pitch;
};
/* Drops the masks of accesses to such rows, in all statements of the list.  schedule_whole.c */
void tn_use_row_room(struct tn_nest *n, struct tn_stmt *list, int count, const struct tn_row_room *room);
/* Loops around several statements: false when `first` is nothing of the kind. */
bool tn_schedule_rows(const struct tn_target *t, struct tn_stmt *first, struct tn_cursor *c);

/* A loop that combines a variable from around with a term and stores what it is so far, in blocks of lanes.
 * schedule_running.c */
bool tn_schedule_running(const struct tn_target *t, struct tn_stmt *loop, struct tn_cursor *c);

/* Loops whose iterations set variables of their own for a known number of steps: in lanes, or some together.
 * schedule_walk.c */
bool tn_schedule_walk(const struct tn_target *t, struct tn_stmt *first, struct tn_cursor *c);
/* Straight statements, and loops of them, once more with `at` for the loop variable r; guard: where the lanes
 * are valid, or NULL. */
void tn_copy_body(struct tn_cursor *c, const struct tn_stmt *body, struct tn_var *r, struct tn_expr *at,
                  const struct tn_var *lane, struct tn_expr *guard);

/* Packs the constant that `load` reads for columns in panels of seg->lanes * seg->vectors: panel, then the
 * loops of the reduction, then the column; columns past the axis' end are zero.  False when its position is not
 * affine. */
bool tn_pack(struct tn_band *b, struct tn_expr *load, struct tn_var *axis, const struct tn_segment *seg,
             struct tn_packed *out);

#endif
