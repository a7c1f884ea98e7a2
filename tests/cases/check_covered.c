/* check_covered EXPECTED [TESTDATA] -- FILE...: every operator has a case.
 *
 * Operators of ir/ops.def: in a numeric case (a kernel, which only the fuse pass makes: a shape case).
 * Operators of frontend/onnx/ops.def: in an onnx or refuse case, or a vector line names an official test
 * vector.  Such a vector must not be in EXPECTED, the list of those that do not pass, and must be in the folder
 * TESTDATA when that is given.  Lists every operator without a case, and every vector that does not stand; exit
 * 1 when there are any. */
#include "tests/cases/cases.h"

#include <stdio.h>

static const struct {
  const char *domain, *op;
} onnx_ops[] = {
#define ONNX(domain, op, ...) {domain, #op},
#include "frontend/onnx/ops.def"
#undef ONNX
};

struct job {
  tn_ctx *ctx;
  char **files;
  int file_count;
  const char *expected, *testdata;
  bool ir[TN_OP_COUNT];
  struct tn_map onnx; /* "domain.op" or "op" */
  int bad;
};

static void mark_graph(struct job *job, const struct tn_graph *graph, bool kernels) {
  for (const struct tn_node *node = graph->first; node; node = node->next) {
    if (!kernels || node->op == TN_KERNEL)
      job->ir[node->op] = true;
    for (int i = 0; i < node->region_count; i++)
      mark_graph(job, node->region[i], kernels);
  }
}

static bool contains(const char *text, size_t size, const char *word) {
  size_t length = strlen(word);
  for (size_t i = 0; i + length <= size; i++)
    if (memcmp(text + i, word, length) == 0)
      return true;
  return false;
}

static void check_vector(struct job *job, const struct op_line *line) {
  tn_arena *arena = tn_ctx_arena(job->ctx);
  struct tn_bytes list, model;
  const char *op = strrchr(line->field[0], '.');
  op = op ? op + 1 : line->field[0];
  const char *entry = tn_printf(arena, "\n%s:", line->field[1]);
  if (!tn_file_map(job->ctx, job->expected, &list))
    tn_fail_now(job->ctx);
  if (contains((const char *)list.at, list.size, entry)) {
    printf("%s:%d: vector %s does not pass\n", line->file, line->number, line->field[1]);
    job->bad++;
  }
  if (!job->testdata)
    return;
  if (!tn_file_map(job->ctx, tn_printf(arena, "%s/%s/model.onnx", job->testdata, line->field[1]), &model) ||
      !contains((const char *)model.at, model.size, op)) {
    printf("%s:%d: vector %s is not there, or has no %s\n", line->file, line->number, line->field[1], op);
    job->bad++;
  }
}

static void mark_line(struct job *job, const struct op_line *line) {
  struct op_case_run run;
  tn_arena *arena = tn_ctx_arena(job->ctx);
  if (line->kind == CASE_NUMERIC || line->kind == CASE_SHAPE) {
    const char *text = line->kind == CASE_SHAPE ? tn_case_text(job->ctx, line) : NULL;
    if (!text) {
      tn_case_numeric(job->ctx, line, &run);
      text = run.text;
    }
    const struct tn_module *m = tn_parse(job->ctx, line->file, text, strlen(text));
    if (!m)
      tn_case_wrong(job->ctx, line, "not read");
    mark_graph(job, m->main, line->kind == CASE_SHAPE);
  } else if (line->kind != CASE_REJECT) {
    for (const char *at = line->field[0]; at; at = strstr(at, " > ") ? strstr(at, " > ") + 3 : NULL) {
      char *name = tn_strndup(arena, at, strcspn(at, " "));
      char *dash = line->kind == CASE_VECTOR ? NULL : strrchr(name, '-');
      if (dash)
        *dash = 0;
      tn_map_set(&job->onnx, name, job);
    }
    if (line->kind == CASE_VECTOR)
      check_vector(job, line);
  }
}

static bool run(void *user) {
  struct job *job = user;
  struct op_lines lines = {NULL, 0, 0};
  tn_map_init(&job->onnx, tn_ctx_arena(job->ctx));
  for (int i = 0; i < job->file_count; i++)
    if (!tn_cases_read(job->ctx, job->files[i], &lines))
      return false;
  for (size_t i = 0; i < lines.count; i++)
    mark_line(job, &lines.at[i]);
  for (int op = 0; op < TN_OP_COUNT; op++)
    if (!job->ir[op]) {
      printf("%s of ir/ops.def has no case\n", tn_op_info((enum tn_op)op)->name);
      job->bad++;
    }
  for (size_t i = 0; i < TN_COUNT(onnx_ops); i++) {
    const char *domain = onnx_ops[i].domain, *dot = *domain ? "." : "";
    if (!tn_map_has(&job->onnx, tn_printf(tn_ctx_arena(job->ctx), "%s%s%s", domain, dot, onnx_ops[i].op))) {
      printf("%s%s%s of frontend/onnx/ops.def has no case\n", domain, dot, onnx_ops[i].op);
      job->bad++;
    }
  }
  return job->bad == 0;
}

int main(int argc, char **argv) {
  struct job job = {.ctx = tn_ctx_create(NULL), .expected = argc > 1 ? argv[1] : NULL};
  int at = 2;
  if (at < argc && strcmp(argv[at], "--") != 0)
    job.testdata = argv[at++];
  if (!job.ctx || at >= argc || strcmp(argv[at], "--") != 0) {
    fprintf(stderr, "usage: check_covered EXPECTED [TESTDATA] -- FILE...\n");
    return 2;
  }
  job.files = argv + at + 1;
  job.file_count = argc - at - 1;
  bool good = tn_guard(job.ctx, run, &job);
  size_t count;
  const struct tn_diag *diags = tn_diags(job.ctx, &count);
  for (size_t i = 0; i < count; i++)
    printf("%s\n", tn_diag_format(tn_ctx_arena(job.ctx), &diags[i]));
  tn_ctx_destroy(job.ctx);
  return !good;
}
