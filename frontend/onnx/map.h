/* What the operator mappings (ops_*.c) are written against: one ONNX node in, tensor IR out.
 *
 * ops.def lists every operator that is imported and names its mapping function; the importer (import.c)
 * resolves the node's operands, calls the function with a cursor at the place where the new nodes go, and gives
 * the results the user's names.
 *
 * Errors.  Each mapping runs under a guard of its own, so whatever fails may leave at once: the accessors
 * below, and the builders of ir.h, do so after they recorded why.  A mapping that finds a fault itself ends
 * with `return tn_onnx_error(n, ...)` or `return tn_onnx_unsupported(n, ...)`.  Either way the node's results
 * become unknown, nodes that need them are passed over, and import goes on: a person sees everything that is
 * wrong with a model at once.
 *
 * No type promotion: ONNX has none.  Operands come as the model gives them. */
#ifndef TENON_FRONTEND_ONNX_MAP_H
#define TENON_FRONTEND_ONNX_MAP_H

#include "ir/ir.h"

struct tn_import;     /* one import in progress; see import.h */
struct tn_onnx_attrs; /* the node's attributes as read; see import.h */

/* What a name of an ONNX model stands for: a tensor, or a sequence or optional, which exists during import only
 * and is followed as the list of what it holds.  Both NULL: absent. */
struct tn_onnx_arg {
  struct tn_value *value;
  const struct tn_onnx_list *list;
};
struct tn_onnx_list {
  bool optional;       /* an optional: count is 0 or 1; else a sequence */
  enum tn_dtype dtype; /* of the elements, TN_NONE when not known (an empty list) */
  size_t count;
  const struct tn_onnx_arg *at;
};

struct tn_onnx_node {
  struct tn_import *im;
  struct tn_build *b; /* the cursor for new nodes; carries the node's name and operator for diagnostics */
  tn_arena *arena;    /* the module's: lives as long as the IR */
  const char *op, *domain, *name; /* domain: "" for ai.onnx; name: the user's or the first result's */
  int opset;            /* version of `domain` that the model (or the function being inlined) imports */
  int arg;              /* last column of the row in ops.def */
  int in_count;         /* as written, trailing absent operands removed */
  struct tn_value **in; /* [in_count]; NULL: absent, or a list */
  const struct tn_onnx_list **in_list; /* [in_count]; NULL: absent, or a tensor */
  int out_count;
  struct tn_value **out;                /* [out_count]; the mapping sets it, or out_list */
  const struct tn_onnx_list **out_list; /* [out_count] */
  const bool *out_used;                 /* [out_count]; false: it has no name, so nobody uses it */
  const struct tn_onnx_attrs *attrs;
};

/* True when n->out (or n->out_list) is set for every used result; false after a diagnostic. */
typedef bool tn_onnx_map(struct tn_onnx_node *n);

/* Operand i, NULL when absent or past the end. */
static inline struct tn_value *tn_onnx_in(const struct tn_onnx_node *n, int i) {
  return i < n->in_count ? n->in[i] : NULL;
}
/* Operand i as a tensor; leaves with an error when it is absent or a list. `what`: its name in ONNX's text. */
struct tn_value *tn_onnx_need(struct tn_onnx_node *n, int i, const char *what);
/* Operand i as a sequence or optional; leaves with an error when it is a tensor or absent. */
const struct tn_onnx_list *tn_onnx_need_list(struct tn_onnx_node *n, int i, const char *what);
/* The items are copied. */
const struct tn_onnx_list *tn_onnx_list_make(struct tn_onnx_node *n, bool optional, enum tn_dtype dtype,
                                             size_t count, const struct tn_onnx_arg *items);

/* The TensorProto.DataType of operand i as the model has it: INT4 (22) for a tensor that is held unpacked in
 * i8. 0 when absent.  Operators that make a new value lose it, unless they mark their result. */
int64_t tn_onnx_in_data_type(struct tn_onnx_node *n, int i);
void tn_onnx_mark_data_type(struct tn_onnx_node *n, struct tn_value *value, int64_t data_type);

/* ---- diagnostics: false, so that a mapping can return them ---------------------------------------------- */

