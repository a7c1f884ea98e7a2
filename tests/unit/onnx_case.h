/* One-node ONNX models written as text, for the tests of operator mappings.
 *
 * An operand is "f32[1,batch,3]", a graph input, or "i64[2]{1,-1}", a constant, or "" for an absent one; the
 * result is the graph's output y0, y1, ...  Attributes are "axis=1 alpha=0.5 mode='edge' pads=[0,1]
 * values=[0.5,2.0]": a number with a dot is a float. */
#ifndef TENON_TESTS_ONNX_CASE_H
#define TENON_TESTS_ONNX_CASE_H

#include "frontend/onnx/onnx.h"
#include "onnx_writer.h"

#include <stdio.h>
#include <stdlib.h>

enum { CASE_OPERANDS = 9 };
struct op_case {
  const char *op; /* "Conv", "com.microsoft.FusedConv" */
  int opset;
  const char *attrs;
  const char *in[CASE_OPERANDS];
  int outs; /* 0: one */
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
  char word[16];
  size_t length = strcspn(spec, "[");
  enum tn_dtype dtype = TN_NONE;
  int64_t dims[TN_MAX_RANK];
  int rank = 0;
  struct msg type = {0}, tensor = {0}, shape = {0}, info = {0};
  snprintf(word, sizeof word, "%.*s", (int)length, spec);
  tn_dtype_parse(word, &dtype);
  put_int(&tensor, 1, case_data_type(dtype));
  const char *at = spec + length + 1;
  while (*at && *at != ']') {
    struct msg dim = {0};
    size_t part = strcspn(at, ",]");
    dims[rank] = strtoll(at, NULL, 10);
    if (*at >= '0' && *at <= '9')
      put_int(&dim, 1, dims[rank]);
    else
      put_bytes(&dim, 2, at, part);
    rank++;
    put_msg(&shape, 1, &dim);
    at += part + (at[part] == ',');
  }
  if (at[0] && at[1] == '{') {
    double numbers[256];
    uint64_t raw[256];
    int count;
    bool whole;
    case_numbers(at + 1, numbers, &count, &whole);
    for (int i = 0; i < count; i++)
      if (tn_dtype_is_float(dtype))
        tn_store_float(dtype, raw, i, numbers[i]);
      else
        tn_store_int(dtype, raw, i, (int64_t)numbers[i]);
    tensor = tensor_msg(name, case_data_type(dtype), rank, dims, raw, (size_t)count * tn_dtype_size(dtype));
    put_msg(graph, GRAPH_INITIALIZER, &tensor);
    return;
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

/* The model's bytes live in `model`. */
static inline struct tn_module *case_import(tn_ctx *ctx, const struct op_case *c, struct msg *model) {
  struct msg graph = {0}, node = {0};
  char name[16];
  const char *dot = strrchr(c->op, '.'), *attrs = c->attrs ? c->attrs : "";
  int last = CASE_OPERANDS;
  while (last > 0 && !c->in[last - 1])
    last--;
  for (int i = 0; i < last; i++) {
    snprintf(name, sizeof name, "x%d", i);
    bool absent = !c->in[i] || !c->in[i][0];
    put_text(&node, 1, absent ? "" : name);
    if (!absent)
      case_operand(&graph, name, c->in[i]);
  }
  for (int i = 0; i < (c->outs ? c->outs : 1); i++) {
    struct msg out = {0};
    snprintf(name, sizeof name, "y%d", i);
    put_text(&node, 2, name);
    put_text(&out, 1, name);
    put_msg(&graph, GRAPH_OUTPUT, &out);
  }
  put_text(&node, 3, "the_node");
  put_text(&node, 4, dot ? dot + 1 : c->op);
  if (dot)
    put_bytes(&node, 7, c->op, (size_t)(dot - c->op));
  while (*attrs)
    case_attribute(&node, &attrs);
  put_msg(&graph, GRAPH_NODE, &node);
  *model = (struct msg){0};
  put_int(model, 1, 8);
  case_opset(model, "", c->opset);
  case_opset(model, "com.microsoft", 1);
  case_opset(model, "ai.onnx.preview.training", 1);
  put_msg(model, 7, &graph);
  return tn_onnx_import_bytes(ctx, msg_bytes(model), "case.onnx", NULL, NULL);
}

#endif
