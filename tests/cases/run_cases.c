/* run_cases FILE...: the operator cases as a test.
 *
 * A numeric case runs by the definitions (interpret.c) and as compiled code at -O0 and -O3; each must give the
 * expected numbers.  Prints the cases that do not hold; exit 1 when there are any. */
#include "codegen/codegen.h"
#include "codegen/nest.h"
#include "passes/passes.h"
#include "tests/cases/cases.h"
#include "tests/unit/onnx_case.h"

#include <math.h>

/* ---- comparing ------------------------------------------------------------------------------------------ */

static bool close_to(const struct op_line *line, double got, double want) {
  if (got == want || (isnan(got) && isnan(want)))
    return true;
  return isfinite(want) && isfinite(got) && fabs(got - want) <= line->atol + line->rtol * fabs(want);
}

static void compare(tn_ctx *ctx, const struct op_line *line, const char *how, const char *name,
                    const struct tn_tensor *got, const struct tn_tensor *want) {
  int64_t count = 0, worst = -1, wrong = 0;
  if (got->type.dtype != want->type.dtype || !tn_shape_equal(&got->type, &want->type))
    tn_case_wrong(ctx, line, "%s: '%s' has another type", how, name);
  tn_type_count(&want->type, &count);
  bool exact = line->rtol == 0 && line->atol == 0 && !tn_dtype_is_float(want->type.dtype);
  if (exact && memcmp(got->data, want->data, want->bytes) == 0)
    return;
  for (int64_t i = 0; i < count; i++) {
    double g = tn_tensor_float(got, i), w = tn_tensor_float(want, i);
    bool bad = exact ? tn_tensor_int(got, i) != tn_tensor_int(want, i) : !close_to(line, g, w);
    if (bad && (worst < 0 || fabs(g - w) > fabs(tn_tensor_float(got, worst) - tn_tensor_float(want, worst))))
      worst = i;
    wrong += bad;
  }
  if (wrong)
    tn_case_wrong(ctx, line,
                  "%s: '%s' differs in %lld of %lld elements, most in element %lld: %.9g, expected %.9g", how,
                  name, (long long)wrong, (long long)count, (long long)worst, tn_tensor_float(got, worst),
                  tn_tensor_float(want, worst));
}

/* ---- running -------------------------------------------------------------------------------------------- */

static bool evaluate(void *user, struct tn_node *node, struct tn_tensor *outs) {
  (void)user;
  return tn_evaluate_node(node->home->module->arena, node, outs);
}

/* Compiles the module for this machine, runs it, and compares.  inputs: of the module's inputs, in order. */
static void check_compiled(tn_ctx *ctx, const struct op_line *line, struct tn_module *m, int level,
                           const struct tn_tensor *inputs, const struct tn_tensor *wanted) {
  enum { FENCE = 64 };
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *how = tn_printf(arena, "compiled with -O%d", level);
  struct tn_pass_options passes = {.level = level, .verify_each = true, .evaluate = evaluate};
  struct tn_target_options target = {.opt = level, .threads = 1};
  struct tn_codegen *cg = tn_run_passes(m, &passes) ? tn_codegen(m, &target, (struct tn_hash){0}) : NULL;
  tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
  if (!run)
    tn_case_wrong(ctx, line, "%s: not compiled", how);
  struct tn_graph *g = m->main;
  const void **in = TN_NEW_ARRAY(arena, const void *, g->inputs.count + 1);
  void **out = TN_NEW_ARRAY(arena, void *, g->outputs.count + 1);
  for (size_t i = 0; i < g->inputs.count; i++) {
    void *copy = tn_alloc_raw(arena, inputs[i].bytes + FENCE, 64);
    memcpy(copy, inputs[i].data, inputs[i].bytes);
    in[i] = copy;
  }
  for (size_t i = 0; i < g->outputs.count; i++) {
    out[i] = tn_alloc_raw(arena, wanted[i].bytes + FENCE, 64);
    memset(out[i], 0xA5, wanted[i].bytes + FENCE);
  }
  char *memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(cg)->arena_bytes + FENCE, 64);
  memset(memory, 0xA5, (size_t)tn_codegen_facts(cg)->arena_bytes + FENCE);
  int status = run(in, out, memory);
  if (status)
    tn_case_wrong(ctx, line, "%s: the run returned %d", how, status);
  for (size_t i = 0; i < g->outputs.count; i++) {
    struct tn_tensor got = {g->outputs.at[i]->type, out[i], wanted[i].bytes};
    compare(ctx, line, how, g->outputs.at[i]->name, &got, &wanted[i]);
    for (size_t k = 0; k < FENCE; k++)
      if (((unsigned char *)out[i])[wanted[i].bytes + k] != 0xA5)
        tn_case_wrong(ctx, line, "%s: bytes behind '%s' are written", how, g->outputs.at[i]->name);
  }
}

