/* run_passes FILE PASS...: reads tensor IR, runs the passes one after the other, prints what comes out.
 *
 * A line "// -----" ends a module and starts the next one; each goes its own way.  Constants are folded by the
 * real definitions.  Exit 0: every module went through; 1: every module was refused; 2: some were. */
#include "passes/passes.h"
#include "codegen/nest.h"

#include <stdio.h>

struct job {
  tn_ctx *ctx;
  const char *file, *text;
  size_t size;
  int count;
  char **passes;
};

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  tn_arena *scratch = tn_arena_create(node->home->module->ctx);
  bool good = tn_evaluate_node(scratch, node, outs);
  tn_arena_destroy(scratch);
  return good;
}

static void print(void *user, const char *pass, const char *text) {
  (void)user;
  (void)pass;
  fputs(text, stdout);
}

/* "pipeline": all of passes.def; "pipeline:NAME": up to there. */
static bool run_one(struct tn_module *module, const char *name, const struct tn_pass_options *options) {
  if (strncmp(name, "pipeline", 8) != 0)
    return tn_run_pass(module, name, options);
  struct tn_pass_options whole = *options;
  whole.stop_after = name[8] == ':' ? name + 9 : NULL;
  return tn_run_passes(module, &whole);
}

static bool run(void *user) {
  struct job *job = user;
  struct tn_module *module = tn_parse(job->ctx, job->file, job->text, job->size);
  if (!module || !tn_verify(module, "reading"))
    return false;
  struct tn_pass_options options = {
      .level = 2, .roomy = true, .verify_each = true, .evaluate = evaluate, .print = print};
  for (int i = 0; i < job->count; i++)
    if (!run_one(module, job->passes[i], &options))
      return false;
  print(NULL, NULL, tn_print(module->arena, module));
  return true;
}

/* One module in a context of its own. */
static bool run_module(struct job job) {
  job.ctx = tn_ctx_create(NULL);
  if (!job.ctx)
    return false;
  bool good = tn_guard(job.ctx, run, &job);
  size_t count;
  const struct tn_diag *diags = tn_diags(job.ctx, &count);
  for (size_t i = 0; i < count; i++)
    printf("%s\n", tn_diag_format(tn_ctx_arena(job.ctx), &diags[i]));
  tn_ctx_destroy(job.ctx);
  return good;
}

int main(int argc, char **argv) {
  static const char divider[] = "\n// -----";
  struct tn_bytes text = {NULL, 0};
  tn_ctx *ctx = tn_ctx_create(NULL);
  int done[2] = {0, 0}; /* refused, went through */
  if (argc < 2 || !ctx || !tn_file_map(ctx, argv[1], &text)) {
    fprintf(stderr, "usage: run_passes FILE PASS...\n");
    return 2;
  }
  char *all = tn_strndup(tn_ctx_arena(ctx), (const char *)text.at, text.size);
  for (char *at = all; at;) {
    char *end = strstr(at, divider), *next = end ? strchr(end + 1, '\n') : NULL;
    size_t size = end ? (size_t)(end + 1 - at) : strlen(at);
    done[run_module((struct job){NULL, argv[1], at, size, argc - 2, argv + 2})]++;
    at = next;
  }
  tn_ctx_destroy(ctx);
  return done[0] == 0 ? 0 : done[1] == 0 ? 1 : 2;
}
