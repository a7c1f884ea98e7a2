/* The import from end to end: bytes to module. */
#include "frontend/onnx/import.h"

#include <string.h>

static const char *plain(const char *text) {
  return text ? text : "";
}

/* Keeps the names that the user gave from being taken by values that Tenon makes up, until their owner comes.
 */
static void reserve_names(struct tn_import *im, const Onnx__GraphProto *graph, int depth) {
  for (size_t i = 0; i < graph->n_input + graph->n_initializer + graph->n_node; i++) {
    size_t k = i < graph->n_input ? i : i - graph->n_input;
    if (i < graph->n_input) {
      if (graph->input[k]->name)
        tn_map_set(&im->module->names, tn_strdup(im->module->arena, graph->input[k]->name), &im->reserved);
      continue;
    }
    if (k < graph->n_initializer) {
      if (graph->initializer[k]->name)
        tn_map_set(&im->module->names, tn_strdup(im->module->arena, graph->initializer[k]->name),
                   &im->reserved);
      continue;
    }
    const Onnx__NodeProto *node = graph->node[k - graph->n_initializer];
    for (size_t o = 0; o < node->n_output; o++)
      if (*node->output[o])
        tn_map_set(&im->module->names, tn_strdup(im->module->arena, node->output[o]), &im->reserved);
    for (size_t a = 0; a < node->n_attribute && depth < TN_ONNX_MAX_NESTING; a++)
      if (node->attribute[a]->g)
        reserve_names(im, node->attribute[a]->g, depth + 1);
  }
}

static void release_names(struct tn_import *im) {
  for (size_t i = 0; i < im->module->names.count; i++)
    if (im->module->names.entries[i].value == &im->reserved)
      im->module->names.entries[i].value = NULL;
}

static void index_functions(struct tn_import *im) {
  tn_map_init(&im->functions, im->scratch);
  for (size_t i = 0; i < im->model->n_functions; i++) {
    Onnx__FunctionProto *f = im->model->functions[i];
    tn_map_set(&im->functions, tn_import_function_key(im, f->domain, f->name, f->overload), f);
  }
}

static void keep_facts(struct tn_import *im) {
  const Onnx__ModelProto *m = im->model;
  struct tn_map *strings = &im->module->strings;
  tn_arena *arena = im->module->arena;
  if (m->producer_name && *m->producer_name)
    tn_map_set(strings, "producer",
               *plain(m->producer_version) ? tn_printf(arena, "%s %s", m->producer_name, m->producer_version)
                                           : tn_strdup(arena, m->producer_name));
  for (size_t i = 0; i < m->n_metadata_props; i++)
    if (m->metadata_props[i]->key)
      tn_map_set(strings, tn_printf(arena, "metadata.%s", m->metadata_props[i]->key),
                 tn_strdup(arena, plain(m->metadata_props[i]->value)));
}

static bool check_opsets(struct tn_import *im) {
  for (size_t i = 0; i < im->opset_count; i++) {
    const Onnx__OperatorSetIdProto *o = im->opsets[i];
    bool main_domain = !*plain(o->domain) || strcmp(o->domain, "ai.onnx") == 0;
    if (main_domain && o->version > TN_ONNX_LATEST)
      tn_report(im->ctx, TN_WARNING, (struct tn_where){im->wire.path, NULL, NULL},
                "the model uses opset %lld; Tenon knows the operators up to opset %d and takes later ones to "
                "mean the "
                "same",
                (long long)o->version, TN_ONNX_LATEST);
  }
  if (im->opset_count)
    return true;
  tn_report(im->ctx, TN_ERROR, (struct tn_where){im->wire.path, NULL, NULL},
            "the model imports no opset, so its operators have no version; it is too old, or no ONNX model");
  return false;
}

/* One diagnostic for all nodes that lack the same thing. */
static void report_gaps(struct tn_import *im) {
  enum { NAMED = 8 };
  bool *said = TN_NEW_ARRAY(im->scratch, bool, im->gaps.count + 1);
  for (size_t i = 0; i < im->gaps.count; i++) {
    const struct tn_onnx_gap *gap = &im->gaps.at[i];
    struct tn_str also;
    size_t more = 0;
    if (said[i])
      continue;
    tn_str_init(&also, im->scratch);
    for (size_t k = i + 1; k < im->gaps.count; k++) {
      const struct tn_onnx_gap *other = &im->gaps.at[k];
      if (strcmp(gap->op, other->op) != 0 || strcmp(gap->reason, other->reason) != 0)
        continue;
      said[k] = true;
      if (++more < NAMED)
        tn_str_add(&also, "%s'%s'", more > 1 ? ", " : "", other->node);
    }
    struct tn_where where = {im->wire.path, gap->node, gap->op};
    if (more == 0)
      tn_report(im->ctx, TN_ERROR, where, "not supported: %s", gap->reason);
    else
      tn_report(im->ctx, TN_ERROR, where, "not supported: %s (and so %zu more: %s%s)", gap->reason, more,
                also.at, more < NAMED ? "" : ", ...");
  }
}

