/* Tensor IR: what a model is between the front end and the code generator.
 *
 * A module holds one main graph.  A graph is a list of nodes in execution order; a node applies an op to
 * operand values and defines result values; a value is defined once (SSA) and carries its type and the name
 * that the user gave it.  Control flow ops hold graphs of their own (regions), which may use values of the
 * graphs around them.
 *
 * Invariants, kept by tn_verify(): operands are defined before use in the same graph or in one around it; every
 * value's type is what tn_infer() gives; attributes are within their op's domain.
 *
 * Everything is allocated in the module's arena and never freed before it.  Text form: see print.c. */
#ifndef TENON_IR_H
#define TENON_IR_H

#include "support/support.h"

#define TN_MAX_RANK 8

/* ---- types --------------------------------------------------------------------------------------------- */

enum tn_dtype {
  TN_NONE, /* an absent optional operand, or not yet inferred */
  TN_F32,
  TN_F64,
  TN_F16,
  TN_BF16,
  TN_I8,
  TN_I16,
  TN_I32,
  TN_I64,
  TN_U8,
  TN_U16,
  TN_U32,
  TN_U64,
  TN_BOOL, /* one byte, 0 or 1 */
  TN_DTYPE_COUNT
};
const char *tn_dtype_name(enum tn_dtype dtype); /* "f32", "i8", "bool", ... */
bool tn_dtype_parse(const char *name, enum tn_dtype *out);
size_t tn_dtype_size(enum tn_dtype dtype); /* bytes */
bool tn_dtype_is_float(enum tn_dtype dtype);
bool tn_dtype_is_int(enum tn_dtype dtype);    /* bool is not */
bool tn_dtype_is_signed(enum tn_dtype dtype); /* floats are */

/* A dimension: >= 0 is its extent; < 0 names a symbol of the module (see tn_symbol_*). */
typedef int64_t tn_dim;
static inline bool tn_dim_static(tn_dim dim) {
  return dim >= 0;
}

/* Room for what a quantized tensor means: real = (stored - zero_point[c]) * scale[c], c along `axis`. */
struct tn_quant {
  int axis; /* -1: one scale for the whole tensor */
  int64_t count;
  const float *scale;
  const int32_t *zero_point;
};

struct tn_type {
  enum tn_dtype dtype;
  int rank;
  tn_dim dim[TN_MAX_RANK];
  const struct tn_quant *quant; /* NULL: stored values are the values */
};
struct tn_type tn_type_make(enum tn_dtype dtype, int rank, const tn_dim *dims);
struct tn_type tn_type_scalar(enum tn_dtype dtype);
bool tn_type_equal(const struct tn_type *a, const struct tn_type *b);
bool tn_type_static(const struct tn_type *type);
bool tn_shape_equal(const struct tn_type *a, const struct tn_type *b);
/* Number of elements; false when a dimension is symbolic or the product overflows. */
bool tn_type_count(const struct tn_type *type, int64_t *out);
bool tn_type_bytes(const struct tn_type *type, int64_t *out);

/* A tensor's data, row-major, little-endian. */
struct tn_tensor {
  struct tn_type type; /* static */
  const void *data;
  size_t bytes;
};

/* ---- ops (ops.def) ------------------------------------------------------------------------------------- */

enum tn_op {
#define OP(id, ...) TN_##id,
#define ATTR(...)
#include "ir/ops.def"
#undef OP
#undef ATTR
  TN_OP_COUNT
};

enum tn_pool_kind { TN_WINDOW_MAX, TN_WINDOW_MIN, TN_WINDOW_SUM }; /* the attribute `kind` of TN_POOL */

enum tn_attr_kind { TN_ATTR_INT, TN_ATTR_FLOAT, TN_ATTR_INTS, TN_ATTR_ENUM, TN_ATTR_DTYPE, TN_ATTR_TENSOR };

/* Attribute identifiers over all ops: TN_CONV_group and so on. */
enum tn_attr_id {
#define OP(...)
#define ATTR(op, name, ...) TN_##op##_##name,
#include "ir/ops.def"
#undef OP
#undef ATTR
  TN_ATTR_COUNT
};

