/* op_cases [-a] [FILE...]: times operator cases (tests/cases), compiled at -O3 for this machine on one thread.
 *
 * For each case: nanoseconds a run (the fastest), GFLOP/s, GB/s of operands and results, and the larger share
 * of what this core can do: a cached product of 192 x 192 matrices by the same compiler, or copies of 64 MiB.
 * Small operands stay in caches and may pass 100 %.  Cases marked `bench`, or with -a all numeric ones. */
#include "codegen/nest.h"
#include "driver/driver.h"
#include "tests/cases/cases.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
  tn_ctx *ctx;
  const char *path;
  const struct op_line *line;
  struct op_lines lines;
  struct tn_peak *peak;
  bool *measured;
  double seconds, least; /* a run; what it could take at least */
  int64_t flops, bytes;  /* a run */
};

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

/* The fastest of as many runs as fit a tenth of a second, in batches that a clock can tell. */
static double fastest(tn_run_function *run, const void **in, void **out, void *memory) {
  double best = 1e9, start = tn_now();
  run(in, out, memory);
  double once = tn_now() - start;
  int batch = once > 1e-5 ? 1 : (int)(1e-5 / (once + 1e-9)) + 1;
  for (double end = tn_now() + 0.1; tn_now() < end;) {
    start = tn_now();
    for (int i = 0; i < batch; i++)
      run(in, out, memory);
    double took = (tn_now() - start) / batch;
    best = took < best ? took : best;
  }
  return best;
}

static bool time_line(void *user) {
  struct job *j = user;
  tn_arena *arena = tn_ctx_arena(j->ctx);
  struct op_case_run c;
  tn_case_numeric(j->ctx, j->line, &c);
  struct tn_module *m = tn_parse(j->ctx, j->line->file, c.text, strlen(c.text));
  struct tn_pass_options passes = {.level = 3, .evaluate = evaluate};
  struct tn_target_options target = {.opt = 3, .threads = 1};
  struct tn_codegen *cg = m && tn_run_passes(m, &passes) ? tn_codegen(m, &target, (struct tn_hash){0}) : NULL;
  tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
  if (!run)
    return false;
  const void **in = TN_NEW_ARRAY(arena, const void *, c.input_count + 1);
  void **out = TN_NEW_ARRAY(arena, void *, c.output_count + 1);
  for (size_t i = 0; i < c.input_count; i++) {
    void *copy = tn_alloc_raw(arena, c.inputs[i].bytes + 64, 64);
    memcpy(copy, c.inputs[i].data, c.inputs[i].bytes);
    in[i] = copy;
  }
  for (size_t i = 0; i < c.output_count; i++)
    out[i] = tn_alloc_raw(arena, c.outputs[i].bytes + 64, 64);
  const struct tn_build_facts *facts = tn_codegen_facts(cg);
  void *memory = tn_alloc_raw(arena, (size_t)facts->arena_bytes + 64, 64);
  j->seconds = fastest(run, in, out, memory);
  if (!*j->measured)
    tn_peak_measure(j->ctx, tn_codegen_target(cg), j->peak);
  *j->measured = true;
  j->flops = facts->flops;
  for (int i = 0; i < facts->kernel_count; i++) {
    j->bytes += facts->kernels[i].bytes * facts->kernels[i].calls;
    j->least += tn_peak_seconds(j->peak, &facts->kernels[i], facts->weight_bytes);
  }
  return true;
}

static bool guarded(struct job *j, bool (*body)(void *user)) {
  bool good = tn_guard(j->ctx, body, j);
  size_t count;
  const struct tn_diag *diags = tn_diags(j->ctx, &count);
  for (size_t i = 0; i < count && !good; i++)
    fprintf(stderr, "%s\n", tn_diag_format(tn_ctx_arena(j->ctx), &diags[i]));
  return good;
}

static bool read_file(void *user) {
  struct job *j = user;
  return tn_cases_read(j->ctx, j->path, &j->lines);
}

static bool time_file(const char *path, bool all, struct tn_peak *peak, bool *measured) {
  struct job file = {.ctx = tn_ctx_create(NULL), .path = path};
  bool good = file.ctx && guarded(&file, read_file);
  for (size_t i = 0; i < file.lines.count && good; i++) {
    const struct op_line *line = &file.lines.at[i];
    if (line->kind != CASE_NUMERIC || !(all || line->bench))
      continue;
    struct job j = {.ctx = tn_ctx_create(NULL), .line = line, .peak = peak, .measured = measured};
    if (!j.ctx || !guarded(&j, time_line)) {
      good = false;
    } else {
      printf("%11.0f %9.2f %8.2f %5.0f%%  %s\n", j.seconds * 1e9, (double)j.flops / j.seconds * 1e-9,
             (double)j.bytes / j.seconds * 1e-9, j.least / j.seconds * 100, line->field[1]);
    }
    tn_ctx_destroy(j.ctx);
  }
  tn_ctx_destroy(file.ctx);
  return good;
}

int main(int argc, char **argv) {
  bool all = argc > 1 && strcmp(argv[1], "-a") == 0, good = true, measured = false;
  int first = all ? 2 : 1;
  struct tn_peak peak;
  printf("%11s %9s %8s %6s  %s\n", "ns", "GFLOP/s", "GB/s", "limit", "case");
  glob_t found = {0};
  if (first >= argc && glob(TENON_CASES "/*.cases", 0, NULL, &found) != 0)
    return 1;
  for (size_t i = 0; i < found.gl_pathc; i++)
    good = time_file(found.gl_pathv[i], all, &peak, &measured) && good;
  for (int i = first; i < argc; i++)
    good = time_file(argv[i], all, &peak, &measured) && good;
  globfree(&found);
  return !good;
}
