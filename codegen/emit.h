/* LLVM emission: from a scheduled nest to one LLVM function.  Internal to codegen. */
#ifndef TENON_CODEGEN_EMIT_H
#define TENON_CODEGEN_EMIT_H

#include "codegen/math.h"
#include "codegen/nest.h"
#include "codegen/target.h"

#include <llvm-c/Core.h>

/* A value of the expression being emitted: one scalar for all lanes, or a vector of them.
 * In SSA form f16 and bf16 are floats that hold representable values, bool is i1, TN_INDEX the pointer's width.
 */
struct tn_val {
  LLVMValueRef v;
  bool vec;
};

/* One iteration of the tile loops around: the variables' values there, and what was emitted already. */
struct tn_point {
  struct tn_val *var;  /* by variable id; a SET variable's is the address of its slot, of a vector when `vec` */
  struct tn_val *memo; /* by expression id */
  int *stamp;          /* memo entry is valid when it equals tn_emit.stamp */
};

struct tn_emit {
  tn_arena *arena; /* scratch, dies with the kernel */
  const struct tn_target *target;
  const struct tn_nest *nest;
  LLVMContextRef c;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMValueRef function;
  LLVMBasicBlockRef entry; /* for allocas */
  struct tn_math math;
  LLVMValueRef *buffer;      /* by index in nest->bufs */
  const struct tn_var *lane; /* loop variable of the lanes; NULL: scalar code */
  int lanes;
  uint64_t tiled;            /* variables (by bit, as tn_expr.uses) whose values differ between points */
  struct tn_point first;     /* the point that shares what no tile variable touches */
  const struct tn_var *tile; /* the innermost tile loop around, NULL: none; its iterations are neighbours in */
  struct tn_point *tile_points; /* ... the points of all tile loops around */
  int stamp;
  const bool *noalias;   /* by index in nest->bufs: overlaps no other */
  LLVMValueRef parallel; /* the program's parallel-for (or null), when the nest has parallel loops */
  int parallel_count;    /* functions made for them so far */
};

/* Types: of SSA values, and of memory. */
LLVMTypeRef tn_emit_type(const struct tn_emit *e, enum tn_dtype dtype);
LLVMTypeRef tn_emit_storage(const struct tn_emit *e, enum tn_dtype dtype);
LLVMTypeRef tn_emit_widen(const struct tn_emit *e, LLVMTypeRef scalar, bool vec);

/* emit_half.c: the i16 that holds a float16, and the float of its value; scalars or vectors. */
LLVMValueRef tn_emit_half_to_float(struct tn_emit *e, LLVMValueRef bits);
LLVMValueRef tn_emit_float_to_half(struct tn_emit *e, LLVMValueRef v); /* to nearest even */

LLVMValueRef tn_emit_index(const struct tn_emit *e, int64_t value);
LLVMValueRef tn_emit_number(const struct tn_emit *e, enum tn_dtype dtype, double value);
LLVMValueRef tn_emit_splat(struct tn_emit *e, LLVMValueRef scalar);
LLVMValueRef tn_emit_widened(struct tn_emit *e, struct tn_val val); /* as a vector when in lanes */
LLVMValueRef tn_emit_call(struct tn_emit *e, const char *intrinsic, LLVMTypeRef *overloads,
                          unsigned overload_count, LLVMValueRef *args, unsigned arg_count);

/* The scalar operator on values of `from`, giving `to`; all args scalar, or all vectors. emit_op.c */
LLVMValueRef tn_emit_op(struct tn_emit *e, enum tn_op op, enum tn_dtype from, enum tn_dtype to, int flags,
                        LLVMValueRef *arg);
/* acc (NULL: 0) plus TN_DOT_S, TN_DOT_U or TN_DOT_W of x and y; dtype i32 for the instructions. emit_dot.c */
LLVMValueRef tn_emit_dot(struct tn_emit *e, enum tn_op op, LLVMValueRef acc, LLVMValueRef x, LLVMValueRef y);
/* acc plus the products of the words of a and `low`, vectors of i32: of one word each where `low` has its upper
 * bits cleared.  Where tn_emit_has_words; the upper words count on x86 alone. */
bool tn_emit_has_words(const struct tn_emit *e, int lanes);
LLVMValueRef tn_emit_words(struct tn_emit *e, LLVMValueRef acc, LLVMValueRef a, LLVMValueRef low);
/* The quotient x (TN_DIV) of a vector and a constant by products, the same bits; NULL where that cannot be
 * promised. emit_quantize.c */
LLVMValueRef tn_emit_quotient(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef dividend);
/* What x, a conversion to 8 or 16 bits, rounds and adds *zero to before it converts: a float of moderate size,
 * so that tn_emit_quantized does all that.  NULL: x is nothing of the kind. */
const struct tn_expr *tn_quantized(const struct tn_emit *e, const struct tn_expr *x, double *zero);
LLVMValueRef tn_emit_quantized(struct tn_emit *e, enum tn_dtype to, LLVMValueRef q, double zero);
/* Quotient and remainder (C's signs) of integers in lanes by floats; no y is 0, or -1 where signed.  False, and
 * nothing is emitted, where that is not exact or not faster. emit_divide.c */
bool tn_emit_divide_lanes(struct tn_emit *e, bool is_signed, LLVMValueRef x, LLVMValueRef y,
                          LLVMValueRef *quotient, LLVMValueRef *rest);
