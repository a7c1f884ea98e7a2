/* The interpreter of nests, in two files:
 *
 *   interp_plan.c   turns a nest into tapes
 *   interp.c        runs them
 *
 * A tape is a statement's expressions in an order in which operands come first, each with a row of
 * TN_INTERP_LANES results. */
#ifndef TENON_CODEGEN_INTERP_H
#define TENON_CODEGEN_INTERP_H

#include "codegen/strided.h"

enum { TN_INTERP_LANES = 256 };

struct tn_row {
  union tn_scalar lane[TN_INTERP_LANES];
  union tn_scalar apart[8]; /* the first lanes of rows must not share a cache set */
};

struct tn_step {
  const struct tn_expr *e;
  struct tn_row *out;
  struct tn_row *arg[3]; /* operands of an operator; index and guard of a load */
  struct tn_row **term;  /* of a sum of positions */
  const uint8_t *data;   /* of a load */
};
struct tn_tape {
  TN_VEC(struct tn_step) steps;
};

struct tn_code {
  const struct tn_stmt *s;
  struct tn_code *next, *body, *other;
  struct tn_code *leaf;  /* of a loop that runs in lanes: the body of its innermost loop */
  struct tn_tape tape;   /* of a reduction: what its loops do not change, and init */
  struct tn_tape inner;  /* of a reduction: the rest */
  struct tn_row *target; /* the variable that is declared or set */
  struct tn_row *value, *index, *guard;
  uint8_t *data; /* of a store */
  /* Loops that run as one: those of a perfect nest in lanes (count > 0), or of a reduction. */
  int count;
  int64_t extent[TN_MAX_REDUCE * 2];
  struct tn_row *var[TN_MAX_REDUCE * 2];
  int64_t total;
  TN_VEC(struct tn_row *) outer; /* variables from around that the lanes read */
  /* Of a loop that is a copy, else NULL: */
  const struct tn_strided *copy;
  uint8_t *to, *from;
};

struct tn_interp_buf {
  uint8_t *data;
  size_t bytes;
};

struct tn_interp {
  tn_ctx *ctx;
  tn_arena *arena;
  const struct tn_nest *nest;
  void *const *data;
  struct tn_interp_buf *storage; /* by number in nest->bufs */
  struct tn_row **row;           /* by expression id */
  struct tn_row **var;           /* by variable id */
  int *stamp;                    /* by expression id: the tape it was last put on */
  bool *varies;                  /* by expression id: depends on the reduction that is being planned */
  bool *bound;                   /* by variable id, while the variables around are sought */
  int tapes;
};

/* Plans the statements from `list` on; in the interpreter's arena. */
struct tn_code *tn_interp_plan(struct tn_interp *in, const struct tn_stmt *list);
/* The row that holds a variable's values. */
struct tn_row *tn_interp_var(struct tn_interp *in, const struct tn_var *var);

#endif
