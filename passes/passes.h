/* Passes: rewrites of a module, from what the front end made to kernels with their buffers placed.
 *
 * passes.def lists the passes, the order in which they run, and why that order.  tn_run_passes() checks the
 * list against itself, runs it, and names the pass and the node when something goes wrong.  A pass keeps the
 * module valid (tn_verify), keeps the names, order and types of the main graph's inputs and outputs, and is
 * deterministic.
 *
 * Every pass gets a scratch arena that dies with it; what it adds to the module lives in the module's arena. */
#ifndef TENON_PASSES_H
#define TENON_PASSES_H

#include "ir/ir.h"

/* ---- running ------------------------------------------------------------------------------------------- */

/* Evaluates a node whose operands are all constants and that holds no region and is not composite.  outs: one
 * for each result, type set, data allocated (tn_type_bytes, aligned to 64), to be filled.  Returns false after
 * a diagnostic. */
typedef bool (*tn_evaluate)(void *user, struct tn_node *node, struct tn_tensor *outs);

/* Where the runner is; for a signal handler that wants to name the pass and the node of a crash. */
struct tn_pass_progress {
  const char *volatile pass;
  const char *volatile node;
};

struct tn_pass_options {
  int level;        /* 0 to 3: the steps of passes.def up to this level run */
  bool small;       /* -Os: prefer fewer bytes to more speed */
  bool roomy;       /* memory is cheap beside time: weights may take four times, images twice their bytes */
  bool verify_each; /* tn_verify after each pass, a violation is a bug of that pass */

  /* Pass names.  "simplify" means every run of it (stop_after: the first), "simplify.2" its second. */
  const char *const *print_after; /* "all": every pass */
  size_t print_after_count;
  const char *const *disable;
  size_t disable_count;
  const char *stop_after; /* NULL: run to the end */

  void *user;                                                                  /* handed to the callbacks */
  tn_evaluate evaluate;                                                        /* NULL: nothing is computed */
  void (*print)(void *user, const char *pass, const char *text);               /* for print_after */
  void (*timed)(void *user, const char *pass, double seconds, size_t changes); /* after each pass; or NULL */
  struct tn_pass_progress *progress;                                           /* or NULL */

  /* How near a kernel's result, stored in `to`, may come to an operand in `from`, in blocks of at least `least`
   * points (see tn_reach).  False: not at all.  NULL: no result overlaps an operand. */
  bool (*reach)(void *user, struct tn_node *kernel, const struct tn_storage *from, const struct tn_storage *to,
                int64_t least, struct tn_reach *out);
};

/* Runs the pipeline.  False after a diagnostic; a TN_NOTE then says in which pass and at which node. */
bool tn_run_passes(struct tn_module *module, const struct tn_pass_options *options);
/* Runs one pass by name, whatever it needs: for tests. */
bool tn_run_pass(struct tn_module *module, const char *name, const struct tn_pass_options *options);

struct tn_pass_info {
  const char *name;
  unsigned needs, makes, breaks; /* enum tn_fact */
  const char *doc;
};
/* The passes of passes.def, in the order of the list; NULL past its end. */
const struct tn_pass_info *tn_pass_info(size_t index);

/* What holds of a module between two passes. */
enum tn_fact {
  TN_FACT_NONE = 0,
  TN_FACT_CORE = 1 << 0,    /* no composite op is left */
  TN_FACT_KERNELS = 1 << 1, /* graphs hold kernels, loops, ifs, constants and reshapes (views) only */
  TN_FACT_PLANNED = 1 << 2  /* every value outside kernels has its storage */
};

/* ---- a pass -------------------------------------------------------------------------------------------- */

struct tn_pass {
  const char *name;
  tn_arena *scratch; /* dies after the pass */
  const struct tn_pass_options *options;
  size_t changes;             /* a pass counts what it changed */
  const struct tn_node *node; /* the node it is at, for the message when it fails; see tn_pass_at */
};

/* The function of pass `id` is tn_pass_<id>.  False after a diagnostic. */
#define PASS(id, ...) bool tn_pass_##id(struct tn_pass *pass, struct tn_module *module);
#define STEP(...)
#define ORDER(...)
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER

/* Rows and columns of the result that one of Winograd's tiles stands for. */
#define TN_WINOGRAD_STEP 4

/* Computing an element takes more than a few plain instructions, or the elements of others. */
bool tn_costly(const struct tn_node *node);

/* Says which node is looked at. */
void tn_pass_at(struct tn_pass *pass, const struct tn_node *node);

/* Makes `to` stand for `from` everywhere.  A main graph's output keeps its name: `to` takes it over where it
 * can; where it cannot (it is an input, or an output itself) that output stays `from`, and only the other uses
 * move. Returns whether anything moved.  Types must agree. */
bool tn_pass_replace(struct tn_pass *pass, struct tn_value *from, struct tn_value *to);
/* Removes nodes without uses, in regions too: what remains is used. */
void tn_remove_dead(struct tn_pass *pass, struct tn_module *module);
/* Runs body() on every node of the graph and, innermost first, of the regions of its nodes (kernels' left out).
 * The body may remove the node itself and add nodes before it. */
