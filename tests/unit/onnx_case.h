/* One-node ONNX models written as text, for the tests of operator mappings.
 *
 * An operand is "f32[1,batch,3]", a graph input, or "i64[2]{1,-1}", a constant, or "" for an absent one; the
 * result is the graph's output y0, y1, ...  Attributes are "axis=1 alpha=0.5 mode='edge' pads=[0,1]
 * values=[0.5,2.0] modes=['LEAF','LEAF'] splits=f32[2]{1,2}
 * body=<Neg>": a number with a dot is a float; <Neg> is a graph of that one node. */
#ifndef TENON_TESTS_ONNX_CASE_H
#define TENON_TESTS_ONNX_CASE_H

#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { CASE_OPERANDS = 20 };
struct op_case {
  const char *op; /* "Conv", "com.microsoft.FusedConv" */
  int opset;
  const char *attrs;
  const char *in[CASE_OPERANDS];
  int outs;                   /* 0: one */
  const struct op_case *next; /* a node whose first operand is this one's result, or NULL */
};

static inline int case_data_type(enum tn_dtype dtype) {
  static const int numbers[TN_DTYPE_COUNT] = {
      [TN_F32] = 1,  [TN_U8] = 2,   [TN_I8] = 3,   [TN_U16] = 4,  [TN_I16] = 5,  [TN_I32] = 6,  [TN_I64] = 7,
      [TN_BOOL] = 9, [TN_F16] = 10, [TN_F64] = 11, [TN_U32] = 12, [TN_U64] = 13, [TN_BF16] = 16};
  return numbers[dtype];
}

/* Numbers in brackets; returns the place after them. */
static inline const char *case_numbers(const char *at, double *out, int *count, bool *whole) {
  *count = 0;
  *whole = true;
  for (at++; *at && *at != ']' && *at != '}';) {
    char *end;
    out[(*count)++] = strtod(at, &end);
    for (const char *c = at; c < end; c++)
      *whole = *whole && *c != '.';
    at = *end == ',' ? end + 1 : end;
  }
  return *at ? at + 1 : at;
}

/* "f32[2,3]": returns the place behind it. */
static inline const char *case_type(const char *spec, enum tn_dtype *dtype, const char **dim, int64_t *dims,
                                    int *rank) {
  char word[16];
  size_t length = strcspn(spec, "[");
  snprintf(word, sizeof word, "%.*s", (int)length, spec);
  *dtype = TN_NONE;
  tn_dtype_parse(word, dtype);
  const char *at = spec + length + 1;
  for (*rank = 0; *at && *at != ']' && *rank < TN_MAX_RANK; ++*rank) {
    dim[*rank] = at;
    dims[*rank] = strtoll(at, NULL, 10);
    at += strcspn(at, ",]");
    at += *at == ',';
  }
  return *at ? at + 1 : at;
}

/* The values in braces at `at`, of a constant. */
static inline struct msg case_tensor(const char *name, enum tn_dtype dtype, int rank, const int64_t *dims,
                                     const char **at) {
  double numbers[256];
  uint64_t raw[256];
  int count;
  bool whole;
  *at = case_numbers(*at, numbers, &count, &whole);
  for (int i = 0; i < count; i++)
    if (tn_dtype_is_float(dtype))
      tn_store_float(dtype, raw, i, numbers[i]);
    else
      tn_store_int(dtype, raw, i, (int64_t)numbers[i]);
  return tensor_msg(name, case_data_type(dtype), rank, dims, raw, (size_t)count * tn_dtype_size(dtype));
}

static inline void case_attribute(struct msg *node, const char **text) {
  struct msg a = {0};
  const char *at = *text;
  size_t length = strcspn(at, "=");
  double numbers[64];
  int count;
  bool whole;
  put_bytes(&a, 1, at, length);
  at += length + 1;
  if (*at == '\'') {
    length = strcspn(at + 1, "'");
    put_bytes(&a, 4, at + 1, length);
    put_int(&a, 20, 3);
    at += length + 2;
  } else if (at[0] == '[' && at[1] == '\'') {
    for (at++; *at == '\'' || *at == ',';) {
      at += *at == ',';
      length = strcspn(at + 1, "'");
      put_bytes(&a, 9, at + 1, length);
      at += length + 2;
    }
    put_int(&a, 20, 8);
    at++;
  } else if (*at == '<') {
    struct msg graph = {0}, inner = {0}, in = {0}, out = {0};
    length = strcspn(at + 1, ">");
    put_text(&in, 1, "b_in");
    put_text(&out, 1, "b_out");
    put_text(&inner, 1, "b_in");
    put_text(&inner, 2, "b_out");
    put_bytes(&inner, 4, at + 1, length);
    put_msg(&graph, GRAPH_NODE, &inner);
    put_msg(&graph, GRAPH_INPUT, &in);
    put_msg(&graph, GRAPH_OUTPUT, &out);
    put_msg(&a, 6, &graph);
    put_int(&a, 20, 5);
    at += length + 2;
  } else if (strchr("fiub", *at) && *at && strchr(at, '{')) {
    const char *dim[TN_MAX_RANK];
    int64_t dims[TN_MAX_RANK];
    enum tn_dtype dtype;
    at = case_type(at, &dtype, dim, dims, &count);
    struct msg tensor = case_tensor("", dtype, count, dims, &at);
    put_msg(&a, 5, &tensor);
    put_int(&a, 20, 4);
  } else if (*at == '[') {
    at = case_numbers(at, numbers, &count, &whole);
    for (int i = 0; i < count; i++)
      if (whole)
        put_int(&a, 8, (int64_t)numbers[i]);
      else
        put_float(&a, 7, (float)numbers[i]);
    put_int(&a, 20, whole ? 7 : 6);
  } else {
    length = strcspn(at, " ");
    if (memchr(at, '.', length)) {
      put_float(&a, 2, strtof(at, NULL));
      put_int(&a, 20, 1);
    } else {
      put_int(&a, 3, strtoll(at, NULL, 10));
      put_int(&a, 20, 2);
    }
    at += length;
  }
  put_msg(node, 5, &a);
  *text = at + strspn(at, " ");
}

