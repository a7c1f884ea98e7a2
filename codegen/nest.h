/* Loop nests: what a kernel is between the tensor IR and LLVM.
 *
 * A nest is a list of statements over buffers and scalar variables.  The unscheduled nest of an op is the op's
 * definition; a schedule rewrites loops (tile, vector, unroll, order) and never the meaning.
 *
 * Expressions are pure, hash-consed in their nest (equal expressions are one pointer) and typed by dtype.  Scalar
 * operators are those of ops.def (TN_ADD, TN_EXP, TN_CAST, ...), with the same meaning.  Positions have the dtype
 * TN_INDEX (the target's pointer width); a position is kept in affine form (TN_EX_AFFINE) over loop variables and
 * opaque atoms, with known bounds, so that strides and ranges can be read off it. */
#ifndef TENON_CODEGEN_NEST_H
#define TENON_CODEGEN_NEST_H

#include "ir/ir.h"

#define TN_INDEX TN_NONE /* dtype of positions */

struct tn_expr;
struct tn_stmt;
struct tn_nest;

enum tn_var_kind {
  TN_VAR_LOOP,  /* position 0 .. extent-1 */
  TN_VAR_VALUE, /* declared by LET; immutable unless SET */
  TN_VAR_ACC    /* declared by REDUCE */
};
struct tn_var {
  const char *name;
  enum tn_var_kind kind;
  enum tn_dtype dtype;
  int64_t extent; /* TN_VAR_LOOP */
  bool is_set;    /* some SET names it */
  int id;
};

struct tn_buf {
  const char *name;
  enum tn_dtype dtype;
  int64_t count; /* elements; 0 is legal */
  int param;     /* kernel parameter number; -1: local scratch (zero-filled at kernel entry is NOT promised) */
  bool written;
  bool own; /* local: each range of the parallel loop that uses it has memory of its own for it */
  const struct tn_tensor *data; /* constant buffer, else NULL */
  struct tn_value *value;       /* what it holds, NULL for local and packed ones */
};

enum tn_ex {
  TN_EX_INT,    /* integer or bool constant of dtype */
  TN_EX_FLOAT,  /* float constant of dtype */
  TN_EX_VAR,
  TN_EX_AFFINE, /* TN_INDEX: base + sum coef[i] * term[i]; terms sorted by id, no constant term, coef != 0 */
  TN_EX_LOAD,   /* buf[index], or zero where guard is false (the index may then be anything) */
  TN_EX_OP      /* scalar operator on arg[0..argc) */
};
struct tn_expr {
  enum tn_ex kind;
  enum tn_dtype dtype;
  int id;          /* creation order */
  int64_t lo, hi;  /* TN_INDEX: inclusive bounds */
  uint64_t uses;   /* bit (var id % 64) set for every variable inside: may claim too many, never too few */
  bool loads;      /* reads a buffer */
  union {
    int64_t i;
    double f;
    struct tn_var *var;
    struct {
      int64_t base;
      int count;
      const int64_t *coef;
      struct tn_expr *const *term;
    } affine;
    struct {
      struct tn_buf *buf;
      struct tn_expr *index;
      struct tn_expr *guard; /* NULL: always */
      int bytes; /* 0; else dtype is i32, buf's has 8 or 16 bits: so many bytes from buf[index] on, first lowest, rest 0 */
    } load;
    struct {
      enum tn_op op;
      int argc;
      int flags; /* TN_ISINF: 1 positive, 2 negative */
      struct tn_expr *arg[3];
    } op;
  };
};

enum tn_loop_kind {
  TN_LOOP_SERIAL,
  TN_LOOP_PARALLEL, /* iterations are independent; shared between threads where the target has them.  A parallel loop
                       that is all there is in another makes one range with it */
  TN_LOOP_TILE,     /* unroll and jam: the body's statements are done for every iteration, one after the other */
  TN_LOOP_VECTOR    /* all iterations at once, one per lane; extent is a power of two.  A SET in it of a variable from
                       around combines that with a term (TN_ADD, TN_MUL, TN_MAX, TN_MIN): what follows sees it as it is
                       after each iteration */
};
enum tn_st {
  TN_ST_LOOP,
  TN_ST_REDUCE, /* acc = init combined with term over all loops; acc is readable afterwards in the same list */
  TN_ST_LET,    /* var = expr, declares */
  TN_ST_SET,    /* var = expr, var declared by a LET around */
  TN_ST_STORE,  /* buf[index] = expr, where guard (or NULL) holds */
  TN_ST_IF,
  TN_ST_WHILE
};

#define TN_MAX_REDUCE 10
#define TN_CACHE_LINE 64   /* bytes */
#define TN_PAGE_BYTES 4096 /* the smallest pages of the targets that have them */