static bool import_body(void *user) {
  struct tn_import *im = user;
  const Onnx__ModelProto *model = (void *)tn_wire_read(&im->wire, &onnx__model_proto__descriptor);
  struct tn_scope scope;
  struct tn_build cursor;
  if (!model)
    return false;
  im->model = model;
  if (!model->graph) {
    tn_report(im->ctx, TN_ERROR, (struct tn_where){im->wire.path, NULL, NULL},
              "it holds no graph: expected an ONNX model");
    return false;
  }
  im->opsets = model->opset_import;
  im->opset_count = model->n_opset_import;
  im->module = tn_module_create(im->ctx, im->options->name ? im->options->name : "model", im->wire.path);
  im->wire.keep = im->module->arena;
  if (!check_opsets(im))
    return false;
  index_functions(im);
  keep_facts(im);
  reserve_names(im, model->graph, 0);
  cursor = tn_build_at_end(im->module->main);
  tn_import_scope(im, &scope, NULL, &cursor);
  im->scope = &scope;
  tn_import_initializers(im, model->graph);
  if (!tn_import_options(im))
    return false;
  bool good = tn_import_inputs(im);
  tn_import_nodes(im, model->graph->node, model->graph->n_node, &cursor);
  good &= tn_import_outputs(im);
  release_names(im);
  return good;
}

struct tn_module *tn_onnx_import_bytes(tn_ctx *ctx, struct tn_bytes bytes, const char *path,
                                       const struct tn_onnx_options *options, struct tn_onnx_outcome *outcome) {
  static const struct tn_onnx_options none = {0};
  struct tn_import im = {.ctx = ctx, .scratch = tn_arena_create(ctx), .options = options ? options : &none};
  size_t errors = tn_diag_count(ctx, TN_ERROR);
  if (path)
    path = tn_strdup(tn_ctx_arena(ctx), path);
  tn_wire_init(&im.wire, ctx, im.scratch, tn_ctx_arena(ctx), path, bytes);
  tn_map_init(&im.dims, im.scratch);
  tn_map_init(&im.gap_keys, im.scratch);
  bool good = tn_guard(ctx, import_body, &im);
  report_gaps(&im);
  bool clean = tn_diag_count(ctx, TN_ERROR) == errors && im.gaps.count == 0;
  if (!good && clean)
    tn_report(ctx, TN_BUG, (struct tn_where){path, NULL, NULL}, "the import failed, and nothing says why");
  if (outcome) {
    tn_arena *arena = tn_ctx_arena(ctx);
    struct tn_onnx_gap *gaps = TN_NEW_ARRAY(arena, struct tn_onnx_gap, im.gaps.count + 1);
    const char **needed = TN_NEW_ARRAY(arena, const char *, im.needed.count + 1);
    for (size_t i = 0; i < im.gaps.count; i++)
      gaps[i] = im.gaps.at[i];
    for (size_t i = 0; i < im.needed.count; i++)
      needed[i] = im.needed.at[i];
    *outcome = (struct tn_onnx_outcome){im.gaps.count, gaps, im.needed.count, needed};
  }
  tn_arena_destroy(im.scratch);
  return good && clean ? im.module : NULL;
}

struct tn_module *tn_onnx_import(tn_ctx *ctx, const char *path, const struct tn_onnx_options *options,
                                 struct tn_onnx_outcome *outcome) {
  struct tn_bytes bytes;
  if (outcome)
    *outcome = (struct tn_onnx_outcome){0};
  if (!tn_file_map(ctx, path, &bytes))
    return NULL;
  return tn_onnx_import_bytes(ctx, bytes, path, options, outcome);
}

/* ---- test vectors
 * -------------------------------------------------------------------------------------------- */

struct vector {
  tn_ctx *ctx;
  tn_arena *scratch;
  const char *path;
  struct tn_tensor *out;
  const char *name;
};

static bool read_vector(void *user) {
  struct vector *v = user;
  struct tn_where where = {v->path, NULL, NULL};
  struct tn_bytes bytes;
  struct tn_wire wire;
  if (!tn_file_map(v->ctx, v->path, &bytes))
    return false;
  tn_wire_init(&wire, v->ctx, v->scratch, tn_ctx_arena(v->ctx), v->path, bytes);
  size_t errors = tn_diag_count(v->ctx, TN_NOTE);
  const Onnx__TensorProto *proto = (void *)tn_wire_read(&wire, &onnx__tensor_proto__descriptor);
  if (!proto) { /* what else it may be */
    size_t why = tn_diag_count(v->ctx, TN_NOTE);
    const Onnx__SequenceProto *sequence = (void *)tn_wire_read(&wire, &onnx__sequence_proto__descriptor);
    tn_diag_truncate(v->ctx, sequence ? errors : why);
    if (sequence)
      tn_report(v->ctx, TN_ERROR, where,
                "expected one tensor, and found a sequence of %zu, which Tenon does not read",
                sequence->n_tensor_values);
    return false;
  }
  if (tn_onnx_data_type(proto->data_type)->dtype == TN_NONE) {
    tn_report(v->ctx, TN_ERROR, where, "expected one tensor of a type that Tenon has, and found %s",
              tn_onnx_data_type(proto->data_type)->name);
    return false;
  }
  v->name = tn_strdup(tn_ctx_arena(v->ctx), plain(proto->name));
  where.node = *v->name ? v->name : NULL;
  return tn_wire_tensor(&wire, proto, where, v->out);
}

bool tn_onnx_read_tensor(tn_ctx *ctx, const char *path, struct tn_tensor *out, const char **name) {
  struct vector v = {ctx, tn_arena_create(ctx), path, out, ""};
  bool good = tn_guard(ctx, read_vector, &v);
  if (name)
    *name = v.name;
  tn_arena_destroy(v.scratch);
  return good;
}