/* Adds an operand as an input or an initializer of the graph. */
static inline void case_operand(struct msg *graph, const char *name, const char *spec) {
  const char *dim[TN_MAX_RANK];
  int64_t dims[TN_MAX_RANK];
  int rank;
  enum tn_dtype dtype;
  struct msg type = {0}, tensor = {0}, shape = {0}, info = {0};
  const char *at = case_type(spec, &dtype, dim, dims, &rank);
  if (*at == '{') {
    tensor = case_tensor(name, dtype, rank, dims, &at);
    put_msg(graph, GRAPH_INITIALIZER, &tensor);
    return;
  }
  put_int(&tensor, 1, case_data_type(dtype));
  for (int i = 0; i < rank; i++) {
    struct msg extent = {0};
    if (*dim[i] >= '0' && *dim[i] <= '9')
      put_int(&extent, 1, dims[i]);
    else
      put_bytes(&extent, 2, dim[i], strcspn(dim[i], ",]"));
    put_msg(&shape, 1, &extent);
  }
  put_msg(&tensor, 2, &shape);
  put_msg(&type, 1, &tensor);
  put_text(&info, 1, name);
  put_msg(&info, 2, &type);
  put_msg(graph, GRAPH_INPUT, &info);
}

static inline void case_opset(struct msg *model, const char *domain, int version) {
  struct msg opset = {0};
  put_text(&opset, 1, domain);
  put_int(&opset, 2, version);
  put_msg(model, 8, &opset);
}

/* One node; its operands are x<k>, x<k+1>, ..., its results y0, ... or, of one that goes on, t<depth>. */
static inline void case_node(struct msg *graph, const struct op_case *c, int depth, int *operand) {
  struct msg node = {0};
  char name[16];
  const char *dot = strrchr(c->op, '.'), *attrs = c->attrs ? c->attrs : "";
  int last = CASE_OPERANDS;
  while (last > 0 && !c->in[last - 1])
    last--;
  if (depth > 0) {
    snprintf(name, sizeof name, "t%d", depth - 1);
    put_text(&node, 1, name);
  }
  for (int i = 0; i < last; i++, ++*operand) {
    snprintf(name, sizeof name, "x%d", *operand);
    bool absent = !c->in[i] || !c->in[i][0];
    put_text(&node, 1, absent ? "" : name);
    if (!absent)
      case_operand(graph, name, c->in[i]);
  }
  for (int i = 0; i < (c->outs && !c->next ? c->outs : 1); i++) {
    struct msg out = {0};
    snprintf(name, sizeof name, c->next ? "t%d" : "y%d", c->next ? depth : i);
    put_text(&node, 2, name);
    put_text(&out, 1, name);
    if (!c->next)
      put_msg(graph, GRAPH_OUTPUT, &out);
  }
  put_text(&node, 3, c->next || depth ? "a_node" : "the_node");
  put_text(&node, 4, dot ? dot + 1 : c->op);
  if (dot)
    put_bytes(&node, 7, c->op, (size_t)(dot - c->op));
  while (*attrs)
    case_attribute(&node, &attrs);
  put_msg(graph, GRAPH_NODE, &node);
}

/* The model's bytes live in `model`.  The opset is that of ai.onnx, or of ai.onnx.ml for its operators. */
static inline struct tn_module *case_import(tn_ctx *ctx, const struct op_case *c, struct msg *model) {
  struct msg graph = {0};
  bool ml = strncmp(c->op, "ai.onnx.ml.", 11) == 0;
  int depth = 0, operand = 0;
  for (const struct op_case *each = c; each; each = each->next)
    case_node(&graph, each, depth++, &operand);
  *model = (struct msg){0};
  put_int(model, 1, 8);
  case_opset(model, "", ml ? 15 : c->opset);
  case_opset(model, "ai.onnx.ml", ml ? c->opset : 3);
  case_opset(model, "com.microsoft", 1);
  case_opset(model, "ai.onnx.preview", 1);
  case_opset(model, "ai.onnx.preview.training", 1);
  put_msg(model, 7, &graph);
  return tn_onnx_import_bytes(ctx, msg_bytes(model), "case.onnx", NULL, NULL);
}

#endif
