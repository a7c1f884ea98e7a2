/* Models in tensor IR's own text (.tir): reading, binding and describing them as models of the front end are.
 */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdlib.h>

static struct tn_module *read_module(tn_ctx *ctx, const struct tn_options *o) {
  struct tn_bytes text;
  if (!tn_file_map(ctx, o->model, &text))
    return NULL;
  struct tn_module *m = tn_parse(ctx, o->model, (const char *)text.at, text.size);
  if (m)
    m->name = tn_model_prefix(ctx, o);
  return m;
}

/* ---- binding ----------------------------------------------------------------------------------------------
 */

/* What dimensions are to become, and who said so. */
struct extents {
  TN_VEC(struct tn_dim_extent) at;
  TN_VEC(const char *) by; /* "--dim N=3", "the shape of 'x'" */
};

static struct tn_where where_of(const struct tn_module *m, const char *input) {
  return (struct tn_where){.file = m->file, .node = input, .op = input ? "graph input" : NULL};
}

static bool bind_symbol(struct tn_module *m, struct extents *e, tn_dim symbol, int64_t extent, const char *by) {
  for (size_t i = 0; i < e->at.count; i++)
    if (e->at.at[i].symbol == symbol) {
      if (e->at.at[i].extent != extent)
        tn_report(m->ctx, TN_ERROR, where_of(m, NULL),
                  "dimension '%s' is %" PRId64 " by %s and %" PRId64 " by %s; give one of them",
                  tn_dim_text(m, symbol), e->at.at[i].extent, e->by.at[i], extent, by);
      return e->at.at[i].extent == extent;
    }
  struct tn_dim_extent one = {symbol, extent};
  TN_PUSH(m->arena, &e->at, one);
  TN_PUSH(m->arena, &e->by, by);
  return true;
}

static bool is_named(const struct tn_module *m, tn_dim dim) {
  int64_t value;
  return dim < 0 && !m->symbols.at[-1 - dim].op && !tn_dim_value(m, dim, &value);
}

static const char *type_list(struct tn_module *m, const struct tn_type *t) {
  struct tn_str s;
  tn_str_init(&s, m->arena);
  tn_str_add(&s, "[");
  for (int d = 0; d < t->rank; d++)
    tn_str_add(&s, "%s%s", d ? ", " : "", tn_dim_text(m, t->dim[d]));
  tn_str_add(&s, "]");
  return s.at;
}

static const char *port_list(struct tn_module *m) {
  struct tn_str s;
  tn_str_init(&s, m->arena);
  for (size_t i = 0; i < m->main->inputs.count; i++)
    tn_str_add(&s, "%s%s", i ? ", " : "", m->main->inputs.at[i]->name);
  return s.count ? s.at : "none";
}

/* The number of the input, or -1 after a diagnostic. */
static int find_input(struct tn_module *m, const char *name) {
  for (size_t i = 0; i < m->main->inputs.count; i++)
    if (!strcmp(m->main->inputs.at[i]->name, name))
      return (int)i;
  tn_report(m->ctx, TN_ERROR, where_of(m, NULL), "the model has no input '%s'; it has %s", name, port_list(m));
  return -1;
}

static bool bind_shape(struct tn_module *m, struct extents *e, const char *input, int rank,
                       const int64_t *dims) {
  int at = find_input(m, input);
  if (at < 0)
    return false;
  const struct tn_type *type = &m->main->inputs.at[at]->type;
  if (type->rank != rank) {
    tn_report(m->ctx, TN_ERROR, where_of(m, input), "it has %d dimensions, %s, and is given a shape of %d",
              type->rank, type_list(m, type), rank);
    return false;
  }
  for (int d = 0; d < rank; d++)
    if (is_named(m, type->dim[d]) &&
        !bind_symbol(m, e, type->dim[d], dims[d], tn_printf(m->arena, "the shape of '%s'", input)))
      return false;
  return true; /* numbers and expressions are compared once everything is bound */
}

static bool same_shape(struct tn_module *m, const char *input, int rank, const int64_t *dims) {
  const struct tn_type *type = &m->main->inputs.at[find_input(m, input)]->type;
  for (int d = 0; d < rank; d++)
    if (type->dim[d] != dims[d]) {
      tn_report(m->ctx, TN_ERROR, where_of(m, input),
                "its dimension %d is %s in the model, and is given as %" PRId64, d,
                tn_dim_text(m, type->dim[d]), dims[d]);
      return false;
    }
  return true;
}

static bool bind_values(struct tn_module *m, const struct tn_bindings *b) {
  for (size_t i = 0; i < b->values.count; i++) {
    const struct tn_onnx_value *v = &b->values.at[i];
    int at = find_input(m, v->input); /* a second value for one input finds it gone */
    if (at < 0)
      return false;
    enum tn_dtype dtype = m->main->inputs.at[at]->type.dtype;
    if (dtype != v->tensor->type.dtype) {
      tn_report(m->ctx, TN_ERROR, where_of(m, v->input),
                "it is of %s, and the value given for it has elements of %s", tn_dtype_name(dtype),
                tn_dtype_name(v->tensor->type.dtype));
      return false;
    }
    tn_bind_input(m->main, (size_t)at, v->tensor);
  }
  return true;
}

