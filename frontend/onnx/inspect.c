/* What `inspect` tells of a model: counted from the messages, whether Tenon can compile it or not. */
#include "frontend/onnx/import.h"

#include <stdlib.h>
#include <string.h>

static const char *plain(const char *text) {
  return text ? text : "";
}

struct survey {
  tn_ctx *ctx;
  tn_arena *scratch, *keep;
  const char *path;
  struct tn_bytes bytes;
  const Onnx__ModelProto *model;
  struct tn_onnx_summary *out;
  struct tn_map ops;    /* name -> struct tn_onnx_count */
  struct tn_map called; /* functions counted */
};

static void count_nodes(struct survey *s, Onnx__NodeProto *const *nodes, size_t count, int depth);

static void count_tensor(struct survey *s, const Onnx__TensorProto *tensor) {
  int64_t elements = 1, bits;
  for (size_t i = 0; tensor && i < tensor->n_dims; i++)
    if (tensor->dims[i] < 0 || !tn_mul_i64(elements, tensor->dims[i], &elements))
      elements = 0; /* the import says what is wrong with it */
  if (!tensor || !tn_mul_i64(elements, tn_onnx_data_type(tensor->data_type)->bits, &bits))
    return;
  if (!tn_add_i64(s->out->parameters, elements, &s->out->parameters) ||
      !tn_add_i64(s->out->parameter_bytes, bits / 8 + (bits % 8 != 0), &s->out->parameter_bytes))
    s->out->parameters = s->out->parameter_bytes = INT64_MAX;
}

static void count_graph(struct survey *s, const Onnx__GraphProto *graph, int depth) {
  for (size_t i = 0; i < graph->n_initializer; i++)
    count_tensor(s, graph->initializer[i]);
  for (size_t i = 0; i < graph->n_sparse_initializer; i++)
    count_tensor(s, graph->sparse_initializer[i]->values);
  count_nodes(s, graph->node, graph->n_node, depth);
}

/* A function's body counts once, however often it is called. */
static void count_function(struct survey *s, const Onnx__NodeProto *node, int depth) {
  for (size_t i = 0; i < s->model->n_functions; i++) {
    const Onnx__FunctionProto *f = s->model->functions[i];
    const char *key = tn_printf(s->scratch, "%zu", i);
    if (strcmp(plain(f->name), plain(node->op_type)) != 0 ||
        strcmp(plain(f->domain), plain(node->domain)) != 0 || tn_map_has(&s->called, key))
      continue;
    tn_map_set(&s->called, key, s);
    count_nodes(s, f->node, f->n_node, depth + 1);
  }
}

static void count_nodes(struct survey *s, Onnx__NodeProto *const *nodes, size_t count, int depth) {
  if (depth > TN_ONNX_MAX_NESTING)
    return;
  for (size_t i = 0; i < count; i++) {
    const Onnx__NodeProto *node = nodes[i];
    const char *name = tn_import_op_name(s->keep, node->domain, plain(node->op_type));
    struct tn_onnx_count *op = tn_map_get(&s->ops, name);
    if (!op) {
      op = TN_NEW(s->scratch, struct tn_onnx_count);
      op->name = name;
      tn_map_set(&s->ops, name, op);
    }
    op->count++;
    s->out->node_count++;
    for (size_t a = 0; a < node->n_attribute; a++) {
      if (node->attribute[a]->g)
        count_graph(s, node->attribute[a]->g, depth + 1);
      for (size_t g = 0; g < node->attribute[a]->n_graphs; g++)
        count_graph(s, node->attribute[a]->graphs[g], depth + 1);
    }
    count_function(s, node, depth);
  }
}

static const struct tn_onnx_port *ports(struct survey *s, Onnx__ValueInfoProto *const *infos, size_t count,
                                        const struct tn_map *leave_out, size_t *out_count) {
  struct tn_onnx_port *at = TN_NEW_ARRAY(s->keep, struct tn_onnx_port, count + 1);
  *out_count = 0;
  for (size_t i = 0; i < count; i++) {
    const char *name = tn_strdup(s->keep, plain(infos[i]->name));
    const Onnx__TypeProto *type = infos[i]->type;
    if (leave_out && tn_map_has(leave_out, name))
      continue;
    struct tn_onnx_port *port = &at[(*out_count)++];
    *port = (struct tn_onnx_port){name, "", ""};
    if (type && type->tensor_type) {
      const struct tn_onnx_data_type *data_type = tn_onnx_data_type(type->tensor_type->elem_type);
      bool whole = data_type->dtype != TN_NONE && data_type->bits >= 8;
      port->dtype = whole ? tn_dtype_name(data_type->dtype) : data_type->name;
      port->shape = tn_strdup(s->keep, tn_onnx_shape_text(s->scratch, name, type->tensor_type->shape));
    } else {
      port->dtype = tn_strdup(s->keep, tn_onnx_type_text(s->scratch, type));
    }
  }
  return at;
}