/* A hint of a reduction: every so many steps of its innermost loop, `lines` cache lines from buf[index] on are asked
 * for, to be in the second-level cache later.  The index may lie past the buffer's end. */
struct tn_prefetch {
  struct tn_buf *buf;
  struct tn_expr *index;
  int lines, every;
};

struct tn_stmt {
  enum tn_st kind;
  struct tn_stmt *next;
  union {
    struct {
      struct tn_var *var;
      enum tn_loop_kind kind;
      struct tn_stmt *body;
    } loop;
    struct {
      struct tn_var *acc; /* its dtype is the accumulator's */
      enum tn_op combine; /* TN_ADD, TN_MUL, TN_MAX, TN_MIN, TN_AND, TN_OR */
      struct tn_expr *init; /* NULL: the combine's identity */
      int count;            /* loops, outermost first */
      struct tn_var *var[TN_MAX_REDUCE];
      struct tn_expr *term;
      struct tn_var *lane; /* NULL, or one more loop, innermost, whose iterations are done at once */
      int unroll; /* iterations of the innermost loop a trip; >= all loops' product: no loop is left */
      struct tn_prefetch *prefetch; /* or NULL */
    } reduce;
    struct {
      struct tn_var *var;
      struct tn_expr *value;
    } let; /* also SET */
    struct {
      struct tn_buf *buf;
      struct tn_expr *index, *value, *guard;
    } store;
    struct {
      struct tn_expr *cond;
      struct tn_stmt *then, *other;
    } branch; /* also WHILE: then is the body */
  };
};

struct tn_nest {
  tn_arena *arena;
  const char *name; /* symbol name of the kernel, from the node */
  TN_VEC(struct tn_buf *) bufs; /* parameters first, in order of `param` */
  int param_count;
  struct tn_stmt *body;
  int64_t flops; /* arithmetic operations a run: multiply and add count one each */
  int64_t bytes; /* parameter bytes touched a run, each once (twice when read and written) */
  int64_t bytes_written, bytes_constant; /* of bytes: written; read from constants */
  int64_t macs;  /* multiply-accumulates of contractions */
  struct tn_var *in_order; /* the outermost loop, whose iterations must run one after the other; or NULL */
  /* private */
  struct tn_expr **table;
  size_t table_size, table_count;
  int next_id, next_var;
};

struct tn_nest *tn_nest_create(tn_arena *arena, const char *name);

/* ---- expressions: simplified as they are built --------------------------------------------------------- */
struct tn_expr *tn_ex_int(struct tn_nest *n, enum tn_dtype dtype, int64_t value); /* integer dtypes, bool, TN_INDEX */
struct tn_expr *tn_ex_float(struct tn_nest *n, enum tn_dtype dtype, double value);
struct tn_expr *tn_ex_const(struct tn_nest *n, const struct tn_tensor *tensor, int64_t element);
struct tn_expr *tn_ex_var(struct tn_nest *n, struct tn_var *var);
struct tn_expr *tn_ex_load(struct tn_nest *n, struct tn_buf *buf, struct tn_expr *index, struct tn_expr *guard);
/* The i32 that consists of `bytes` (1 to 4) bytes, elements of 8 or 16 bits, from buf[index] on, the first one lowest. */
struct tn_expr *tn_ex_load_bytes(struct tn_nest *n, struct tn_buf *buf, struct tn_expr *index, int bytes);
/* The load `like` at another index, under another guard. */
struct tn_expr *tn_ex_load_like(struct tn_nest *n, const struct tn_expr *like, struct tn_expr *index,
                                struct tn_expr *guard);
/* Positions (TN_INDEX). */
struct tn_expr *tn_ix(struct tn_nest *n, int64_t value);
struct tn_expr *tn_ix_add(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b);
struct tn_expr *tn_ix_sub(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b);
struct tn_expr *tn_ix_scale(struct tn_nest *n, struct tn_expr *a, int64_t factor);
struct tn_expr *tn_ix_offset(struct tn_nest *n, struct tn_expr *a, int64_t offset);
struct tn_expr *tn_ix_div(struct tn_nest *n, struct tn_expr *a, int64_t by); /* floor, by > 0 */
struct tn_expr *tn_ix_mod(struct tn_nest *n, struct tn_expr *a, int64_t by); /* floor, by > 0 */
/* Any scalar operator; for CAST dtype is the target.  The result dtype is `dtype`. */
struct tn_expr *tn_ex_op(struct tn_nest *n, enum tn_op op, enum tn_dtype dtype, int argc, struct tn_expr *const *arg,
                         int flags);