enum tn_op_flag {
  TN_PURE = 1 << 0,        /* result depends on operands and attributes alone */
  TN_ELEMENTWISE = 1 << 1, /* out[i] depends on operands at i (numpy broadcasting) */
  TN_COMMUTES = 1 << 2,
  TN_MOVE = 1 << 3, /* each result element is a copy of an operand element or of a constant */
  TN_VIEW = 1 << 4, /* same bytes in the same order as operand 0 */
  TN_POINTWISE =
      1 << 5,         /* has an element definition: out[i] is an expression of i (moves, elementwise, iota) */
  TN_REDUCE = 1 << 6, /* a combine over a domain of a pointwise term */
  TN_COMPOSITE = 1 << 7, /* is decomposed before code generation */
  TN_REGION = 1 << 8,    /* holds graphs */
  TN_TILES = 1 << 9 /* stores every result element once, in an order of its own; readers at i may finish it */
};

#define TN_MAX_ATTRS 8
#define TN_TREE_BITS 4 /* of a node of tree_walk below its feature */

struct tn_op_info {
  const char *name;
  int min_in, max_in, min_out, max_out; /* max -1: any number */
  unsigned flags;                       /* enum tn_op_flag */
  const char *doc;
  int first_attr, attr_count; /* enum tn_attr_id range */
};
struct tn_attr_info {
  const char *name;
  enum tn_attr_kind kind;
  const char *def;    /* default as text, NULL: required */
  const char *values; /* TN_ATTR_ENUM: "a|b|c" */
};
const struct tn_op_info *tn_op_info(enum tn_op op);
const struct tn_attr_info *tn_attr_info(enum tn_attr_id id);
bool tn_op_parse(const char *name, enum tn_op *out);

struct tn_ints {
  const int64_t *at;
  size_t count;
};

union tn_attr {
  int64_t i; /* INT, ENUM (index in `values`), DTYPE */
  double f;
  struct tn_ints ints;
  const struct tn_tensor *tensor;
};

/* ---- graph --------------------------------------------------------------------------------------------- */

struct tn_value;
struct tn_node;
struct tn_graph;
struct tn_module;

/* Where a value lives at run time; set by the memory plan, TN_NOWHERE before. */
enum tn_place { TN_NOWHERE, TN_IN_INPUT, TN_IN_OUTPUT, TN_IN_ARENA, TN_IN_WEIGHTS };
/* A value that lies within a larger buffer: element idx is element offset + sum of idx[d] * stride[d] of it. */
struct tn_window {
  int64_t offset;
  int64_t stride[TN_MAX_RANK]; /* > 0; of dims of extent 1 too */
};
struct tn_storage {
  enum tn_place place;
  int64_t index;                  /* input or output number; byte offset in the arena or the weights */
  const struct tn_window *window; /* NULL: the buffer is the value's, row-major */
};
/* How near the buffer of a kernel's result may come to that of an operand when the kernel goes over its outermost
 * loop in blocks of `rows` iterations, in order (the attribute `order`). */
struct tn_reach {
  int64_t rows;
  int64_t below; /* bytes: upwards, the result begins at least so many before the operand ... */
  int64_t above; /* ... downwards, at least so many after it */
};

struct tn_use {
  struct tn_node *node;
  int index;
};

struct tn_value {
  const char *name; /* unique in the module; the user's where there is one */
  struct tn_type type;
  struct tn_node *def;   /* NULL: a graph input */
  struct tn_graph *home; /* graph that it is an input of or whose node defines it */
  int def_index;
  TN_VEC(struct tn_use) uses;          /* by inserted nodes, one an operand slot; graph outputs are not in it */
  TN_VEC(struct tn_graph *) output_of; /* graphs that list it as an output, once for each time */
  bool named; /* by the user (tn_value_rename, graph inputs); tn_replace_value hands such a name on */
  struct tn_storage storage;
  uint32_t id;
};