/* a * b + c on floats, fused where the target can. */
LLVMValueRef tn_emit_muladd(struct tn_emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* Combines for reductions; keeps nans. */
LLVMValueRef tn_emit_combine(struct tn_emit *e, enum tn_op combine, enum tn_dtype dtype, LLVMValueRef a,
                             LLVMValueRef b);
/* The larger (smaller) float, `so_far` where one of them is a nan. */
LLVMValueRef tn_emit_extreme(struct tn_emit *e, bool max, LLVMValueRef so_far, LLVMValueRef v);
LLVMValueRef tn_emit_identity(const struct tn_emit *e, enum tn_op combine, enum tn_dtype dtype);
/* Rounds an SSA float to what f16 or bf16 can hold; others unchanged. */
LLVMValueRef tn_emit_round(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v);

/* Expressions and memory. emit_expr.c */
struct tn_val tn_emit_expr(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x);
void tn_emit_store(struct tn_emit *e, struct tn_point *p, const struct tn_stmt *st);
LLVMValueRef tn_emit_address(struct tn_emit *e, const struct tn_buf *buf, LLVMValueRef index);
/* The affine position at lane 0. */
LLVMValueRef tn_emit_first_position(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x);
LLVMValueRef tn_emit_from_storage(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v, bool vec);
LLVMValueRef tn_emit_to_storage(struct tn_emit *e, enum tn_dtype dtype, LLVMValueRef v, bool vec);

/* The point of the tile's first iteration among those that `p` stands with. emit_block.c */
struct tn_point *tn_emit_tile_head(const struct tn_emit *e, struct tn_point *p);

/* Blocks that lie along the tile's iterations instead of along the lanes.  False, and nothing is emitted, where
 * that is not so.  A load's block is left in the memos of the points of one tile; `head` is the first of these
 * points. emit_block.c */
bool tn_emit_load_block(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x);
/* The load's lanes at first + stride * lane, as `stride` whole vectors of which the lanes are picked.  The
 * stride is from 2 to TN_MOST_APART.  mask: i1 a lane, or NULL; false ones are not read and zero. */
LLVMValueRef tn_emit_load_apart(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef first, int64_t stride,
                                LLVMValueRef mask);
/* The load's lanes at the neighbouring positions from `at` on; mask as above. */
LLVMValueRef tn_emit_load_row(struct tn_emit *e, const struct tn_expr *x, LLVMValueRef at, LLVMValueRef mask);
/* Lanes picked from the next few elements as a table says, as they are stored; NULL: the load has no such
 * position, or would read too far. emit_pick.c */
LLVMValueRef tn_emit_load_picked(struct tn_emit *e, struct tn_point *p, const struct tn_expr *x);
bool tn_emit_store_block(struct tn_emit *e, struct tn_point *head, const struct tn_stmt *st);

/* A factor of a sum that all lanes share, several steps of it in a register. emit_steps.c */
struct tn_steps {
  const struct tn_expr *factor; /* a load; NULL: there is none, or loading each step is as good */
  LLVMValueRef *held;           /* of each point, or of all in the first */
};
/* For a sum whose innermost loop does `trip` steps at once. */
void tn_emit_find_steps(struct tn_emit *e, struct tn_steps *out, const struct tn_stmt *st, int64_t trip,
                        int points);
/* Leaves the factor of a step of the trip, at which the loop variables are set, in the memos of the points. */
void tn_emit_step(struct tn_emit *e, struct tn_steps *steps, struct tn_point *at, int count, int64_t step);
/* The same value at all points. emit.c */
void tn_emit_set(struct tn_emit *e, struct tn_point *at, int count, const struct tn_var *v, struct tn_val val);
/* A reduction in lanes whose loops are all unrolled, and neither products nor begun before; its accumulators at
 * all points are identities at first. emit_window.c */
bool tn_emit_is_window(const struct tn_stmt *st, bool vec);
void tn_emit_window(struct tn_emit *e, struct tn_point *at, int count, const struct tn_stmt *st,
                    LLVMValueRef *acc);

/* A variable that is set one iteration after the other, in memory; vec: a vector of them. emit_running.c */
struct tn_val tn_emit_slot(struct tn_emit *e, const struct tn_var *var, bool vec);
/* In lanes, a SET of a variable from around: it is combined with one lane's term after the other (each lane's
 * term with those before it, then all with the variable).  Afterwards the point has a vector for it; the one
 * from around is in the slot that the point had. emit_running.c */
void tn_emit_running(struct tn_emit *e, struct tn_point *p, const struct tn_stmt *set);

/* A list of statements in a function that starts here, where the loop variables have these values. emit.c */
void tn_emit_iteration(struct tn_emit *e, int count, struct tn_var *const *vars, const LLVMValueRef *values,
                       const struct tn_stmt *list);
/* Makes the function's first arguments the buffers, with their names and what is known of them. emit.c */
void tn_emit_buffers(struct tn_emit *e, LLVMValueRef function);
/* A parallel loop: a function for a range of its iterations, and the call of the program's parallel-for.
 * emit_parallel.c */
void tn_emit_parallel(struct tn_emit *e, const struct tn_stmt *st);

/* Emits the nest as `void symbol(ptr buffer0, ptr buffer1, ...)`, one argument for each of nest->bufs, locals
 * included (the caller owns their memory), and one for the program's parallel-for where target->threads > 1 and
 * the nest has parallel loops.  noalias[i]: argument i overlaps no other.  emit.c */
LLVMValueRef tn_emit_nest(tn_arena *arena, const struct tn_target *target, LLVMModuleRef module,
                          const struct tn_nest *nest, const char *symbol, const bool *noalias);

#endif