static void check_interpreted(tn_ctx *ctx, const struct op_line *line, struct tn_module *m,
                              const struct tn_tensor *inputs, const struct tn_tensor *wanted) {
  struct tn_pass_options options = {.level = 0, .verify_each = true, .evaluate = evaluate};
  struct tn_tensor *got = TN_NEW_ARRAY(tn_ctx_arena(ctx), struct tn_tensor, m->main->outputs.count + 1);
  /* fold: for `shape`, which has no definition of its own */
  if (!tn_run_pass(m, "decompose", &options) || !tn_run_pass(m, "fold", &options) ||
      !tn_case_interpret(m, inputs, got))
    tn_case_wrong(ctx, line, "not interpreted");
  for (size_t i = 0; i < m->main->outputs.count; i++)
    compare(ctx, line, "by its definition", m->main->outputs.at[i]->name, &got[i], &wanted[i]);
}

/* ---- kinds of cases ------------------------------------------------------------------------------------- */

static void check_numeric(tn_ctx *ctx, const struct op_line *line) {
  struct op_case_run run;
  tn_case_numeric(ctx, line, &run);
  struct tn_module *m[3];
  for (int i = 0; i < 3; i++)
    m[i] = tn_parse(ctx, line->file, run.text, strlen(run.text));
  check_interpreted(ctx, line, m[0], run.inputs, run.outputs);
  check_compiled(ctx, line, m[1], 0, run.inputs, run.outputs);
  check_compiled(ctx, line, m[2], 3, run.inputs, run.outputs);
}

static bool said(tn_ctx *ctx, const char *words) {
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  for (size_t i = 0; i < count; i++)
    if (diags[i].severity == TN_ERROR && strstr(tn_diag_format(tn_ctx_arena(ctx), &diags[i]), words))
      return true;
  return false;
}

static void check_types(tn_ctx *ctx, const struct op_line *line) {
  const char *text = tn_case_text(ctx, line);
  struct tn_module *m = tn_parse(ctx, line->file, text, strlen(text));
  if (line->kind == CASE_SHAPE && (!m || !tn_verify(m, "reading a case")))
    tn_case_wrong(ctx, line, "refused");
  if (line->kind == CASE_REJECT && (m || !said(ctx, line->field[2])))
    tn_case_wrong(ctx, line, m ? "accepted" : "refused, but not with '%s'", line->field[2]);
  if (line->kind == CASE_REJECT)
    tn_diag_truncate(ctx, 0);
}

/* "f32[2,3], i64[1]{1}, _": parts between commas that are in no bracket. */
static int split_operands(tn_ctx *ctx, const char *text, const char **out, int most) {
  int count = 0, depth = 0;
  const char *start = text + strspn(text, " ");
  for (const char *c = start; *start && count < most; c++) {
    depth += *c == '[' || *c == '{' || *c == '(';
    depth -= *c == ']' || *c == '}' || *c == ')';
    if (*c && (*c != ',' || depth))
      continue;
    out[count++] = tn_strndup(tn_ctx_arena(ctx), start, (size_t)(c - start));
    start = *c ? c + 1 + strspn(c + 1, " ") : c;
  }
  return count;
}

/* "f32[2] = [1, 2]": cuts the type off; the values, or NULL. */
static const char *values_of(tn_ctx *ctx, const char **part) {
  const char *equal = strstr(*part, " = ");
  if (equal)
    *part = tn_strndup(tn_ctx_arena(ctx), *part, (size_t)(equal - *part));
  return equal ? equal + 3 : NULL;
}

