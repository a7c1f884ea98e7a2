/* Simplify: loops.  What does not change from one iteration to the next leaves the body; what nobody needs is
 * not carried. */
#include "passes/passes.h"

/* ---- invariant nodes ----------------------------------------------------------------------------------- */

/* Costs nothing where it is read, and storage when it is computed before. */
static bool better_inside(const struct tn_node *node) {
  return node->op == TN_EXPAND || node->op == TN_IOTA;
}

static bool is_invariant(const struct tn_node *node) {
  if (!(tn_op_info(node->op)->flags & TN_PURE) || node->region_count > 0 || better_inside(node))
    return false;
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && node->in[i]->home == node->home)
      return false;
  return true;
}

static bool any_used(const struct tn_node *node) {
  for (int i = 0; i < node->out_count; i++)
    if (!tn_value_unused(node->out[i]))
      return true;
  return false;
}

/* Moves the nodes that compute the same in every iteration to before the loop. */
static void hoist(struct tn_pass *pass, struct tn_node *loop) {
  for (struct tn_node *node = loop->region[0]->first; node; node = node->next) {
    if (!any_used(node) || !is_invariant(node))
      continue;
    struct tn_build b = {loop->home, loop, node->name, node->origin};
    struct tn_node *copy = tn_node_make(&b, node->op, node->in_count, node->in, node->out_count);
    memcpy(copy->attr, node->attr, sizeof copy->attr);
    for (int i = 0; i < node->out_count; i++)
      copy->out[i]->type.quant = node->out[i]->type.quant;
    if (!tn_finish(&b, copy))
      tn_fail_now(loop->home->module->ctx);
    for (int i = 0; i < node->out_count; i++)
      tn_pass_replace(pass, node->out[i], copy->out[i]);
  }
}

/* The body runs only while the condition holds. */
static void condition_holds(struct tn_pass *pass, struct tn_graph *body) {
  struct tn_value *condition = body->inputs.at[1];
  if (tn_value_unused(condition))
    return;
  struct tn_build b = {body, body->first, condition->name, NULL};
  tn_pass_replace(pass, condition, tn_const_int(&b, TN_BOOL, 1));
}

/* ---- carried and scanned values ------------------------------------------------------------------------ */

struct needs {
  tn_arena *scratch;
  bool *seen; /* by value id */
  TN_VEC(struct tn_value *) work;
};

static void need(struct needs *n, struct tn_value *value) {
  if (value && !n->seen[value->id]) {
    n->seen[value->id] = true;
    TN_PUSH(n->scratch, &n->work, value);
  }
}

/* Everything that is read to compute what is in `work`, regions included. */
static void follow(struct needs *n) {
  while (n->work.count > 0) {
    const struct tn_node *node = n->work.at[--n->work.count]->def;
    if (!node)
      continue;
    for (int i = 0; i < node->in_count; i++)
      need(n, node->in[i]);
    for (int r = 0; r < node->region_count; r++)
      for (size_t i = 0; i < node->region[r]->outputs.count; i++)
        need(n, node->region[r]->outputs.at[i]);
  }
}

/* keep: by result.  Whether any of them goes. */
static bool find_unneeded(struct tn_pass *pass, const struct tn_node *loop, bool *keep) {
  const struct tn_graph *body = loop->region[0];
  int carried = loop->in_count - 2;
  struct needs n = {.scratch = pass->scratch,
                    .seen = TN_NEW_ARRAY(pass->scratch, bool, loop->home->module->next_id)};
  need(&n, body->outputs.at[0]);
  for (int i = 0; i < loop->out_count; i++) {
    keep[i] = !tn_value_unused(loop->out[i]);
    if (keep[i])
      need(&n, body->outputs.at[1 + i]);
  }
  /* What the needed ones read of the previous iteration is needed too. */
  follow(&n);
  for (bool changed = true; changed;) {
    changed = false;
    for (int i = 0; i < carried; i++)
      if (!keep[i] && n.seen[body->inputs.at[2 + i]->id]) {
        changed = keep[i] = true;
        need(&n, body->outputs.at[1 + i]);
        follow(&n);
      }
  }
  bool any = false;
  for (int i = 0; i < loop->out_count; i++) {
    /* Handed on as it is: the initial value in every iteration. */
    if (i < carried && body->outputs.at[1 + i] == body->inputs.at[2 + i] &&
        tn_type_equal(&loop->in[2 + i]->type, &body->inputs.at[2 + i]->type))
      keep[i] = false;
    any |= !keep[i];
  }
  return any;
}

/* Puts in its place the same loop without the carried and scanned values that are not kept.  One that goes has
 * its initial value in the body: it is invariant, or nothing that stays reads it. */
static void rebuild(struct tn_pass *pass, struct tn_node *loop, const bool *keep) {
  const struct tn_graph *body = loop->region[0];
  tn_arena *scratch = pass->scratch;
  int carried = loop->in_count - 2, ins = 2, outs = 0;
  struct tn_value **in = TN_NEW_ARRAY(scratch, struct tn_value *, loop->in_count);
  in[0] = loop->in[0];
  in[1] = loop->in[1];
  for (int i = 0; i < loop->out_count; i++) {
    outs += keep[i];
    if (i < carried && keep[i])
      in[ins++] = loop->in[2 + i];
  }
  struct tn_build b = tn_build_before(loop);
  struct tn_node *made = tn_node_make(&b, TN_LOOP, ins, in, outs);
  memcpy(made->attr, loop->attr, sizeof made->attr);
  struct tn_graph *region = tn_graph_create(loop->home->module, made);
  struct tn_value **args = TN_NEW_ARRAY(scratch, struct tn_value *, body->inputs.count);
  struct tn_value **results = TN_NEW_ARRAY(scratch, struct tn_value *, body->outputs.count);
  for (size_t i = 0; i < body->inputs.count; i++) {
    const struct tn_value *input = body->inputs.at[i];
    args[i] = i < 2 || keep[i - 2] ? tn_graph_input(region, input->name, input->type) : loop->in[i];
  }
  tn_graph_inline(body, region, NULL, args, results);
  tn_graph_output(region, results[0]);
  for (int i = 0; i < loop->out_count; i++)
    if (keep[i])
      tn_graph_output(region, results[1 + i]);
  if (!tn_finish(&b, made))
    tn_fail_now(loop->home->module->ctx);
  for (int i = 0, k = 0; i < loop->out_count; i++) {
    if (keep[i])
      tn_pass_replace(pass, loop->out[i], made->out[k++]);
    else if (i < carried && !tn_value_unused(loop->out[i]))
      tn_pass_replace(pass, loop->out[i],
                      tn_reshape(&b, loop->in[2 + i], loop->out[i]->type.rank,
                                 loop->out[i]->type.dim)); /* can always take over a name */
  }
  /* At once: a loop around this one copies what it finds. */
  tn_node_remove(loop);
}

void tn_simplify_loop(struct tn_pass *pass, struct tn_node *loop) {
  hoist(pass, loop);
  condition_holds(pass, loop->region[0]);
  bool *keep = TN_NEW_ARRAY(pass->scratch, bool, loop->out_count + 1);
  if (any_used(loop) && find_unneeded(pass, loop, keep))
    rebuild(pass, loop, keep);
}
