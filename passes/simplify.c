/* Simplify: local rewrites that hold for every input, to a fixed point.
 *
 * Each rule looks at one node and its operands and gives back a value that equals the node's result: bit for
 * bit, NaN payloads aside, where the text of a rule does not say what it relies on.  The rules are grouped by
 * theme in simplify_*.c; this file drives them.  Every rule makes the graph smaller or moves it towards one
 * canonical form, so that no two undo each other. */
#include "passes/passes.h"

static const tn_rule rules[] = {tn_simplify_arith, tn_simplify_logic, tn_simplify_cast,  tn_simplify_broadcast,
                                tn_simplify_move,  tn_simplify_index, tn_simplify_reduce};

/* Far more than any chain of rules needs; a bound, so that two quarrelling rules show up in a test and not as a
 * compiler that hangs. */
#define MAX_ROUNDS 64

static bool simplify_node(struct tn_pass *pass, struct tn_node *node) {
  if (node->op == TN_LOOP) {
    tn_simplify_loop(pass, node);
    return true;
  }
  if (node->out_count != 1 || node->region_count > 0 || node->op == TN_CONSTANT ||
      tn_value_unused(node->out[0]))
    return true;
  for (size_t i = 0; i < TN_COUNT(rules); i++) {
    struct tn_build b = tn_build_before(node);
    struct tn_value *to = rules[i](pass, &b, node);
    if (to && tn_pass_replace(pass, node->out[0], to))
      return true;
  }
  return true;
}

bool tn_pass_simplify(struct tn_pass *pass, struct tn_module *module) {
  for (int round = 0; round < MAX_ROUNDS; round++) {
    size_t before = pass->changes;
    if (!tn_pass_each(pass, module->main, simplify_node))
      return false;
    if (pass->changes == before)
      return true;
    /* Dead nodes would count as users of their operands. */
    size_t useful = pass->changes;
    tn_remove_dead(pass, module);
    pass->changes = useful;
  }
  tn_report(module->ctx, TN_BUG, (struct tn_where){.file = module->file},
            "simplify found no end after %d rounds: two rules undo each other", MAX_ROUNDS);
  return false;
}
