/* The ONNX front end, for the driver: a model file in, a module of tensor IR out.
 *
 * After the import nothing knows about ONNX: opsets, operator versions, initializers, model-local functions,
 * sequences and optionals are gone.  Inputs and outputs keep their order and their names; an initializer that
 * is also a graph input is a constant and no input. */
#ifndef TENON_FRONTEND_ONNX_ONNX_H
#define TENON_FRONTEND_ONNX_ONNX_H

#include "ir/ir.h"

struct tn_onnx_dim { /* binds (low == high) or bounds a symbolic dimension */
  const char *name;
  int64_t low, high;
};
struct tn_onnx_shape { /* sets an input's shape; symbols it replaces take these extents everywhere */
  const char *input;
  int rank;
  int64_t dim[TN_MAX_RANK];
};
struct tn_onnx_value { /* makes an input a constant */
  const char *input;
  const struct tn_tensor *tensor;
};

struct tn_onnx_options {
  const char *name; /* the module's, C prefix */
  size_t dim_count, shape_count, value_count;
  const struct tn_onnx_dim *dims;
  const struct tn_onnx_shape *shapes;
  const struct tn_onnx_value *values;
  /* Computes the results of a pure node whose operands are all constants (tn_value_tensor); fills
   * outs[out_count] with data that lives as long as the module.  False without a diagnostic when it cannot.
   * NULL: operands that decide a shape must be constants or shape arithmetic. */
  bool (*evaluate)(void *user, struct tn_node *node, struct tn_tensor *outs);
  void *user;
};

/* What stood in the way of an import. */
struct tn_onnx_gap {
  const char *node, *op, *reason; /* op: "Conv", "com.microsoft.Attention" */
};
struct tn_onnx_outcome {
  size_t gap_count;
  const struct tn_onnx_gap *gaps; /* unsupported nodes, in order */
  size_t needed_count;
  const char *const *needed; /* inputs whose values decide a shape: give them in options->values */
};

/* NULL after diagnostics.  options and outcome may be NULL.  The file stays mapped as long as the context
 * lives. */
struct tn_module *tn_onnx_import(tn_ctx *ctx, const char *path, const struct tn_onnx_options *options,
                                 struct tn_onnx_outcome *outcome);
/* The same from memory, which must live as long as the module.  path: for messages, and the folder of external
 * data (NULL: the model may have none). */
struct tn_module *tn_onnx_import_bytes(tn_ctx *ctx, struct tn_bytes bytes, const char *path,
                                       const struct tn_onnx_options *options, struct tn_onnx_outcome *outcome);

/* Reads a file that holds one TensorProto (a test vector).  name: NULL, or receives the tensor's name ("" when
 * it has none).  Sequences and types that Tenon has not are refused with a diagnostic. */
bool tn_onnx_read_tensor(tn_ctx *ctx, const char *path, struct tn_tensor *out, const char **name);

/* What `inspect` tells of a model, whether Tenon can compile it or not. */
struct tn_onnx_port {
  const char *name, *dtype,
      *shape; /* "f32" (or ONNX's word for it), "[batch, 3, 224, 224]" ("" when unknown) */
};
struct tn_onnx_count {
  const char *name; /* op or opset domain ("ai.onnx") */
  int64_t count;    /* nodes, or version */
};
struct tn_onnx_summary {
  int64_t ir_version, model_version;
  const char *producer, *graph; /* "pytorch 2.1"; "" when not said */
  size_t input_count, output_count, op_count, opset_count, metadata_count;
  const struct tn_onnx_port *inputs, *outputs; /* initializers left out */
  const struct tn_onnx_count *ops; /* most frequent first; subgraphs and called functions included */
  const struct tn_onnx_count *opsets;
  const char *const (*metadata)[2];                /* key, value */
  int64_t node_count, parameters, parameter_bytes; /* elements and bytes of all initializers */
  struct tn_onnx_outcome outcome;                  /* of an import with these options */
  struct tn_module *module;                        /* what the import made, NULL when it failed */
};
/* False only when the file cannot be read as a model.  Errors of the import are in the diagnostics. */
bool tn_onnx_inspect(tn_ctx *ctx, const char *path, const struct tn_onnx_options *options,
                     struct tn_onnx_summary *out);
/* What the file says of itself, without an import: outcome and module are left empty. */
bool tn_onnx_survey(tn_ctx *ctx, const char *path, struct tn_onnx_summary *out);

#endif
