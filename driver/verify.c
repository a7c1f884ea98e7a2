/* tenon verify: every test vector folder is compiled for (its shapes bind the symbolic dimensions), run and
 * compared. A line a folder, and a count. */
#include "driver/driver.h"

#include <stdio.h>

struct folder {
  tn_ctx *ctx; /* of this folder alone: nothing is left behind by the one before */
  const struct tn_options *o;
  const char *path;
  char *why; /* of a failure */
  const char *note;
};

static bool read_all(struct folder *f, const char *kind, struct tn_tensor **out, size_t *count) {
  TN_VEC(struct tn_tensor) all = {0};
  while (tn_vector_exists(f->ctx, f->path, kind, (int)all.count)) {
    struct tn_tensor t;
    if (!tn_vector_read(f->ctx, f->path, kind, (int)all.count, &t))
      return false;
    TN_PUSH(tn_ctx_arena(f->ctx), &all, t);
  }
  *out = all.at;
  *count = all.count;
  return true;
}

static bool verify_folder(void *user) {
  struct folder *f = user;
  tn_arena *arena = tn_ctx_arena(f->ctx);
  struct tn_tensor *inputs, *outputs, *expected;
  size_t count, output_count, expected_count;
  if (!read_all(f, "input", &inputs, &count) || !read_all(f, "output", &expected, &expected_count))
    return false;
  struct tn_given given = {inputs, count};
  struct tn_built built;
  if (!tn_build_model(f->ctx, f->o, &given, tn_cache_open(f->ctx, f->o), false, &built))
    return false;
  if (built.bound.count) {
    struct tn_str s;
    tn_str_init(&s, arena);
    for (size_t i = 0; i < built.bound.count; i++)
      tn_str_add(&s, "%s%s", i ? ", " : " (bound: ", built.bound.at[i]);
    tn_str_add(&s, ")");
    f->note = s.at;
  }
  if (f->o->runner) {
    if (!tn_run_foreign(f->ctx, f->o, &built, inputs, &outputs, &output_count))
      return false;
  } else {
    struct tn_program program;
    if (!tn_program_load(f->ctx, f->o, built.cg, NULL, &program) ||
        !tn_execute(f->ctx, &built, inputs, &program, &outputs, &output_count))
      return false;
  }
  if (expected_count != output_count) {
    f->why = tn_printf(arena, "the folder holds %zu outputs, the model has %zu", expected_count, output_count);
    return false;
  }
  struct tn_tolerance tolerance = {f->o->rtol, f->o->atol};
  for (size_t i = 0; i < output_count && !f->why; i++)
    f->why = tn_compare(arena, built.module->main->outputs.at[i]->name, &outputs[i], &expected[i], tolerance);
  if (f->why && f->o->per_node)
    f->why = tn_printf(arena, "%s; %s", f->why, tn_first_difference(f->ctx, f->o, &built, inputs));
  return !f->why;
}

bool tn_command_verify(tn_ctx *ctx, const struct tn_options *o) {
  size_t passed = 0, failed = 0;
  if (o->target && !o->runner) {
    tn_report(ctx, TN_ERROR, (struct tn_where){0},
              "--target needs --runner to run the program, for example --runner='qemu-aarch64 -L "
              "/usr/aarch64-linux-gnu'");
    return false;
  }
  bool bug = false;
  for (size_t i = 0; i < o->folders.count; i++) {
    const char **paths;
    size_t count = tn_vector_folders(ctx, o->folders.at[i], &paths);
    failed += count == 0;
    for (size_t k = 0; k < count; k++) {
      struct folder f = {.ctx = tn_ctx_create(NULL), .o = o, .path = paths[k], .note = ""};
      if (!f.ctx) {
        tn_report(ctx, TN_ERROR, (struct tn_where){0}, "out of memory");
        return false;
      }
      if (tn_guard(f.ctx, verify_folder, &f)) {
        passed++;
        printf("PASS %s%s\n", f.path, f.note);
      } else {
        failed++;
        bug |= tn_diag_count(f.ctx, TN_BUG) > 0;
        size_t diags;
        const struct tn_diag *d = tn_diags(f.ctx, &diags);
        printf("FAIL %s: %s\n", f.path,
               f.why   ? f.why
               : diags ? tn_diag_format(tn_ctx_arena(f.ctx), &d[0])
                       : "unknown");
        fflush(stdout);
        tn_print_diags(f.ctx, !f.why);
      }
      fflush(stdout);
      tn_ctx_destroy(f.ctx);
    }
  }
  printf("%zu passed, %zu failed\n", passed, failed);
  if (bug)
    tn_report(ctx, TN_BUG, (struct tn_where){.file = o->model}, "a failure above is Tenon's own");
  return failed == 0;
}