struct tn_node {
  enum tn_op op;
  const char *name;   /* the user's node name, or the first result's */
  const char *origin; /* the front end's operator, "Conv"; for diagnostics */
  struct tn_graph *home;
  struct tn_node *prev, *next;
  int in_count, out_count;
  struct tn_value **in; /* an absent optional operand is NULL */
  struct tn_value **out;
  union tn_attr attr[TN_MAX_ATTRS];
  int region_count;
  struct tn_graph **region;
};

struct tn_graph {
  struct tn_module *module;
  struct tn_node *owner; /* NULL: the main graph */
  struct tn_node *first, *last;
  TN_VEC(struct tn_value *) inputs;
  TN_VEC(struct tn_value *) outputs;
};

struct tn_symbol {
  const char *name;  /* "batch"; a derived one: an expression, "(batch + 1)" */
  int64_t low, high; /* bounds known; high INT64_MAX: none */
  uint8_t op; /* 0: a name or a negative number; '+', '*', '/', '%' (floor), 'M' max, 'm' min over a and b */
  tn_dim a, b;
};

struct tn_module {
  tn_ctx *ctx;
  tn_arena *arena;
  const char *name; /* C prefix */
  const char *file; /* source, for diagnostics */
  struct tn_graph *main;
  TN_VEC(struct tn_symbol) symbols;
  struct tn_map names;        /* value name -> value; NULL: given up, free to take */
  struct tn_map suffixes;     /* value name hint -> last number tried */
  struct tn_map symbol_index; /* symbol key -> number + 1, see symbol.c */
  struct tn_map strings;      /* metadata key -> value, for reports */
  uint32_t next_id;
  int64_t arena_bytes, arena_low_bound; /* set by the memory plan */
  int64_t weight_bytes;                 /* of the constants that are placed */
};

struct tn_module *tn_module_create(tn_ctx *ctx, const char *name, const char *file);
/* A graph with an owner is appended to the owner's regions. */
struct tn_graph *tn_graph_create(struct tn_module *module, struct tn_node *owner);
/* A deep copy of the graph's nodes at the end of `into`; inputs are replaced by `args`; outs (count: the
 * source's outputs) receives the values that stand for its outputs. */
void tn_graph_inline(const struct tn_graph *source, struct tn_graph *into, struct tn_node *before,
                     struct tn_value *const *args, struct tn_value **outs);
struct tn_value *tn_graph_input(struct tn_graph *graph, const char *name, struct tn_type type);
void tn_graph_output(struct tn_graph *graph, struct tn_value *value); /* appends */
void tn_graph_set_output(struct tn_graph *graph, size_t index, struct tn_value *value);

/* Dimensions.  All fold when static, and share one symbol for equal expressions. */
tn_dim tn_symbol_named(struct tn_module *module, const char *name);
/* A number as a dim and back.  A negative number (the -1 of a shape being computed) is a symbol of fixed value;
 * it is never an extent: tn_infer rejects it in a type. */
tn_dim tn_dim_int(struct tn_module *module, int64_t value);
bool tn_dim_value(const struct tn_module *module, tn_dim dim, int64_t *out); /* false: truly symbolic */
const char *tn_dim_text(struct tn_module *module, tn_dim dim);               /* "3", "batch", "(batch + 1)" */
tn_dim tn_dim_op(struct tn_module *module, char op, tn_dim a, tn_dim b); /* '+', '-', '*', '/', '%', 'M', 'm' */

/* ---- building (build.c) -------------------------------------------------------------------------------- */

/* A cursor: new nodes go before `before`, or at the end of `graph` when it is NULL; they take `name`/`origin`
 * for diagnostics.  Value names are made unique: the hint, then hint.1, hint.2, ... */
struct tn_build {
  struct tn_graph *graph;
  struct tn_node *before;
  const char *name;   /* the user's node */
  const char *origin; /* the user's operator */
};

/* Makes a node with default attributes and no types; set attributes, then call tn_finish() to infer and insert.
 * in: operands, NULL for an absent one. */