static int more_frequent(const void *a, const void *b) {
  const struct tn_onnx_count *x = a, *y = b;
  if (x->count != y->count)
    return x->count > y->count ? -1 : 1;
  return strcmp(x->name, y->name);
}

static void survey_model(struct survey *s) {
  const Onnx__ModelProto *m = s->model;
  struct tn_onnx_summary *out = s->out;
  struct tn_map initializers;
  tn_map_init(&s->ops, s->scratch);
  tn_map_init(&s->called, s->scratch);
  tn_map_init(&initializers, s->scratch);
  for (size_t i = 0; i < m->graph->n_initializer; i++)
    if (m->graph->initializer[i]->name)
      tn_map_set(&initializers, m->graph->initializer[i]->name, s);
  out->ir_version = m->ir_version;
  out->model_version = m->model_version;
  out->producer = tn_printf(s->keep, "%s%s%s", plain(m->producer_name), *plain(m->producer_version) ? " " : "",
                            plain(m->producer_version));
  out->graph = tn_strdup(s->keep, plain(m->graph->name));
  out->inputs = ports(s, m->graph->input, m->graph->n_input, &initializers, &out->input_count);
  out->outputs = ports(s, m->graph->output, m->graph->n_output, NULL, &out->output_count);
  count_graph(s, m->graph, 0);

  struct tn_onnx_count *ops = TN_NEW_ARRAY(s->keep, struct tn_onnx_count, s->ops.count + 1);
  for (size_t i = 0; i < s->ops.count; i++)
    ops[i] = *(struct tn_onnx_count *)s->ops.entries[i].value;
  qsort(ops, s->ops.count, sizeof *ops, more_frequent);
  out->ops = ops;
  out->op_count = s->ops.count;

  struct tn_onnx_count *opsets = TN_NEW_ARRAY(s->keep, struct tn_onnx_count, m->n_opset_import + 1);
  for (size_t i = 0; i < m->n_opset_import; i++) {
    const char *domain = plain(m->opset_import[i]->domain);
    opsets[i] =
        (struct tn_onnx_count){*domain ? tn_strdup(s->keep, domain) : "ai.onnx", m->opset_import[i]->version};
  }
  out->opsets = opsets;
  out->opset_count = m->n_opset_import;

  const char *(*metadata)[2] = tn_calloc(s->keep, m->n_metadata_props + 1, sizeof *metadata);
  for (size_t i = 0; i < m->n_metadata_props; i++) {
    metadata[i][0] = tn_strdup(s->keep, plain(m->metadata_props[i]->key));
    metadata[i][1] = tn_strdup(s->keep, plain(m->metadata_props[i]->value));
  }
  out->metadata = (const char *const(*)[2])metadata;
  out->metadata_count = m->n_metadata_props;
}

static bool survey_body(void *user) {
  struct survey *s = user;
  struct tn_wire wire;
  if (!tn_file_map(s->ctx, s->path, &s->bytes))
    return false;
  tn_wire_init(&wire, s->ctx, s->scratch, s->scratch, s->path, s->bytes);
  s->model = (void *)tn_wire_read(&wire, &onnx__model_proto__descriptor);
  if (!s->model)
    return false;
  if (!s->model->graph) {
    tn_report(s->ctx, TN_ERROR, (struct tn_where){s->path, NULL, NULL},
              "it holds no graph: expected an ONNX model");
    return false;
  }
  survey_model(s);
  return true;
}

static bool survey_file(tn_ctx *ctx, const char *path, struct tn_onnx_summary *out, struct tn_bytes *bytes) {
  struct survey s = {
      .ctx = ctx, .scratch = tn_arena_create(ctx), .keep = tn_ctx_arena(ctx), .path = path, .out = out};
  *out = (struct tn_onnx_summary){0};
  bool good = tn_guard(ctx, survey_body, &s);
  tn_arena_destroy(s.scratch);
  *bytes = s.bytes;
  return good;
}

bool tn_onnx_survey(tn_ctx *ctx, const char *path, struct tn_onnx_summary *out) {
  struct tn_bytes bytes;
  return survey_file(ctx, path, out, &bytes);
}

bool tn_onnx_inspect(tn_ctx *ctx, const char *path, const struct tn_onnx_options *options,
                     struct tn_onnx_summary *out) {
  struct tn_bytes bytes;
  if (!survey_file(ctx, path, out, &bytes))
    return false;
  out->module = tn_onnx_import_bytes(ctx, bytes, path, options, &out->outcome);
  return true;
}
