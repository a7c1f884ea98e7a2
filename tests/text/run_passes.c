/* run_passes FILE PASS...: reads tensor IR, runs the passes one after the other, prints what comes out.
 *
 * For the text tests; constants are folded by the real definitions.  Exit 1 after diagnostics. */
#include "passes/passes.h"
#include "codegen/nest.h"

#include <stdio.h>

struct job {
  tn_ctx *ctx;
  int count;
  char **arguments;
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
  struct tn_bytes text;
  if (!tn_file_map(job->ctx, job->arguments[0], &text))
    return false;
  struct tn_module *module = tn_parse(job->ctx, job->arguments[0], (const char *)text.at, text.size);
  if (!module || !tn_verify(module, "reading"))
    return false;
  struct tn_pass_options options = {.level = 2, .verify_each = true, .evaluate = evaluate, .print = print};
  for (int i = 1; i < job->count; i++)
    if (!run_one(module, job->arguments[i], &options))
      return false;
  print(NULL, NULL, tn_print(module->arena, module));
  return true;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: run_passes FILE PASS...\n");
    return 2;
  }
  struct job job = {tn_ctx_create(NULL), argc - 1, argv + 1};
  if (!job.ctx)
    return 1;
  bool good = tn_guard(job.ctx, run, &job);
  size_t count;
  const struct tn_diag *diags = tn_diags(job.ctx, &count);
  for (size_t i = 0; i < count; i++)
    printf("%s\n", tn_diag_format(tn_ctx_arena(job.ctx), &diags[i]));
  tn_ctx_destroy(job.ctx);
  return good ? 0 : 1;
}