struct tn_expr *tn_ex_unary(struct tn_nest *n, enum tn_op op, struct tn_expr *a);
/* Arithmetic gives a's dtype, comparison bool. */
struct tn_expr *tn_ex_binary(struct tn_nest *n, enum tn_op op, struct tn_expr *a, struct tn_expr *b);
struct tn_expr *tn_ex_select(struct tn_nest *n, struct tn_expr *cond, struct tn_expr *a, struct tn_expr *b);
struct tn_expr *tn_ex_cast(struct tn_nest *n, struct tn_expr *a, enum tn_dtype to); /* a itself when it fits */
struct tn_expr *tn_ex_and(struct tn_nest *n, struct tn_expr *a, struct tn_expr *b); /* either may be NULL (true) */
bool tn_ex_is_int(const struct tn_expr *e, int64_t *value); /* constant integer or position */
bool tn_ex_is_true(const struct tn_expr *e);
bool tn_ex_is_false(const struct tn_expr *e);
/* e with every occurrence of the variables replaced (values: expressions of the same dtype). */
struct tn_expr *tn_ex_replace(struct tn_nest *n, struct tn_expr *e, int count, struct tn_var *const *vars,
                              struct tn_expr *const *values);
bool tn_ex_uses(const struct tn_expr *e, const struct tn_var *var); /* exact, unlike the bits of e->uses */
/* d e / d var when e is affine in var: true and *stride; false when unknown (or not constant). */
bool tn_ex_stride(const struct tn_expr *e, const struct tn_var *var, int64_t *stride);

/* ---- statements ---------------------------------------------------------------------------------------- */
struct tn_var *tn_loop_var(struct tn_nest *n, const char *name, int64_t extent);
struct tn_var *tn_value_var(struct tn_nest *n, const char *name, enum tn_dtype dtype);
struct tn_buf *tn_nest_param(struct tn_nest *n, const char *name, enum tn_dtype dtype, int64_t count);
struct tn_buf *tn_nest_local(struct tn_nest *n, const char *name, enum tn_dtype dtype, int64_t count);

/* A cursor at the end of a statement list. */
struct tn_cursor {
  struct tn_nest *nest;
  struct tn_stmt **end;
};
struct tn_cursor tn_at_body(struct tn_nest *n); /* after the last statement of the nest */
void tn_st_follow(struct tn_cursor *c); /* moves it behind what was appended through copies of it */
struct tn_cursor tn_st_loop(struct tn_cursor *c, struct tn_var *var, enum tn_loop_kind kind); /* cursor in the body */
struct tn_stmt *tn_st_reduce(struct tn_cursor *c, struct tn_var *acc, enum tn_op combine, struct tn_expr *init,
                             int count, struct tn_var *const *vars, struct tn_expr *term);
struct tn_expr *tn_st_let(struct tn_cursor *c, const char *name, struct tn_expr *value); /* the new variable */
void tn_st_let_again(struct tn_cursor *c, struct tn_var *var, struct tn_expr *value); /* in a copy of its loops */
void tn_st_set(struct tn_cursor *c, struct tn_expr *var, struct tn_expr *value);
void tn_st_store(struct tn_cursor *c, struct tn_buf *buf, struct tn_expr *index, struct tn_expr *value,
                 struct tn_expr *guard);
void tn_st_if(struct tn_cursor *c, struct tn_expr *cond, struct tn_cursor *then, struct tn_cursor *other);
struct tn_cursor tn_st_while(struct tn_cursor *c, struct tn_expr *cond);

/* Replaces variables in every expression of the list (loops that bind them are the caller's to remove). */
void tn_st_replace(struct tn_nest *n, struct tn_stmt *list, int count, struct tn_var *const *vars,
                   struct tn_expr *const *values);

bool tn_has_parallel(const struct tn_stmt *list); /* some loop in it is TN_LOOP_PARALLEL */

/* Fills flops and the bytes of a nest that is not scheduled yet (work.c). */
void tn_count_work(struct tn_nest *n);

char *tn_nest_print(tn_arena *arena, const struct tn_nest *nest);
/* The nest's text with parameter and symbol names left out: equal texts are one kernel. */
struct tn_hash tn_nest_key(tn_arena *arena, const struct tn_nest *nest);

/* ---- scalars: what each scalar operator computes (scalar.c), for folding and the interpreter ------------ */

union tn_scalar {
  int64_t i; /* integers (u64: its bits), bool, TN_INDEX */
  double f;  /* floats, exactly representable in their dtype */
};
/* out[i] = op of arg[0][i], ...; dtype: the result's, from: the operands' (of SELECT: those of arg 1).  arg has
 * three entries, NULL past the operator's own.  False when `from` has no such operator. */
bool tn_scalar_lanes(enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags, int count,
                     union tn_scalar *out, const union tn_scalar *const *arg);