struct tn_node *tn_node_make(struct tn_build *b, enum tn_op op, int in_count, struct tn_value *const *in,
                             int out_count);
/* Infers result types, inserts and enters the operands' uses.  False after a diagnostic when the operands do
 * not fit. */
bool tn_finish(struct tn_build *b, struct tn_node *node);
/* Gives the value the user's name (a made-up holder of it gives way), or name.N when the user gave it twice. */
void tn_value_rename(struct tn_value *value, const char *name);

union tn_attr *tn_attr_slot(struct tn_node *node,
                            enum tn_attr_id id); /* bug when the op has no such attribute */
void tn_set_int(struct tn_node *node, enum tn_attr_id id, int64_t value);
void tn_set_float(struct tn_node *node, enum tn_attr_id id, double value);
void tn_set_ints(struct tn_node *node, enum tn_attr_id id, const int64_t *at, size_t count); /* copied */
void tn_set_tensor(struct tn_node *node, enum tn_attr_id id, const struct tn_tensor *tensor);
int64_t tn_get_int(const struct tn_node *node, enum tn_attr_id id);
double tn_get_float(const struct tn_node *node, enum tn_attr_id id);
struct tn_ints tn_get_ints(const struct tn_node *node, enum tn_attr_id id);
const struct tn_tensor *tn_get_tensor(const struct tn_node *node, enum tn_attr_id id);

/* Shorthands: make, set, finish; return the (first) result, or leave to the guard by tn_fail_now() after the
 * diagnostic, so that decompositions read as formulas. */
/* The tensor's description is copied, its data is not: it lives as long as the module. */
struct tn_value *tn_constant(struct tn_build *b, const struct tn_tensor *tensor);
struct tn_value *tn_constant_bytes(struct tn_build *b, struct tn_type type, const void *data); /* copied */
/* A constant of the given rank with all dims 1, converted to dtype. */
struct tn_value *tn_const_float(struct tn_build *b, enum tn_dtype dtype, double value); /* rank 0 */
struct tn_value *tn_const_int(struct tn_build *b, enum tn_dtype dtype, int64_t value);  /* rank 0 */
struct tn_value *tn_const_i64s(struct tn_build *b, const int64_t *at, size_t count);    /* rank 1 */
struct tn_value *tn_unary(struct tn_build *b, enum tn_op op, struct tn_value *x);
struct tn_value *tn_binary(struct tn_build *b, enum tn_op op, struct tn_value *x, struct tn_value *y);
struct tn_value *tn_select(struct tn_build *b, struct tn_value *cond, struct tn_value *x, struct tn_value *y);
struct tn_value *tn_cast(struct tn_build *b, struct tn_value *x, enum tn_dtype to); /* x itself when it fits */
struct tn_value *tn_reshape(struct tn_build *b, struct tn_value *x, int rank, const tn_dim *dims);
struct tn_value *tn_transpose(struct tn_build *b, struct tn_value *x, const int64_t *perm);
struct tn_value *tn_expand(struct tn_build *b, struct tn_value *x, int rank, const tn_dim *dims);
struct tn_value *tn_slice(struct tn_build *b, struct tn_value *x, const int64_t *starts, const int64_t *steps,
                          const int64_t *sizes);
/* Zero (or `value`, a rank-0 operand, when not NULL) padding. before/after: one per dim, may be negative
 * (crop). */
struct tn_value *tn_pad(struct tn_build *b, struct tn_value *x, const int64_t *before, const int64_t *after,
                        struct tn_value *value);
struct tn_value *tn_concat(struct tn_build *b, int axis, int count, struct tn_value *const *xs);
struct tn_value *tn_gather(struct tn_build *b, struct tn_value *x, struct tn_value *indices, int axis);
struct tn_value *tn_iota(struct tn_build *b, enum tn_dtype dtype, int rank, const tn_dim *dims, int axis);
/* op: a reduction such as TN_REDUCE_SUM. */
struct tn_value *tn_reduce(struct tn_build *b, enum tn_op op, struct tn_value *x, const int64_t *axes,
                           size_t axis_count, bool keepdims);
