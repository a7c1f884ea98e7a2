/* From a model file to the module that code is made of: what the options bind, the import, the passes. */
#include "driver/driver.h"

#include "codegen/nest.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what the options bind ---------------------------------------------------------------------------------
 */

static bool parse_dims(tn_ctx *ctx, const struct tn_options *o, struct tn_bindings *b) {
  for (size_t i = 0; i < o->dims.count; i++) {
    const struct tn_pair *p = &o->dims.at[i];
    char *end;
    long long n = strtoll(p->value, &end, 10);
    if (!strncmp(end, "..", 2)) {
      tn_report(ctx, TN_ERROR, (struct tn_where){0},
                "--dim %s=%s: a range of extents is not supported yet; bind it to one with --dim %s=N", p->name,
                p->value, p->name);
      return false;
    }
    if (*end || n < 0) {
      tn_report(ctx, TN_ERROR, (struct tn_where){0}, "--dim %s=%s: the extent must be a number >= 0", p->name,
                p->value);
      return false;
    }
    struct tn_onnx_dim d = {p->name, n, n};
    TN_PUSH(tn_ctx_arena(ctx), &b->dims, d);
  }
  return true;
}

static bool parse_shapes(tn_ctx *ctx, const struct tn_options *o, struct tn_bindings *b) {
  for (size_t i = 0; i < o->shapes.count; i++) {
    struct tn_onnx_shape s = {.input = o->shapes.at[i].name};
    for (const char *at = o->shapes.at[i].value; *at;) {
      char *end;
      long long n = strtoll(at, &end, 10);
      if (end == at || n < 0 || (*end && *end != 'x') || s.rank == TN_MAX_RANK || !strcmp(end, "x")) {
        tn_report(ctx, TN_ERROR, (struct tn_where){0},
                  "--shape %s=%s: expected extents like 1x3x224x224, at most %d", s.input,
                  o->shapes.at[i].value, TN_MAX_RANK);
        return false;
      }
      s.dim[s.rank++] = n;
      at = *end ? end + 1 : end;
    }
    TN_PUSH(tn_ctx_arena(ctx), &b->shapes, s);
  }
  return true;
}

static bool read_binds(tn_ctx *ctx, const struct tn_options *o, struct tn_bindings *b) {
  for (size_t i = 0; i < o->binds.count; i++) {
    struct tn_tensor *t = TN_NEW(tn_ctx_arena(ctx), struct tn_tensor);
    if (!tn_npy_read(ctx, o->binds.at[i].value, t))
      return false;
    struct tn_onnx_value v = {o->binds.at[i].name, t};
    TN_PUSH(tn_ctx_arena(ctx), &b->values, v);
  }
  return true;
}

static bool has_value(const struct tn_bindings *b, const char *input) {
  for (size_t i = 0; i < b->values.count; i++)
    if (!strcmp(b->values.at[i].input, input))
      return true;
  return false;
}

static bool bindings_of(tn_ctx *ctx, const struct tn_options *o, struct tn_bindings *b) {
  return parse_dims(ctx, o, b) && parse_shapes(ctx, o, b) && read_binds(ctx, o, b);
}

/* ---- import ------------------------------------------------------------------------------------------------
 */

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static bool reach(void *user, struct tn_node *kernel, const struct tn_storage *from,
                  const struct tn_storage *to, int64_t least, struct tn_reach *out) {
  (void)user;
  return tn_kernel_reach(kernel, from, to, least, out);
}

static struct tn_onnx_options onnx_options(tn_ctx *ctx, const struct tn_options *o,
                                           const struct tn_bindings *b) {
  return (struct tn_onnx_options){.name = tn_model_prefix(ctx, o),
                                  .evaluate = evaluate,
                                  .dims = b->dims.at,
                                  .dim_count = b->dims.count,
                                  .shapes = b->shapes.at,
                                  .shape_count = b->shapes.count,
                                  .values = b->values.at,
                                  .value_count = b->values.count};
}

static bool is_tir(const char *path) {
  size_t length = strlen(path);
  return length >= 4 && !strcmp(path + length - 4, ".tir");
}

bool tn_inspect_model(tn_ctx *ctx, const struct tn_options *o, struct tn_onnx_summary *out) {
  struct tn_bindings b = {0};
  if (!bindings_of(ctx, o, &b))
    return false;
  if (is_tir(o->model))
    return tn_tir_inspect(ctx, o, &b, out);
  struct tn_onnx_options io = onnx_options(ctx, o, &b);
  return tn_onnx_inspect(ctx, o->model, &io, out);
}

bool tn_model_inputs(tn_ctx *ctx, const struct tn_options *o, const struct tn_onnx_port **out, size_t *count) {
  struct tn_onnx_summary summary = {0};
  const struct tn_bindings none = {0}; /* all inputs, also what --bind makes a constant */
  if (!(is_tir(o->model) ? tn_tir_inspect(ctx, o, &none, &summary) : tn_onnx_survey(ctx, o->model, &summary)))
    return false;
  *out = summary.inputs;
  *count = summary.input_count;
  return true;
}

/* Inputs whose values decide shapes are known when a run is: binds what the import asks for.  False when there
 * is nothing more to bind. */
