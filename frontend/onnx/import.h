/* Inside the importer: its state, names and scopes.  Mappings see map.h alone. */
#ifndef TENON_FRONTEND_ONNX_IMPORT_H
#define TENON_FRONTEND_ONNX_IMPORT_H

#include "frontend/onnx/map.h"
#include "frontend/onnx/onnx.h"
#include "frontend/onnx/wire.h"

/* Nodes imported in all: functions that call each other twice and so on would grow without end. */
#define TN_ONNX_MAX_NODES 1000000

/* What a name stands for in a scope. */
struct tn_binding {
  struct tn_onnx_arg arg;
  const Onnx__TensorProto *tensor;       /* an initializer that nobody has used yet; a constant after that */
  const Onnx__SparseTensorProto *sparse; /* the same */
  bool unknown;                          /* what defines it could not be imported, and that is on record */
};

/* The names of one graph or function body.  Values of lazy initializers are made at `cursor`, which is in the
 * graph that holds the scope's nodes, so that they are defined before every use. */
struct tn_scope {
  struct tn_scope *outer; /* NULL: the main graph, or a function's body */
  struct tn_map names;    /* -> struct tn_binding */
  struct tn_build *cursor;
};

/* The body of a model-local function being inlined; NULL outside of one. */
struct tn_frame {
  const Onnx__FunctionProto *function;
  const struct tn_onnx_attrs *call; /* attributes of the node that calls it */
  const char *prefix;               /* "call/", goes before names in the body */
};

struct tn_onnx_attrs {
  const Onnx__NodeProto *node;
  const struct tn_frame *frame; /* of the body that the node stands in */
};

/* What is known of a value besides its IR, by value id. */
struct tn_value_note {
  bool varies;       /* its data is not known at import */
  uint8_t data_type; /* TensorProto.DataType when it is not the plain one of the dtype (int4); or 0 */
  const struct tn_tensor *known; /* computed at import, for a value whose node stays what it is */
};

struct tn_import {
  tn_ctx *ctx;
  tn_arena *scratch; /* messages, scopes; gone when the import is done */
  struct tn_wire wire;
  const struct tn_onnx_options *options; /* not NULL */
  const Onnx__ModelProto *model;
  struct tn_module *module;
  struct tn_map functions;  /* "domain/name/overload" -> Onnx__FunctionProto */
  struct tn_map dims;       /* dim_param -> struct tn_onnx_dim */
  struct tn_value reserved; /* stands in module->names for the user's names that are not taken yet */

  /* where the import is */
  struct tn_scope *scope;
  const struct tn_frame *frame;
  size_t opset_count;
  Onnx__OperatorSetIdProto *const *opsets;
  int nesting;
  int64_t node_count;

  TN_VEC(struct tn_value_note) notes;
  TN_VEC(struct tn_onnx_gap) gaps;
  struct tn_map gap_keys;
  TN_VEC(const char *) needed;
};

/* ---- import.c ---- */
struct tn_where tn_import_where(const struct tn_onnx_node *n);
/* The binding of a name as seen from the current scope; NULL when nobody defines it. */
struct tn_binding *tn_import_lookup(struct tn_import *im, const char *name, struct tn_scope **home);
/* Imports a list of nodes in the current scope. */
void tn_import_nodes(struct tn_import *im, Onnx__NodeProto *const *nodes, size_t count, struct tn_build *at);
/* Opens a scope whose initializers and nodes are those of `graph`. */
void tn_import_scope(struct tn_import *im, struct tn_scope *scope, struct tn_scope *outer,
                     struct tn_build *cursor);
void tn_import_initializers(struct tn_import *im, const Onnx__GraphProto *graph);
void tn_import_bind(struct tn_import *im, const char *name, struct tn_onnx_arg arg, bool unknown);
void tn_import_name(struct tn_import *im, struct tn_value *value, const char *name);
void tn_import_gap(struct tn_import *im, const char *node, const char *op, const char *reason);
struct tn_value_note *tn_import_note(struct tn_import *im, const struct tn_value *value);
/* The constant of an initializer that is used for the first time.  False after a diagnostic. */
bool tn_import_constant(struct tn_import *im, const struct tn_scope *home, const char *name,
                        struct tn_binding *binding, struct tn_onnx_node *user);
/* How a model-local function is known: "domain/name/overload". */
const char *tn_import_function_key(struct tn_import *im, const char *domain, const char *name,
                                   const char *overload);
const char *tn_import_op_name(tn_arena *arena, const char *domain, const char *op);

/* Runs body(user) under a guard and brings the state of the import back when it was left. */
bool tn_import_try(struct tn_import *im, bool (*body)(void *user), void *user);
/* What is on record of what went wrong: to forget what an attempt said that another way made good. */
struct tn_import_mark {
  size_t diags, gaps, needed;
};
struct tn_import_mark tn_import_mark(struct tn_import *im);
void tn_import_forget(struct tn_import *im, struct tn_import_mark mark);

/* ---- order.c ---- */
/* Fills out[count] with the indices of the nodes in an order of execution; returns how many there are (a
 * constant that a later one replaces is left out).  Reports names that are defined twice, and cycles. */
size_t tn_import_order(struct tn_import *im, Onnx__NodeProto *const *nodes, size_t count, size_t *out);

/* ---- node.c ---- */
/* The attribute of the node, references to a function's parameters resolved; NULL when absent. */
const Onnx__AttributeProto *tn_onnx_attr(const struct tn_onnx_attrs *attrs, const char *name);

/* ---- types.c ---- */
/* "tensor(float)", "sequence(tensor(int64))" */
const char *tn_onnx_type_text(tn_arena *arena, const Onnx__TypeProto *type);
const char *tn_onnx_shape_text(tn_arena *arena, const char *name, const Onnx__TensorShapeProto *shape);
/* The name of dimension i of the input: its dim_param, else input.i. */
const char *tn_onnx_dim_name(tn_arena *arena, const char *input, const Onnx__TensorShapeProto *shape, size_t i);
/* Binds options' shapes and values to the symbols of the inputs; checks every name in the options. */
bool tn_import_options(struct tn_import *im);
/* Makes the main graph's inputs. */
bool tn_import_inputs(struct tn_import *im);
/* Makes the main graph's outputs. */
bool tn_import_outputs(struct tn_import *im);

/* ---- fold.c ---- */
/* The data of a value as far as it can be known now; NULL when it varies. */
const struct tn_tensor *tn_import_known(struct tn_import *im, struct tn_value *value);

#endif
