/* Writes ONNX messages byte by byte, for the tests of the front end: right ones and wrong ones. */
#ifndef TENON_TESTS_ONNX_WRITER_H
#define TENON_TESTS_ONNX_WRITER_H

#include "support/support.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  ONNX_FLOAT = 1,
  ONNX_UINT8 = 2,
  ONNX_INT8 = 3,
  ONNX_INT32 = 6,
  ONNX_INT64 = 7,
  ONNX_STRING = 8,
  ONNX_BOOL = 9
};

/* A message under construction; too much is cut off, which no test comes near. */
struct msg {
  size_t size;
  uint8_t at[16384];
};

static inline void put_raw(struct msg *m, const void *bytes, size_t size) {
  if (size <= sizeof m->at - m->size && size)
    memcpy(m->at + m->size, bytes, size), m->size += size;
}
static inline void put_varint(struct msg *m, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    put_raw(m, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
  put_raw(m, &(uint8_t){(uint8_t)value}, 1);
}
static inline void put_int(struct msg *m, int field, int64_t value) {
  put_varint(m, (uint64_t)field << 3);
  put_varint(m, (uint64_t)value);
}
static inline void put_bytes(struct msg *m, int field, const void *bytes, size_t size) {
  put_varint(m, (uint64_t)field << 3 | 2);
  put_varint(m, size);
  put_raw(m, bytes, size);
}
static inline void put_text(struct msg *m, int field, const char *text) {
  put_bytes(m, field, text, strlen(text));
}
static inline void put_msg(struct msg *m, int field, const struct msg *inner) {
  put_bytes(m, field, inner->at, inner->size);
}
static inline void put_float(struct msg *m, int field, float value) {
  put_varint(m, (uint64_t)field << 3 | 5);
  put_raw(m, &value, 4);
}
static inline struct tn_bytes msg_bytes(const struct msg *m) {
  return (struct tn_bytes){m->at, m->size};
}

/* ---- the messages of ONNX ---- */

/* A TensorProto with raw data. */
static inline struct msg tensor_msg(const char *name, int data_type, int rank, const int64_t *dims,
                                    const void *raw, size_t size) {
  struct msg m = {0};
  for (int i = 0; i < rank; i++)
    put_int(&m, 1, dims[i]);
  put_int(&m, 2, data_type);
  put_text(&m, 8, name);
  if (raw)
    put_bytes(&m, 9, raw, size);
  return m;
}

/* A ValueInfoProto of tensor type.  dims: "2,batch,?" */
static inline struct msg info_msg(const char *name, int data_type, const char *dims) {
  struct msg m = {0}, type = {0}, tensor = {0}, shape = {0};
  put_int(&tensor, 1, data_type);
  while (dims && *dims) {
    struct msg dim = {0};
    size_t length = strcspn(dims, ",");
    if (*dims >= '0' && *dims <= '9')
      put_int(&dim, 1, strtoll(dims, NULL, 10));
    else if (*dims != '?')
      put_bytes(&dim, 2, dims, length);
    put_msg(&shape, 1, &dim);
    dims += length + (dims[length] == ',');
  }
  if (dims)
    put_msg(&tensor, 2, &shape);
  put_msg(&type, 1, &tensor);
  put_text(&m, 1, name);
  put_msg(&m, 2, &type);
  return m;
}

/* A NodeProto.  inputs, outputs: "a,b"; an empty word is an absent operand. */
static inline struct msg node_msg(const char *domain, const char *op, const char *name, const char *inputs,
                                  const char *outputs) {
  struct msg m = {0};
  for (int field = 1; field <= 2; field++)
    for (const char *at = field == 1 ? inputs : outputs; at && *at;) {
      size_t length = strcspn(at, ",");
      put_bytes(&m, field, at, length);
      at += length + (at[length] == ',');
    }
  put_text(&m, 3, name);
  put_text(&m, 4, op);
  put_text(&m, 7, domain);
  return m;
}

static inline void node_attr_int(struct msg *node, const char *name, int64_t value) {
  struct msg a = {0};
  put_text(&a, 1, name);
  put_int(&a, 3, value);
  put_int(&a, 20, 2);
  put_msg(node, 5, &a);
}
static inline void node_attr_ints(struct msg *node, const char *name, int count, const int64_t *values) {
  struct msg a = {0};
  put_text(&a, 1, name);
  for (int i = 0; i < count; i++)
    put_int(&a, 8, values[i]);
  put_int(&a, 20, 7);
  put_msg(node, 5, &a);
}
static inline void node_attr_tensor(struct msg *node, const char *name, const struct msg *tensor) {
  struct msg a = {0};
  put_text(&a, 1, name);
  put_msg(&a, 5, tensor);
  put_int(&a, 20, 4);
  put_msg(node, 5, &a);
}
/* An attribute whose value is the function's parameter. */
static inline void node_attr_ref(struct msg *node, const char *name, const char *parameter, int type) {
  struct msg a = {0};
  put_text(&a, 1, name);
  put_text(&a, 21, parameter);
  put_int(&a, 20, type);
  put_msg(node, 5, &a);
}

/* A ModelProto of a graph, opset 17. */
static inline struct msg model_msg(const struct msg *graph) {
  struct msg m = {0}, opset = {0};
  put_int(&m, 1, 8);
  put_int(&opset, 2, 17);
  put_msg(&m, 8, &opset);
  put_msg(&m, 7, graph);
  return m;
}

enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

#endif
