/* ops_md FILE: writes ops.md, the page of all operators, from the two tables that define them. */
#include "ir/ir.h"

#include <stdio.h>

static const char *const kind_names[] = {"int", "float", "ints", "word", "dtype", "tensor"};

static const struct {
  unsigned flag;
  const char *name;
} flags[] = {{TN_PURE, "pure"},         {TN_ELEMENTWISE, "elementwise"},
             {TN_COMMUTES, "commutes"}, {TN_MOVE, "move"},
             {TN_VIEW, "view"},         {TN_POINTWISE, "pointwise"},
             {TN_REDUCE, "reduction"},  {TN_COMPOSITE, "composite"},
             {TN_REGION, "region"},     {TN_TILES, "tiles"}};

static void counts(FILE *f, int low, int high) {
  if (high < 0)
    fprintf(f, "%d or more", low);
  else if (low == high)
    fprintf(f, "%d", low);
  else
    fprintf(f, "%d to %d", low, high);
}

/* A bar would end the cell of a table. */
static void cell(FILE *f, const char *text) {
  for (; *text; text++) {
    if (*text == '|')
      fputc('\\', f);
    fputc(*text, f);
  }
}

static void attribute(FILE *f, const struct tn_attr_info *a) {
  fprintf(f, "`%s`: %s", a->name, kind_names[a->kind]);
  if (a->values) {
    fputs(" ", f);
    cell(f, a->values);
  }
  if (a->def)
    fprintf(f, " = %s", *a->def ? a->def : "[]");
}

static void core(FILE *f) {
  fputs("## Tensor IR\n\n"
        "From `ir/ops.def`. An attribute without a default must be given. *composite*: replaced by other "
        "operators before code "
        "generation.\n\n"
        "| operator | operands | results | attributes | flags | what it does |\n| --- | --- | --- | --- | --- "
        "| --- |\n",
        f);
  for (int op = 0; op < TN_OP_COUNT; op++) {
    const struct tn_op_info *info = tn_op_info((enum tn_op)op);
    fprintf(f, "| `%s` | ", info->name);
    counts(f, info->min_in, info->max_in);
    fputs(" | ", f);
    counts(f, info->min_out, info->max_out);
    fputs(" | ", f);
    for (int i = 0; i < info->attr_count; i++) {
      fputs(i ? ", " : "", f);
      attribute(f, tn_attr_info((enum tn_attr_id)(info->first_attr + i)));
    }
    fputs(" | ", f);
    for (size_t i = 0, any = 0; i < TN_COUNT(flags); i++)
      if (info->flags & flags[i].flag)
        fprintf(f, "%s%s", any++ ? ", " : "", flags[i].name);
    fputs(" | ", f);
    cell(f, info->doc);
    fputs(" |\n", f);
  }
}

static const struct {
  const char *domain, *op;
  int since, until;
} onnx[] = {
#define ONNX(domain, op, since, until, ...) {domain, #op, since, until},
#include "frontend/onnx/ops.def"
#undef ONNX
};

static void front_end(FILE *f) {
  const char *domain = NULL;
  fputs("\n## ONNX\n\nFrom `frontend/onnx/ops.def`. What an operator does not support is refused by name when "
        "a model is read.\n",
        f);
  for (size_t i = 0; i < TN_COUNT(onnx); i++) {
    if (!domain || strcmp(domain, onnx[i].domain) != 0)
      fprintf(f, "\n### %s\n\n| operator | opset |\n| --- | --- |\n",
              *onnx[i].domain ? onnx[i].domain : "ai.onnx");
    domain = onnx[i].domain;
    fprintf(f, "| %s | %d", onnx[i].op, onnx[i].since);
    if (onnx[i].until >= 9999)
      fputs(" and later |\n", f);
    else
      fprintf(f, " to %d |\n", onnx[i].until);
  }
}

int main(int argc, char **argv) {
  FILE *f = argc == 2 ? fopen(argv[1], "w") : NULL;
  if (!f) {
    fprintf(stderr, "usage: ops_md FILE\n");
    return 2;
  }
  fputs("# Operators\n\n", f);
  core(f);
  front_end(f);
  return ferror(f) || fclose(f) != 0;
}