bool tn_scalar_op(enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags, const union tn_scalar *arg,
                  int argc, union tn_scalar *out);
double tn_scalar_round(enum tn_dtype dtype, double value); /* to the nearest value of a float dtype */
int64_t tn_scalar_wrap(enum tn_dtype dtype, int64_t value); /* to the low bits of an integer dtype */
union tn_scalar tn_scalar_load(enum tn_dtype dtype, const void *data, int64_t i);
void tn_scalar_store(enum tn_dtype dtype, void *data, int64_t i, union tn_scalar value);
/* What leaves the other operand of TN_ADD, TN_MUL, TN_MAX, TN_MIN, TN_AND, TN_OR as it is. */
union tn_scalar tn_scalar_identity(enum tn_op combine, enum tn_dtype dtype);
struct tn_expr *tn_ex_identity(struct tn_nest *n, enum tn_op combine, enum tn_dtype dtype);

/* ---- definitions: from a node to its nest -------------------------------------------------------------- */

/* A kernel being lowered: a set of nodes whose inner values are inlined, over buffers for the outer ones. */
struct tn_lower {
  struct tn_nest *nest;
  struct tn_expr *guard; /* loads built now happen only where this holds (NULL: always) */
  struct tn_lower_state *state; /* lower.c's */
};
/* Element `idx` (rank positions) of a value: a load, or the expression of the node that defines it. */
struct tn_expr *tn_element(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx);
/* The same where guard holds; anything (but no fault) elsewhere. */
struct tn_expr *tn_element_guarded(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx,
                                   struct tn_expr *guard);
/* Stores element idx of a result that the kernel materializes. */
void tn_result(struct tn_lower *l, struct tn_cursor *c, struct tn_value *value, struct tn_expr *const *idx,
               struct tn_expr *element, struct tn_expr *guard);
/* The buffer of a materialized result, for definitions that read back what they wrote (scatter, topk). */
struct tn_buf *tn_result_buf(struct tn_lower *l, struct tn_value *value);
struct tn_expr *tn_linear(struct tn_nest *n, const struct tn_type *type, struct tn_expr *const *idx);

/* A reduction: out[at(i)] = finish(combine over r of term(i, r)), i over the domain. */
struct tn_reduction {
  enum tn_op combine;
  enum tn_dtype acc;           /* accumulator */
  int domain_rank;             /* loops over results */
  int64_t domain[TN_MAX_REDUCE];
  int count;                   /* reduction loops */
  int64_t extent[TN_MAX_REDUCE];
};

/* How an op is defined; exactly one of element, reduce, nest is set. */
struct tn_definition {
  struct tn_expr *(*element)(struct tn_lower *l, const struct tn_node *node, int result, struct tn_expr *const *idx);
  struct {
    void (*shape)(const struct tn_node *node, struct tn_reduction *r);
    /* Position in the result of domain point i: fills idx (rank of the result). */
    void (*at)(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i, struct tn_expr **idx);
    struct tn_expr *(*term)(struct tn_lower *l, const struct tn_node *node, struct tn_expr *const *i,
                            struct tn_expr *const *r);
  } reduce;
  void (*nest)(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c);
};
/* tn_define_<rule> for each rule of ops.def; NULL for composite and region ops. */
const struct tn_definition *tn_definition_of(enum tn_op op);

/* Lowers one node, or a KERNEL node's region, to its unscheduled nest.  Parameters: the distinct non-constant or
 * larger constant operands, then results, in order; each tn_buf.value says which.  NULL after a diagnostic. */
struct tn_nest *tn_lower_node(tn_arena *arena, struct tn_node *node);
/* The same over buffers as the memory plan laid them out: values that are windows of larger buffers have its strides
 * (the parameter points at their first element), and what would be stored where it is already is left out; nothing
 * may remain. */
struct tn_nest *tn_lower_placed(tn_arena *arena, struct tn_node *node);

/* How near the result stored in `to` may come to what is stored in `from` (order.c), in blocks with at least `least`
 * points of the loops but the innermost.  False: they must lie apart.  Values have their windows, and places as far as
 * that they share one or do not. */
bool tn_kernel_reach(struct tn_node *kernel, const struct tn_storage *from, const struct tn_storage *to, int64_t least,
                     struct tn_reach *out);

/* ---- interpreter: the reference, and constant folding -------------------------------------------------- */

/* Runs a nest; data[i] is parameter i's storage. */
bool tn_interpret(tn_ctx *ctx, const struct tn_nest *nest, void *const *data);
/* Evaluates a pure node whose operands are constants (or a kernel of them).  Where outs[i].data is NULL it is
 * allocated in the arena; else it has room for the result. */
bool tn_evaluate_node(tn_arena *arena, struct tn_node *node, struct tn_tensor *outs);

#endif
