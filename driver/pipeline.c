/* The way from a model file to a loaded or written artifact, shared by all commands. */
#include "driver/driver.h"

#include "codegen/nest.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct tn_pass_progress tn_progress;

double tn_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void tn_print_diags(tn_ctx *ctx, size_t from) {
  size_t count;
  const struct tn_diag *d = tn_diags(ctx, &count);
  for (size_t i = from; i < count; i++)
    fprintf(stderr, "tenon: %s\n", tn_diag_format(tn_ctx_arena(ctx), &d[i]));
}

static bool has_suffix(const char *text, const char *suffix) {
  size_t a = strlen(text), b = strlen(suffix);
  return a >= b && strcmp(text + a - b, suffix) == 0;
}

/* The prefix: --name, else the output's file name, else the model's (its folder's for the name "model"). */
const char *tn_model_prefix(tn_ctx *ctx, const struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *from = o->name ? o->name : o->output ? o->output : o->model;
  const char *slash = strrchr(from, '/');
  char *name = tn_strdup(arena, slash ? slash + 1 : from);
  if (!o->name) {
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
      *dot = 0;
    if (!o->output && !strcmp(name, "model") && slash) { /* networks kept as NAME/model.onnx */
      char *folder = tn_strndup(arena, from, (size_t)(slash - from));
      const char *last = strrchr(folder, '/');
      if (*folder && strcmp(folder, ".") != 0 && strcmp(folder, "..") != 0)
        name = tn_strdup(arena, last ? last + 1 : folder);
    }
  }
  for (char *c = name; *c; c++)
    if (!isalnum((unsigned char)*c) || (unsigned char)*c > 127)
      *c = '_';
  return isdigit((unsigned char)*name) ? tn_printf(arena, "m%s", name) : name;
}

/* ---- what the options bind ---------------------------------------------------------------------------------
 */

struct bindings {
  TN_VEC(struct tn_onnx_dim) dims;
  TN_VEC(struct tn_onnx_shape) shapes;
  TN_VEC(struct tn_onnx_value) values;
};