struct tn_module *tn_tir_load(tn_ctx *ctx, const struct tn_options *o, const struct tn_bindings *b) {
  struct tn_module *m = read_module(ctx, o);
  struct extents e = {0};
  if (!m)
    return NULL;
  for (size_t i = 0; i < b->dims.count; i++) {
    tn_dim symbol = 0;
    for (size_t k = 0; k < m->symbols.count; k++)
      if (is_named(m, -1 - (tn_dim)k) && !strcmp(m->symbols.at[k].name, b->dims.at[i].name))
        symbol = -1 - (tn_dim)k;
    if (!symbol) {
      tn_report(ctx, TN_ERROR, where_of(m, NULL), "the model has no dimension '%s'", b->dims.at[i].name);
      return NULL;
    }
    if (!bind_symbol(m, &e, symbol, b->dims.at[i].low, "--dim"))
      return NULL;
  }
  for (size_t i = 0; i < b->shapes.count; i++)
    if (!bind_shape(m, &e, b->shapes.at[i].input, b->shapes.at[i].rank, b->shapes.at[i].dim))
      return NULL;
  for (size_t i = 0; i < b->values.count; i++)
    if (!bind_shape(m, &e, b->values.at[i].input, b->values.at[i].tensor->type.rank,
                    b->values.at[i].tensor->type.dim))
      return NULL;
  if (e.at.count && !tn_bind_dims(m, e.at.at, e.at.count))
    return NULL;
  for (size_t i = 0; i < b->shapes.count; i++)
    if (!same_shape(m, b->shapes.at[i].input, b->shapes.at[i].rank, b->shapes.at[i].dim))
      return NULL;
  for (size_t i = 0; i < b->values.count; i++)
    if (!same_shape(m, b->values.at[i].input, b->values.at[i].tensor->type.rank,
                    b->values.at[i].tensor->type.dim))
      return NULL;
  return bind_values(m, b) ? m : NULL;
}

/* ---- inspect ----------------------------------------------------------------------------------------------
 */

static const struct tn_onnx_port *ports_of(struct tn_module *m, struct tn_value *const *values, size_t count) {
  struct tn_onnx_port *at = TN_NEW_ARRAY(m->arena, struct tn_onnx_port, count + 1);
  for (size_t i = 0; i < count; i++)
    at[i] = (struct tn_onnx_port){values[i]->name, tn_dtype_name(values[i]->type.dtype),
                                  type_list(m, &values[i]->type)};
  return at;
}

static void count_graph(struct tn_onnx_summary *out, int64_t *counts, const struct tn_graph *g) {
  for (const struct tn_node *n = g->first; n; n = n->next) {
    if (n->op == TN_CONSTANT) {
      const struct tn_tensor *t = tn_value_tensor(n->out[0]);
      int64_t count = 0;
      if (tn_type_count(&t->type, &count))
        out->parameters += count;
      out->parameter_bytes += (int64_t)t->bytes;
      continue;
    }
    counts[n->op]++;
    out->node_count++;
    for (int r = 0; r < n->region_count; r++)
      count_graph(out, counts, n->region[r]);
  }
}

static int more_frequent(const void *a, const void *b) {
  const struct tn_onnx_count *x = a, *y = b;
  return x->count != y->count ? (x->count > y->count ? -1 : 1) : strcmp(x->name, y->name);
}

bool tn_tir_inspect(tn_ctx *ctx, const struct tn_options *o, const struct tn_bindings *b,
                    struct tn_onnx_summary *out) {
  *out = (struct tn_onnx_summary){.producer = "tensor IR", .graph = ""};
  struct tn_module *m = tn_tir_load(ctx, o, b);
  if (!m)
    return false;
  int64_t counts[TN_OP_COUNT] = {0};
  struct tn_onnx_count *ops = TN_NEW_ARRAY(m->arena, struct tn_onnx_count, TN_OP_COUNT);
  out->module = m;
  out->inputs = ports_of(m, m->main->inputs.at, m->main->inputs.count);
  out->outputs = ports_of(m, m->main->outputs.at, m->main->outputs.count);
  out->input_count = m->main->inputs.count;
  out->output_count = m->main->outputs.count;
  count_graph(out, counts, m->main);
  for (int i = 0; i < TN_OP_COUNT; i++)
    if (counts[i])
      ops[out->op_count++] = (struct tn_onnx_count){tn_op_info((enum tn_op)i)->name, counts[i]};
  qsort(ops, out->op_count, sizeof *ops, more_frequent);
  out->ops = ops;
  return true;
}
