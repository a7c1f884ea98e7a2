/* Inside the front end: messages as read from the wire, and their tensors. */
#ifndef TENON_FRONTEND_ONNX_WIRE_H
#define TENON_FRONTEND_ONNX_WIRE_H

#include "ir/ir.h"
#include "onnx.pb-c.h"

/* Graphs within graphs; bounds the depth of recursion everywhere. */
#define TN_ONNX_MAX_NESTING 64

/* Fields of TensorProto whose payload may stay in the file. */
enum { TN_WIRE_FLOAT_DATA = 4, TN_WIRE_RAW_DATA = 9, TN_WIRE_DOUBLE_DATA = 10 };

/* Bytes being read as messages.  Large payloads are not copied: tensors point into `bytes`. */
struct tn_wire {
  tn_ctx *ctx;
  tn_arena *arena;  /* messages; may go when the import is done */
  tn_arena *keep;   /* tensors' data where it must be copied */
  const char *path; /* for messages and as the place of external data; may be NULL */
  struct tn_bytes bytes;
  struct tn_map external; /* location -> struct tn_bytes *, mapped once */
};
void tn_wire_init(struct tn_wire *wire, tn_ctx *ctx, tn_arena *arena, tn_arena *keep, const char *path,
                  struct tn_bytes bytes);
/* Reads the whole as one message.  NULL after a diagnostic. */
ProtobufCMessage *tn_wire_read(struct tn_wire *wire, const ProtobufCMessageDescriptor *type);

/* ---- tensors (tensor.c) ---- */

/* A row of TensorProto.DataType. */
struct tn_onnx_data_type {
  const char *name;    /* ONNX's: "float8e4m3fn" */
  enum tn_dtype dtype; /* as which it is held; TN_NONE: Tenon has no such type */
  int bits;            /* an element's in raw data; fewer than 8: packed, low bits first; 0: no fixed size */
};
/* A row for every number; unknown ones have the name "undefined". */
const struct tn_onnx_data_type *tn_onnx_data_type(int64_t number);
/* The DataType that is the plain one of a dtype. */
int tn_onnx_data_type_of(enum tn_dtype dtype);

/* Both fill *out with a tensor whose data lives as long as wire->keep and wire->bytes.  where.node names the
 * tensor. False after a diagnostic.  The caller has made sure that the data type is one that Tenon has. */
bool tn_wire_tensor(struct tn_wire *wire, const Onnx__TensorProto *proto, struct tn_where where,
                    struct tn_tensor *out);
bool tn_wire_sparse(struct tn_wire *wire, const Onnx__SparseTensorProto *proto, struct tn_where where,
                    struct tn_tensor *out);

#endif