static bool bind_needed(tn_ctx *ctx, const struct tn_given *given, const struct tn_onnx_port *inputs,
                        size_t input_count, const struct tn_onnx_outcome *outcome, struct tn_bindings *b,
                        struct tn_built *out) {
  size_t bound = b->values.count;
  for (size_t k = 0; given && k < outcome->needed_count; k++)
    for (size_t i = 0; i < input_count; i++)
      if (!strcmp(inputs[i].name, outcome->needed[k]) && !has_value(b, outcome->needed[k]) &&
          given->inputs[i].type.dtype != TN_NONE) {
        struct tn_onnx_value v = {inputs[i].name, &given->inputs[i]};
        TN_PUSH(tn_ctx_arena(ctx), &b->values, v);
        TN_PUSH(tn_ctx_arena(ctx), &out->bound, inputs[i].name);
      }
  return b->values.count > bound;
}

static bool import_model(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given,
                         struct tn_built *out) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_bindings b = {0};
  const struct tn_onnx_port *inputs = NULL;
  size_t input_count = 0;
  if (!bindings_of(ctx, o, &b))
    return false;
  if (given) {
    if (!tn_model_inputs(ctx, o, &inputs, &input_count))
      return false;
    if (given->count != input_count) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model}, "the model has %zu inputs, %zu are given",
                input_count, given->count);
      return false;
    }
    for (size_t i = 0; i < given->count; i++) {
      if (given->inputs[i].type.dtype == TN_NONE)
        continue;
      struct tn_onnx_shape s = {.input = inputs[i].name, .rank = given->inputs[i].type.rank};
      memcpy(s.dim, given->inputs[i].type.dim, sizeof s.dim);
      TN_PUSH(arena, &b.shapes, s);
    }
  }
  if (is_tir(o->model)) {
    out->module = tn_tir_load(ctx, o, &b);
  } else {
    for (;;) {
      struct tn_onnx_options io = onnx_options(ctx, o, &b);
      struct tn_onnx_outcome outcome = {0};
      size_t before = tn_diag_count(ctx, TN_NOTE);
      out->module = tn_onnx_import(ctx, o->model, &io, &outcome);
      if (out->module || !bind_needed(ctx, given, inputs, input_count, &outcome, &b, out))
        break;
      tn_diag_truncate(ctx, before);
    }
  }
  for (size_t i = 0; i < input_count; i++)
    if (!has_value(&b, inputs[i].name))
      TN_PUSH(arena, &out->live, (int)i);
  return out->module != NULL;
}

/* Adds the named symbols of the dimension, each once, as flags. */
static void add_flags(struct tn_module *m, tn_dim dim, struct tn_map *seen, struct tn_str *flags) {
  int64_t value;
  if (tn_dim_value(m, dim, &value))
    return;
  const struct tn_symbol *s = &m->symbols.at[-1 - dim];
  if (s->op) {
    add_flags(m, s->a, seen, flags);
    add_flags(m, s->b, seen, flags);
  } else if (!tn_map_has(seen, s->name)) {
    tn_str_add(flags, " --dim '%s=1'", s->name);
    tn_map_set(seen, s->name, m);
  }
}

/* Every symbolic dimension left, with the flag that binds it.  In text, nodes may have dimensions that no input
 * has. */
static bool all_static(tn_ctx *ctx, const struct tn_options *o, struct tn_module *m) {
  struct tn_str flags;
  tn_str_init(&flags, tn_ctx_arena(ctx));
  struct tn_map seen;
  tn_map_init(&seen, tn_ctx_arena(ctx));
  for (size_t i = 0; i < m->main->inputs.count; i++)
    for (int d = 0; d < m->main->inputs.at[i]->type.rank; d++)
      add_flags(m, m->main->inputs.at[i]->type.dim[d], &seen, &flags);
  for (const struct tn_node *n = is_tir(o->model) ? m->main->first : NULL; n; n = n->next)
    for (int i = 0; i < n->out_count; i++)
      for (int d = 0; d < n->out[i]->type.rank; d++)
        add_flags(m, n->out[i]->type.dim[d], &seen, &flags);
  if (!flags.count)
    return true;
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model},
            "the model has dimensions without an extent; bind each, for example:%s", flags.at);
  return false;
}

static void print_pass(void *user, const char *pass, const char *text) {
  (void)user;
  fprintf(stderr, "// after %s\n%s\n", pass, text);
}

static void print_time(void *user, const char *pass, double seconds, size_t changes) {
  (void)user;
  fprintf(stderr, "%-16s %9.3f ms  %zu changes\n", pass, seconds * 1e3, changes);
}

/* Targets on which memory is cheap beside time. */
static bool roomy(const char *triple) {
  return !triple || !strncmp(triple, "x86_64", 6) || !strncmp(triple, "aarch64", 7);
}

bool tn_load(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given, struct tn_built *out) {
  *out = (struct tn_built){0};
  if (!import_model(ctx, o, given, out) || (!o->stop_after && !all_static(ctx, o, out->module)))
    return false;
  struct tn_pass_options p = {.level = o->opt, .small = o->small, .verify_each = o->verify_each};
  p.roomy = o->opt >= 3 && roomy(o->target);
  p.print_after = o->print_after.at;
  p.print_after_count = o->print_after.count;
  p.disable = o->disable.at;
  p.disable_count = o->disable.count;
  p.stop_after = o->stop_after;
  p.evaluate = evaluate;
  p.reach = o->threads > 1 ? NULL : reach; /* threads take iterations in any order */
  p.print = print_pass;
  p.timed = o->time_passes ? print_time : NULL;
  p.progress = &tn_progress;
  return tn_run_passes(out->module, &p);
}
