/* The list of operator cases, which drives tests (run_cases.c) and benchmarks (bench/op_cases.c).
 *
 * A .cases file is text: a case a line, fields between `|`; a line that starts with a space goes on with the
 * one before it; `#` starts a comment line.  Options stand behind the kind.
 *
 *   numeric rtol=1e-6 bench | %x: f32[2,3] = random(-2, 2) | %r = exp(%x) : f32[2,3] | %r = reference
 *       inputs with their values, nodes, and what results must be.  Values are [1, nan, -inf] (or [] for none),
 *       count(first), fill(value), random(low, high) (whole numbers for integer dtypes).  A result may also be
 *       `like %x`, the same bytes as that input, or `reference`: computed in double by reference.c for a single
 * node. Without rtol and atol results are exact.  bench: large enough to be timed. shape | %x: f32[N,1], %y:
 * f32[1,M] | %r = add(%x, %y) : f32[N,M] the types as written are those that are inferred. reject | %x: bool[2]
 * | %r = neg(%x) : bool[2] | must be numeric, not bool the nodes are refused, with these words. onnx | Slice-13
 * | f32[5], i64[1]{1}, i64[1]{3} | f32[2] | starts = [1] an ONNX operator of an opset with its attributes
 * (axis=1 alpha=0.5 mode='edge' pads=[0,1]); operands, of which
 *       {..} makes an initializer, = VALUES gives a value to run with and _ is absent; the results' types, =
 * VALUES what they must be; words of the tensor IR, in order, between `..`. Several nodes: between `>`,
 * operands too; the first result of each is the first operand of the next. refuse | Split-11 | f32[5] | 2 | do
 * not fill so many results; the import is refused with these words. vector | Acosh | test_acosh the official
 * test vector that covers the operator. */
#ifndef TENON_TESTS_CASES_H
#define TENON_TESTS_CASES_H

#include "ir/ir.h"

enum case_kind { CASE_NUMERIC, CASE_SHAPE, CASE_REJECT, CASE_ONNX, CASE_REFUSE, CASE_VECTOR };
enum { CASE_FIELDS = 5 };

struct op_line {
  enum case_kind kind;
  const char *file;
  int number;                     /* of the line */
  const char *field[CASE_FIELDS]; /* behind the kind, trimmed; NULL past the last */
  double rtol, atol;
  bool bench;
};
struct op_lines {
  struct op_line *at;
  size_t count, cap;
};
/* Appends the lines of the file.  Reports whatever is not a case, and returns false. */
bool tn_cases_read(tn_ctx *ctx, const char *path, struct op_lines *out);

/* A case that can be run: module text and the values of its inputs and outputs, in order. */
struct op_case_run {
  const char *text; /* tensor IR */
  struct tn_tensor *inputs, *outputs;
  size_t input_count, output_count;
};
/* Reads a numeric case.  Values of results that are `reference` are computed.  Leaves to the guard after a
 * report. */
void tn_case_numeric(tn_ctx *ctx, const struct op_line *line, struct op_case_run *out);
/* The text of a shape or reject case: its nodes with nothing returned. */
const char *tn_case_text(tn_ctx *ctx, const struct op_line *line);

/* Values in text, for a static type; advances *at behind them.  seed: of random values. */
void tn_case_values(tn_ctx *ctx, const struct op_line *line, const char **at, const struct tn_type *type,
                    uint32_t seed, struct tn_tensor *out);
TN_NORETURN void tn_case_wrong(tn_ctx *ctx, const struct op_line *line, const char *format, ...)
    TN_PRINTF(3, 4);

/* What the node gives, computed in double (64-bit integers for integers) by plain loops that share nothing with
 * the compiler.  Operand values in `in`, NULL for absent ones; outs[0].data is filled.  False: the op has no
 * reference. */
bool tn_reference(tn_ctx *ctx, const struct tn_node *node, const struct tn_tensor *const *in,
                  const struct tn_tensor *out);

/* Runs the module by the definitions of its nodes, one by one, regions included.  No composite op may be left.
 */
bool tn_case_interpret(struct tn_module *module, const struct tn_tensor *inputs, struct tn_tensor *outputs);

#endif