enum { CHAIN = 4 };
struct onnx_line {
  struct op_case c[CHAIN]; /* linked */
  const char *values[CHAIN * CASE_OPERANDS], *wanted[CASE_OPERANDS], *types[CASE_OPERANDS];
  int operands, outs;
  bool runs;
};

/* Cuts the text at each `>` that stands alone: one part a node. */
static int split_chain(tn_ctx *ctx, const struct op_line *line, const char *text, const char **out) {
  int count = 0;
  const char *start = text;
  for (const char *c = text;; c++) {
    bool divides = *c == '>' && (c == text || c[-1] == ' ') && (!c[1] || c[1] == ' ');
    if (*c && !divides)
      continue;
    if (count == CHAIN)
      tn_case_wrong(ctx, line, "at most %d nodes", CHAIN);
    size_t size = (size_t)(c - start);
    while (size && start[size - 1] == ' ')
      size--;
    out[count++] = tn_strndup(tn_ctx_arena(ctx), start, size);
    if (!*c)
      return count;
    start = c + 1 + strspn(c + 1, " ");
  }
}

static void read_onnx(tn_ctx *ctx, const struct op_line *line, struct onnx_line *out) {
  const char *nodes[CHAIN], *operands[CHAIN];
  int count = split_chain(ctx, line, line->field[0], nodes), opset = 0;
  bool valued = true;
  *out = (struct onnx_line){.operands = 0};
  if (split_chain(ctx, line, line->field[1], operands) != count)
    tn_case_wrong(ctx, line, "expected operands for each of %d nodes, between `>`", count);
  for (int k = 0; k < count; k++) {
    const char *space = strchr(nodes[k], ' ');
    char *op = tn_strndup(tn_ctx_arena(ctx), nodes[k], space ? (size_t)(space - nodes[k]) : strlen(nodes[k]));
    char *dash = strrchr(op, '-');
    if (!dash && k == 0)
      tn_case_wrong(ctx, line, "expected OPERATOR-OPSET, found '%s'", op);
    if (dash) {
      opset = atoi(dash + 1);
      *dash = 0;
    }
    struct op_case *c = &out->c[k];
    *c = (struct op_case){.op = op, .opset = opset, .attrs = space ? space + 1 : ""};
    c->next = k + 1 < count ? c + 1 : NULL;
    int in = split_operands(ctx, operands[k], c->in, CASE_OPERANDS);
    for (int i = 0; i < in; i++) {
      if (strcmp(c->in[i], "_") == 0)
        c->in[i] = "";
      out->values[out->operands] = values_of(ctx, &c->in[i]);
      valued = valued && (out->values[out->operands] || !*c->in[i] || strchr(c->in[i], '{'));
      out->operands++;
    }
  }
  if (line->kind == CASE_REFUSE)
    out->outs = atoi(line->field[2]);
  else
    out->outs = split_operands(ctx, line->field[2], out->types, CASE_OPERANDS);
  out->c[count - 1].outs = out->outs;
  for (int i = 0; i < out->outs && line->kind == CASE_ONNX; i++) {
    out->wanted[i] = values_of(ctx, &out->types[i]);
    out->runs = out->runs || out->wanted[i];
    if (out->runs && (!out->wanted[i] || !valued))
      tn_case_wrong(ctx, line, "either every operand and result has its values, or none");
  }
}

static const char *type_text(struct tn_module *m, const struct tn_type *type) {
  struct tn_str s;
  tn_str_init(&s, m->arena);
  tn_str_add(&s, "%s[", tn_dtype_name(type->dtype));
  for (int i = 0; i < type->rank; i++)
    tn_str_add(&s, "%s%s", i ? "," : "", tn_dim_text(m, type->dim[i]));
  tn_str_add(&s, "]");
  return s.at;
}

static void check_words(tn_ctx *ctx, const struct op_line *line, const char *ir) {
  const char *at = ir;
  for (const char *words = line->field[3]; words && *words;) {
    const char *more = strstr(words, " .. ");
    const char *wanted = more ? tn_strndup(tn_ctx_arena(ctx), words, (size_t)(more - words)) : words;
    if (!(at = strstr(at, wanted)))
      tn_case_wrong(ctx, line, "'%s' is not in the IR, or not in this order\n%s", wanted, ir);
    at += strlen(wanted);
    words = more ? more + 4 : NULL;
  }
}

