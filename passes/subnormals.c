/* Weights too small for a normal float get a size that computes fast.
 *
 * What training drove towards zero ends in subnormal numbers (below 2^-126 in f32), and processors take more
 * than a hundred cycles for each instruction that meets one: a few such weights can make a network ten times
 * slower. Where a constant that is multiplied or added also holds elements of ordinary size, its subnormal
 * elements become 2^-100 of the same sign.  That changes a product by at most 2^-100 times the other factor,
 * far below what rounding the ordinary elements' products does; and unlike zero it keeps every sign, infinity
 * and NaN.
 *
 * Meant to run when constants are folded: scales that are folded into weights make more of them. */
#include "passes/passes.h"

#include <math.h>

#define SMALLEST_NORMAL 0x1p-126F
#define INSTEAD 0x1p-100F
#define ORDINARY 0x1p-60F /* elements this large make an error of INSTEAD disappear in rounding */

static bool is_subnormal(float x) {
  return x != 0 && fabsf(x) < SMALLEST_NORMAL;
}

/* A copy of the constant without subnormal elements; NULL when it has none, or no element of ordinary size. */
static struct tn_value *without(struct tn_build *b, const struct tn_tensor *tensor) {
  const float *from = tensor->data;
  size_t count = tensor->bytes / sizeof *from;
  float largest = 0;
  bool some = false;
  for (size_t i = 0; i < count; i++) {
    float size = fabsf(from[i]);
    some |= is_subnormal(from[i]);
    largest = size > largest ? size : largest; /* a NaN is left out */
  }
  if (!some || largest < ORDINARY)
    return NULL;
  float *to = tn_alloc_raw(b->graph->module->arena, tensor->bytes, TN_PLAN_ALIGN);
  for (size_t i = 0; i < count; i++)
    to[i] = !is_subnormal(from[i]) ? from[i] : from[i] < 0 ? -INSTEAD : INSTEAD;
  struct tn_tensor changed = *tensor;
  changed.data = to;
  return tn_constant(b, &changed);
}

static bool multiplies_or_adds(const struct tn_node *node) {
  return node->op == TN_CONV || node->op == TN_MATMUL || node->op == TN_MUL || node->op == TN_ADD ||
         node->op == TN_SUB;
}

static bool visit(struct tn_pass *pass, struct tn_node *node) {
  for (int i = 0; multiplies_or_adds(node) && i < node->in_count; i++) {
    const struct tn_tensor *tensor = tn_value_tensor(node->in[i]);
    if (!tensor || tensor->type.dtype != TN_F32)
      continue;
    struct tn_build b = tn_build_before(node);
    struct tn_value *changed = without(&b, tensor);
    if (changed) {
      tn_node_set_input(node, i, changed);
      pass->changes++;
    }
  }
  return true;
}

bool tn_pass_subnormals(struct tn_pass *pass, struct tn_module *module) {
  bool good = tn_pass_each(pass, module->main, visit);
  tn_remove_dead(pass, module);
  return good;
}
