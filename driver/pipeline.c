/* From a loaded model to code, and one run of it: shared by all commands. */
#include "driver/driver.h"

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

/* The prefix: --name, else the output's file name, else the model's (its folder's for the name "model"). */
const char *tn_model_prefix(tn_ctx *ctx, const struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *output = o->output && strcmp(o->output, "-") != 0 ? o->output : NULL;
  const char *from = o->name ? o->name : output ? output : o->model;
  const char *slash = strrchr(from, '/');
  char *name = tn_strdup(arena, slash ? slash + 1 : from);
  if (!o->name) {
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
      *dot = 0;
    if (!output && !strcmp(name, "model") && slash) { /* networks kept as NAME/model.onnx */
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

static void show_progress(void *user, const char *what, int done, int total) {
  (void)user;
  fprintf(stderr, "\r%s %d/%d%s", what, done, total, done == total ? "\r\033[K" : "");
}

static bool hash_model(tn_ctx *ctx, const struct tn_options *o, struct tn_cache *cache, struct tn_hash *hash) {
  struct tn_stamp stamp;
  if (tn_file_hash(ctx, cache, o->model, &stamp, hash))
    return true;
  struct tn_bytes file; /* a pipe, or something is wrong with it */
  if (!tn_file_map(ctx, o->model, &file))
    return false;
  *hash = tn_hash_bytes(file.at, file.size);
  return true;
}

bool tn_build_model(tn_ctx *ctx, const struct tn_options *o, const struct tn_given *given,
                    struct tn_cache *cache, bool profile, struct tn_built *out) {
  struct tn_hash hash;
  if (!tn_load(ctx, o, given, out) || !hash_model(ctx, o, cache, &hash))
    return false;
  struct tn_target_options t = {.triple = o->target,
                                .cpu = o->cpu,
                                .features = o->features,
                                .opt = o->opt,
                                .small = o->small,
                                .threads = o->threads,
                                .profile = profile,
                                .weights_section = o->weights_section,
                                .weights_apart = o->weights_file != NULL,
                                .cache = cache ? &cache->objects : NULL};
  if (isatty(2) && !o->json)
    t.progress = show_progress;
  tn_progress.pass = "code generation";
  out->cg = tn_codegen(out->module, &t, hash);
  return out->cg && (tn_codegen_facts(out->cg), tn_diag_count(ctx, TN_ERROR) == 0);
}

bool tn_check_input(tn_ctx *ctx, const struct tn_value *input, const struct tn_tensor *given) {
  if (given->type.dtype == input->type.dtype && tn_shape_equal(&given->type, &input->type))
    return true;
  tn_report(ctx, TN_ERROR, (struct tn_where){.node = input->name, .op = "graph input"},
            "it is %s, and the value given for it is %s", tn_type_text(tn_ctx_arena(ctx), &input->type),
            tn_type_text(tn_ctx_arena(ctx), &given->type));
  return false;
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
    if (!tn_check_input(ctx, v, t))
      return false;
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