static void check_onnx_numbers(tn_ctx *ctx, const struct op_line *line, const struct onnx_line *o) {
  static struct msg model;
  for (int level = 0; level <= 3; level += 3) {
    struct tn_module *m = case_import(ctx, o->c, &model);
    struct tn_tensor inputs[CHAIN * CASE_OPERANDS], wanted[CASE_OPERANDS];
    size_t at = 0;
    for (int i = 0; i < o->operands && m; i++)
      if (o->values[i]) {
        const char *text = o->values[i];
        tn_case_values(ctx, line, &text, &m->main->inputs.at[at]->type, (uint32_t)i, &inputs[at]);
        at++;
      }
    for (int i = 0; i < o->outs && m; i++) {
      const char *text = o->wanted[i];
      tn_case_values(ctx, line, &text, &m->main->outputs.at[i]->type, 0, &wanted[i]);
    }
    if (!m)
      tn_case_wrong(ctx, line, "not imported");
    check_compiled(ctx, line, m, level, inputs, wanted);
  }
}

static void check_onnx(tn_ctx *ctx, const struct op_line *line) {
  static struct msg model;
  struct onnx_line o;
  read_onnx(ctx, line, &o);
  struct tn_module *m = case_import(ctx, o.c, &model);
  if (line->kind == CASE_REFUSE) {
    if (m || !said(ctx, line->field[3]))
      tn_case_wrong(ctx, line, m ? "accepted" : "refused, but not with '%s'", line->field[3]);
    tn_diag_truncate(ctx, 0);
    return;
  }
  if (!m || !tn_verify(m, "import"))
    tn_case_wrong(ctx, line, "not imported");
  for (int i = 0; i < o.outs; i++) {
    const char *found = type_text(m, &m->main->outputs.at[i]->type);
    if (strcmp(found, o.types[i]) != 0)
      tn_case_wrong(ctx, line, "result %d is %s, expected %s\n%s", i, found, o.types[i], tn_print(m->arena, m));
  }
  check_words(ctx, line, tn_print(m->arena, m));
  if (o.runs)
    check_onnx_numbers(ctx, line, &o);
}

static bool check(tn_ctx *ctx, const struct op_line *line) {
  switch (line->kind) {
  case CASE_NUMERIC:
    check_numeric(ctx, line);
    break;
  case CASE_SHAPE:
  case CASE_REJECT:
    check_types(ctx, line);
    break;
  case CASE_ONNX:
  case CASE_REFUSE:
    check_onnx(ctx, line);
    break;
  case CASE_VECTOR: /* the conformance test runs it */
    break;
  }
  return true;
}

/* ---- the program ---------------------------------------------------------------------------------------- */

struct job {
  tn_ctx *ctx;
  const char *path;
  const struct op_line *line;
  struct op_lines lines;
};
static bool read_file(void *user) {
  struct job *job = user;
  return tn_cases_read(job->ctx, job->path, &job->lines);
}
static bool check_line(void *user) {
  struct job *job = user;
  return check(job->ctx, job->line);
}

static bool guarded(struct job *job, bool (*body)(void *user)) {
  bool good = tn_guard(job->ctx, body, job);
  size_t count;
  const struct tn_diag *diags = tn_diags(job->ctx, &count);
  for (size_t i = 0; i < count && (!good || diags[i].severity >= TN_ERROR); i++)
    printf("%s\n", tn_diag_format(tn_ctx_arena(job->ctx), &diags[i]));
  return good;
}

int main(int argc, char **argv) {
  size_t done = 0, bad = 0;
  for (int i = 1; i < argc; i++) {
    struct job file = {.ctx = tn_ctx_create(NULL), .path = argv[i]};
    if (!file.ctx || !guarded(&file, read_file))
      return 1;
    for (size_t k = 0; k < file.lines.count; k++, done++) {
      struct job one = {.ctx = tn_ctx_create(NULL), .line = &file.lines.at[k]};
      bad += !one.ctx || !guarded(&one, check_line);
      tn_ctx_destroy(one.ctx);
    }
    tn_ctx_destroy(file.ctx);
  }
  printf("%zu cases, %zu do not hold\n", done, bad);
  return bad || done == 0;
}