bool tn_pass_each(struct tn_pass *pass, struct tn_graph *graph,
                  bool (*body)(struct tn_pass *pass, struct tn_node *node));

/* Facts about values that several passes ask for. */
/* The node that defines the value when it has this op, else NULL. */
static inline struct tn_node *tn_def_of(const struct tn_value *value, enum tn_op op) {
  return value && value->def && value->def->op == op ? value->def : NULL;
}
bool tn_value_single_use(
    const struct tn_value *value); /* exactly one node uses it, once, and no graph returns it */
/* Constant, or computed from constants alone by pure nodes. */
bool tn_value_constant_expr(const struct tn_value *value);
/* A constant whose elements are all equal (seen through reshape and expand); *out is that element, as
 * tn_tensor_float gives it.  False for integers beyond 2^53. */
bool tn_value_uniform(const struct tn_value *value, double *out);

/* x, expanded when its shape is not yet the type's; NULL when dtype or quantization differ. */
struct tn_value *tn_fit(struct tn_build *b, struct tn_value *x, const struct tn_type *type);
/* A constant of an integer or bool type, all elements `value`. */
struct tn_value *tn_filled(struct tn_build *b, const struct tn_type *type, int64_t value);

/* A pad with a constant fill known at compile time. */
bool tn_pad_fills_with(const struct tn_node *pad, double *out);

/* ---- simplify: rules by theme -------------------------------------------------------------------------- */

/* Returns a value that may stand for the node's only result, NULL when the rules have nothing to say.  New
 * nodes go through `b`, a cursor before the node. */
typedef struct tn_value *(*tn_rule)(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_arith(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_logic(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_cast(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_broadcast(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_move(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_index(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
struct tn_value *tn_simplify_reduce(struct tn_pass *pass, struct tn_build *b, struct tn_node *node);
/* A loop has any number of results, and replaces them itself. */
void tn_simplify_loop(struct tn_pass *pass, struct tn_node *loop);

/* ---- the memory plan: contract with code generation ------------------------------------------------------
 *
 * After `plan` every value of the main graph and of the regions of loops and ifs has its storage; values inside
 * kernels have none.  Nodes run in list order.
 *
 *   inputs      TN_IN_INPUT i.  Never written.
 *   outputs     TN_IN_OUTPUT i: every output of the main graph is some node's result, in its own buffer, and no
 * two outputs share one (the plan adds copy kernels where the model says otherwise). constants   TN_IN_WEIGHTS,
 * at a byte offset; equal bytes share.  Unused ones: TN_NOWHERE. the rest    TN_IN_ARENA, at a byte offset that
 * is a multiple of TN_PLAN_ALIGN. views       a reshape outside kernels costs nothing: its result has its
 * operand's storage. in place    a kernel's result may have the storage of one of its operands: then every
 * element of that operand is read only to compute the same element of the result.
 *
 * in order      a kernel with the attribute `order` n goes over its outermost loop in blocks of |n| iterations,
 * one after the other, upwards (n > 0) or downwards.  Its result may then overlap one of its operands: what a
 * block writes is nothing that it or a later block reads of that operand.
 *
 * windows       a value with a storage.window lies within a larger buffer, which it shares with what it was
 * made to lie in: the operand of a pad or a concat in the result, the result of a slice in the operand.  Only
 * kernels write and read it, or views that have windows of their own.  The kernel of the pad, concat or slice
 * need not store what lies there.
 *
 * If: result i's storage.  A branch whose output i has that same storage wrote it already; otherwise the branch
 * ends with a copy of its output i to result i.  No copy overwrites the source of another.
 *
 * Loop: region input 0 (iteration) and 1 (condition) have storage of their own, which the loop writes before
 * each iteration.  Carried value i: region input 2+i and result i share one storage.  On entry the initial
 * operand is copied there unless its storage is the same.  After each iteration, in this order: each scanned
 * output is copied into row `iteration` of its result; region output 0 goes to region input 1; region output
 * 1+i is copied to carried storage i unless it is there already.  No source of the latter copies is the target
 * of one.  Operand 0 (trip count) keeps its value throughout the loop.
 *
 * Symbolic dimensions take their upper bound; one without a bound is an error. */
#define TN_PLAN_ALIGN 64

/* A buffer that must exist from time `first` to time `last`, both included. */
struct tn_plan_buffer {
  int64_t bytes; /* > 0 */
  int32_t first, last;
  int64_t offset; /* set by tn_plan_arena */
};
/* Two buffers that may overlap although both exist at the time `at`, the last one of `from` and the first of
 * `to`. */
struct tn_plan_pair {
  size_t from, to; /* numbers of buffers */
  int32_t at;
  struct tn_node *kernel;
  struct tn_reach reach; /* rows 0: they may not, after all */
};
/* Places the buffers so that no two that exist at one time overlap, nearer than a pair allows, at multiples of
 * TN_PLAN_ALIGN.  Returns the bytes needed; *low_bound: what is needed at the busiest time however the buffers
 * lie. */
int64_t tn_plan_arena(tn_arena *scratch, struct tn_plan_buffer *buffers, size_t count,
                      const struct tn_plan_pair *pairs, size_t pair_count, int64_t *low_bound);

#endif