/* The model is wrong. */
bool tn_onnx_error(struct tn_onnx_node *n, const char *format, ...) TN_PRINTF(2, 3);
/* The model is right, and Tenon cannot do it.  Goes to the list of unsupported nodes. */
bool tn_onnx_unsupported(struct tn_onnx_node *n, const char *format, ...) TN_PRINTF(2, 3);

/* ---- attributes: a wrong type leaves with an error; numbers and floats live until the import ends
 * ------------ */

bool tn_onnx_has(const struct tn_onnx_node *n, const char *name);
int64_t tn_onnx_int(struct tn_onnx_node *n, const char *name, int64_t absent);
double tn_onnx_float(struct tn_onnx_node *n, const char *name, double absent);
const char *tn_onnx_string(struct tn_onnx_node *n, const char *name, const char *absent);
/* False, and an empty list, when absent. */
bool tn_onnx_ints(struct tn_onnx_node *n, const char *name, struct tn_ints *out);
bool tn_onnx_floats(struct tn_onnx_node *n, const char *name, const float **out, size_t *count);
bool tn_onnx_strings(struct tn_onnx_node *n, const char *name, const char *const **out, size_t *count);
const struct tn_tensor *tn_onnx_tensor(struct tn_onnx_node *n, const char *name); /* NULL when absent */
const struct tn_tensor *tn_onnx_tensor_typed(struct tn_onnx_node *n, const char *name, int64_t *data_type);
/* The int attribute `name` as a dimension in 0..rank-1 (a negative one counts from the end); leaves when
 * outside. */
int tn_onnx_axis(struct tn_onnx_node *n, const char *name, int64_t absent, int rank);
/* The same for a number found elsewhere; `what` names it in the error. */
int tn_onnx_check_axis(struct tn_onnx_node *n, const char *what, int64_t axis, int rank);
/* A TensorProto.DataType number as a dtype; leaves with tn_onnx_unsupported when Tenon has no such type. */
enum tn_dtype tn_onnx_dtype(struct tn_onnx_node *n, int64_t data_type);

/* ---- operands whose value must be known now ---------------------------------------------------------------
 */

/* The value of operand i: a constant, or computed from constants here.  NULL when it is not known (no
 * diagnostic). */
const struct tn_tensor *tn_onnx_known(struct tn_onnx_node *n, int i);
/* The elements of operand i as integers.  Leaves when they are not known: the error names the operand, and the
 * graph inputs on which it depends are noted, so that the user can give their values at compile time. */
struct tn_ints tn_onnx_const_ints(struct tn_onnx_node *n, int i, const char *what);
int64_t tn_onnx_const_int(struct tn_onnx_node *n, int i, const char *what); /* exactly one element */
double tn_onnx_const_float(struct tn_onnx_node *n, int i, const char *what);
/* The elements of operand i as dimensions, which may be symbolic; leaves when unknown.  Returns the count. */
int tn_onnx_const_dims(struct tn_onnx_node *n, int i, const char *what, tn_dim out[TN_MAX_RANK]);
/* What tn_onnx_const_ints does when it fails, for a mapping that tried by itself: notes and leaves. */
TN_NORETURN void tn_onnx_need_value(struct tn_onnx_node *n, int i, const char *what);

/* ---- subgraphs --------------------------------------------------------------------------------------------
 */

/* Inputs and outputs of the graph attribute `name`; leaves when it is absent. */
void tn_onnx_graph_arity(struct tn_onnx_node *n, const char *name, int *in_count, int *out_count);
/* Imports the nodes of graph attribute `name` at the cursor `into`: a region's end (tn_build_at_end) or n->b,
 * to inline a branch.  Its inputs are bound to args[in_count]; outs[out_count] receives its outputs.  Names of
 * the graphs around it are visible.  Leaves when an output is unknown. */
void tn_onnx_import_graph(struct tn_onnx_node *n, const char *name, struct tn_build *into, int in_count,
                          const struct tn_onnx_arg *args, int out_count, struct tn_onnx_arg *outs);

/* ---- the table ---------------------------------------------------------------------------------------------
 */

#define TN_ONNX_LATEST 28 /* newest opset of the default domain whose operators are known */

/* tn_onnx_op_FUNCTION for each row of ops.def */
#define ONNX(domain, op, since, until, function, arg) tn_onnx_map tn_onnx_op_##function;
#include "frontend/onnx/ops.def"
#undef ONNX

#endif