struct tn_value *tn_matmul(struct tn_build *b, struct tn_value *x, struct tn_value *y);

/* ---- changing ------------------------------------------------------------------------------------------ */

struct tn_build tn_build_before(struct tn_node *node); /* cursor with the node's name and origin */
struct tn_build tn_build_at_end(struct tn_graph *graph);
void tn_node_set_input(struct tn_node *node, int index, struct tn_value *value); /* keeps uses */
/* All uses of `from`, graph outputs included, become uses of `to`. */
void tn_replace_value(struct tn_value *from, struct tn_value *to);
void tn_node_remove(struct tn_node *node);             /* its results must have no uses */
bool tn_value_is_output(const struct tn_value *value); /* of its home graph (or a graph inside) */
bool tn_value_unused(const struct tn_value *value);
/* The constant behind a value, or NULL. */
const struct tn_tensor *tn_value_tensor(const struct tn_value *value);
/* A constant's elements as int64 or double; false when the value is no constant (or not numeric). */
bool tn_value_ints(const struct tn_value *value, tn_arena *arena, struct tn_ints *out);
bool tn_value_floats(const struct tn_value *value, tn_arena *arena, const double **out, int64_t *count);
/* Element i of a tensor of any dtype as double or int64. */
double tn_tensor_float(const struct tn_tensor *tensor, int64_t i);
int64_t tn_tensor_int(const struct tn_tensor *tensor, int64_t i);
/* Converts and stores element i (floats round to nearest even, integers wrap). */
void tn_store_float(enum tn_dtype dtype, void *data, int64_t i, double value);
void tn_store_int(enum tn_dtype dtype, void *data, int64_t i, int64_t value);

/* Reports an error about the node: "file: error: node 'n' (Conv): ...". */
void tn_node_error(const struct tn_node *node, const char *format, ...) TN_PRINTF(2, 3);

/* ---- binding (bind.c) ---------------------------------------------------------------------------------- */

struct tn_dim_extent {
  tn_dim symbol; /* a named one, of the module */
  int64_t extent;
};
/* The symbols become numbers, also in what is derived from them, and every type is inferred anew.  False after
 * a diagnostic when an extent is outside the symbol's bounds or a node does not fit; the module is of no use
 * then. */
bool tn_bind_dims(struct tn_module *module, const struct tn_dim_extent *extents, size_t count);
/* Makes input `index` of the main graph a constant of its name.  The tensor is of the input's dtype and shape;
 * its data lives as long as the module. */
void tn_bind_input(struct tn_graph *graph, size_t index, const struct tn_tensor *tensor);

/* ---- shapes by value (values.c) -------------------------------------------------------------------------- */

/* The elements of a small integer tensor as dimensions (static or symbolic), followed through Shape, Gather,
 * Concat, arithmetic and so on.  False when unknown. count <= 64. */
bool tn_value_dims(const struct tn_value *value, tn_dim *out, int *count);

/* ---- inference, verification, text --------------------------------------------------------------------- */

/* Sets the node's result types from its operands and attributes.  Reports and returns false when they do not
 * fit. */
bool tn_infer(struct tn_node *node);
/* One infer function for each shape rule named in ops.def. */
/* Checks the invariants above; reports each violation as TN_BUG naming `after` (a pass), returns false. */
bool tn_verify(const struct tn_module *module, const char *after);

char *tn_print(tn_arena *arena, const struct tn_module *module);
char *tn_print_brief(tn_arena *arena,
                     const struct tn_module *module); /* long constants as "...": not to be read */
/* Of all that tn_print prints. */
struct tn_hash tn_module_hash(tn_arena *scratch, const struct tn_module *module);
char *tn_print_node(tn_arena *arena, const struct tn_node *node); /* one line (and its regions) */
/* Reads what tn_print writes.  NULL after a diagnostic with line and column. */
struct tn_module *tn_parse(tn_ctx *ctx, const char *file, const char *text, size_t size);

#endif