static bool parse_dims(tn_ctx *ctx, const struct tn_options *o, struct bindings *b) {
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

static bool parse_shapes(tn_ctx *ctx, const struct tn_options *o, struct bindings *b) {
  for (size_t i = 0; i < o->shapes.count; i++) {
    struct tn_onnx_shape s = {.input = o->shapes.at[i].name};
    for (const char *at = o->shapes.at[i].value; *at;) {
      char *end;
      long long n = strtoll(at, &end, 10);
      if (end == at || n < 0 || (*end && *end != 'x') || s.rank == TN_MAX_RANK) {
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

static bool read_binds(tn_ctx *ctx, const struct tn_options *o, struct bindings *b) {
  for (size_t i = 0; i < o->binds.count; i++) {
    struct tn_tensor *t = TN_NEW(tn_ctx_arena(ctx), struct tn_tensor);
    if (!tn_npy_read(ctx, o->binds.at[i].value, t))
      return false;
    struct tn_onnx_value v = {o->binds.at[i].name, t};
    TN_PUSH(tn_ctx_arena(ctx), &b->values, v);
  }
  return true;
}

static bool has_value(const struct bindings *b, const char *input) {
  for (size_t i = 0; i < b->values.count; i++)
    if (!strcmp(b->values.at[i].input, input))
      return true;
  return false;
}

/* ---- import ------------------------------------------------------------------------------------------------
 */

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

static struct tn_module *import_onnx(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given,
                                     struct tn_built *out) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct bindings b = {0};
  if (!parse_dims(ctx, o, &b) || !parse_shapes(ctx, o, &b) || !read_binds(ctx, o, &b))
    return NULL;
  struct tn_onnx_summary summary = {0};
  if (given) {
    size_t before = tn_diag_count(ctx, TN_NOTE);
    if (!tn_onnx_inspect(ctx, o->model, NULL, &summary))
      return NULL;
    tn_diag_truncate(ctx, before);
    if (given->count != summary.input_count) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model}, "the model has %zu inputs, %zu are given",
                summary.input_count, given->count);
      return NULL;
    }
    for (size_t i = 0; i < given->count; i++) {
      struct tn_onnx_shape s = {.input = summary.inputs[i].name, .rank = given->inputs[i].type.rank};
      memcpy(s.dim, given->inputs[i].type.dim, sizeof s.dim);
      TN_PUSH(arena, &b.shapes, s);
    }
  }
  for (;;) {
    struct tn_onnx_options io = {.name = tn_model_prefix(ctx, o), .evaluate = evaluate};
    io.dims = b.dims.at;
    io.dim_count = b.dims.count;
    io.shapes = b.shapes.at;
    io.shape_count = b.shapes.count;
    io.values = b.values.at;
    io.value_count = b.values.count;
    struct tn_onnx_outcome outcome = {0};
    size_t before = tn_diag_count(ctx, TN_NOTE), bound = b.values.count;
    struct tn_module *m = tn_onnx_import(ctx, o->model, &io, &outcome);
    if (m) {
      for (size_t i = 0; i < summary.input_count; i++)
        if (!has_value(&b, summary.inputs[i].name))
          TN_PUSH(arena, &out->live, (int)i);
      return m;
    }
    /* Inputs whose values decide shapes are known when a run is: bind them and try again. */
    for (size_t k = 0; given && k < outcome.needed_count; k++)
      for (size_t i = 0; i < summary.input_count; i++)
        if (!strcmp(summary.inputs[i].name, outcome.needed[k]) && !has_value(&b, outcome.needed[k])) {
          struct tn_onnx_value v = {summary.inputs[i].name, &given->inputs[i]};
          TN_PUSH(arena, &b.values, v);
          TN_PUSH(arena, &out->bound, summary.inputs[i].name);
        }
    if (b.values.count == bound)
      return NULL;
    tn_diag_truncate(ctx, before);
  }
}

/* Every symbolic dimension left, with the flag that binds it. */
static bool all_static(tn_ctx *ctx, const struct tn_options *o, struct tn_module *m) {
  struct tn_str flags;
  tn_str_init(&flags, tn_ctx_arena(ctx));
  struct tn_map seen;
  tn_map_init(&seen, tn_ctx_arena(ctx));
  for (size_t i = 0; i < m->main->inputs.count; i++) {
    const struct tn_value *v = m->main->inputs.at[i];
    for (int d = 0; d < v->type.rank; d++) {
      if (tn_dim_static(v->type.dim[d]))
        continue;
      const char *name = tn_dim_text(m, v->type.dim[d]);
      if (!tn_map_has(&seen, name))
        tn_str_add(&flags, " --dim '%s=1'", name);
      tn_map_set(&seen, name, (void *)(uintptr_t)v);
    }
  }
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

bool tn_load(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given, struct tn_built *out) {
  *out = (struct tn_built){0};
  if (has_suffix(o->model, ".tir")) {
    struct tn_bytes text;
    if (!tn_file_map(ctx, o->model, &text))
      return false;
    out->module = tn_parse(ctx, o->model, (const char *)text.at, text.size);
    for (size_t i = 0; out->module && i < out->module->main->inputs.count; i++)
      TN_PUSH(tn_ctx_arena(ctx), &out->live, (int)i);
  } else {
    out->module = import_onnx(ctx, o, given, out);
  }
  if (!out->module || (!o->stop_after && !all_static(ctx, o, out->module)))
    return false;
  struct tn_pass_options p = {.level = o->opt, .small = o->small, .verify_each = o->verify_each};
  p.print_after = o->print_after.at;
  p.print_after_count = o->print_after.count;
  p.disable = o->disable.at;
  p.disable_count = o->disable.count;
  p.stop_after = o->stop_after;
  p.evaluate = evaluate;
  p.print = print_pass;
  p.timed = o->time_passes ? print_time : NULL;
  p.progress = &tn_progress;
  return tn_run_passes(out->module, &p);
}

static void show_progress(void *user, const char *what, int done, int total) {
  (void)user;
  fprintf(stderr, "\r%s %d/%d%s", what, done, total, done == total ? "\r\033[K" : "");
}

bool tn_build_model(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given, bool profile,
                    struct tn_built *out) {
  if (!tn_load(ctx, o, given, out))
    return false;
  struct tn_bytes file;
  if (!tn_file_map(ctx, o->model, &file))
    return false;
  struct tn_target_options t = {.triple = o->target,
                                .cpu = o->cpu,
                                .features = o->features,
                                .opt = o->opt,
                                .small = o->small,
                                .threads = o->threads,
                                .profile = profile,
                                .weights_section = o->weights_section};
  if (isatty(2) && !o->json)
    t.progress = show_progress;
  tn_progress.pass = "code generation";
  out->cg = tn_codegen(out->module, &t, tn_hash_bytes(file.at, file.size));
  return out->cg && (tn_codegen_facts(out->cg), tn_diag_count(ctx, TN_ERROR) == 0);
}

bool tn_execute(tn_ctx *ctx, struct tn_built *built, const struct tn_tensor *inputs,
                const struct tn_program *program, struct tn_tensor **outputs, size_t *output_count) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_graph *g = built->module->main;
  const void **in = TN_NEW_ARRAY(arena, const void *, g->inputs.count + 1);
  void **out = TN_NEW_ARRAY(arena, void *, g->outputs.count + 1);
  struct tn_tensor *result = TN_NEW_ARRAY(arena, struct tn_tensor, g->outputs.count + 1);
  for (size_t i = 0; i < g->inputs.count; i++) {
    const struct tn_tensor *t = &inputs[built->live.at[i]];
    const struct tn_value *v = g->inputs.at[i];
    if (t->type.dtype != v->type.dtype || !tn_shape_equal(&t->type, &v->type)) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.node = v->name},
                "the given value is of %s, rank %d; the model takes %s", tn_dtype_name(t->type.dtype),
                t->type.rank, tn_dtype_name(v->type.dtype));
      return false;
    }
    void *copy = tn_alloc_raw(arena, t->bytes + 64, 64);
    memcpy(copy, t->data, t->bytes);
    in[i] = copy;
  }
  for (size_t i = 0; i < g->outputs.count; i++) {
    int64_t bytes;
    result[i].type = g->outputs.at[i]->type;
    tn_type_bytes(&result[i].type, &bytes);
    out[i] = tn_alloc_raw(arena, (size_t)bytes + 64, 64);
    memset(out[i], 0xA5, (size_t)bytes);
    result[i].data = out[i];
    result[i].bytes = (size_t)bytes;
  }
  void *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(built->cg)->arena_bytes + 64, 64);
  tn_progress.pass = "the compiled model's run";
  int status = tn_program_run(program, in, out, memory);
  if (status != 0) {
    tn_report(ctx, TN_BUG, (struct tn_where){0}, "the compiled model returned %d", status);
    return false;
  }
  *outputs = result;
  *output_count = g->outputs.count;
  return true;
}

const char *tn_human_bytes(tn_arena *arena, int64_t bytes) {
  return bytes < 10 * 1024          ? tn_printf(arena, "%" PRId64 " B", bytes)
         : bytes < 10 * 1024 * 1024 ? tn_printf(arena, "%.1f KiB", (double)bytes / 1024)
                                    : tn_printf(arena, "%.1f MiB", (double)bytes / (1024 * 1024));
}
