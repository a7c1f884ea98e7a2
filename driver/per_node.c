/* verify --per-node: the model's nodes are computed one by one from their definitions by the interpreter,
 * beside the compiled kernels at -O0, to name the first node whose code and definition disagree. */
#include "driver/driver.h"

#include "codegen/nest.h"

#include <inttypes.h>

/* Data of every value, computed by interpreting the nests; NULL for what is not known. */
struct state {
  tn_ctx *ctx;
  struct tn_map data; /* value name -> bytes */
};

static void *data_of(struct state *s, const struct tn_value *v) {
  const struct tn_tensor *t = tn_value_tensor(v);
  if (t)
    return (void *)(uintptr_t)t->data;
  if (v->def && (tn_op_info(v->def->op)->flags & TN_VIEW))
    return data_of(s, v->def->in[0]);
  return tn_map_get(&s->data, v->name);
}

static bool interpret_node(struct state *s, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(s->ctx);
  struct tn_nest *nest = tn_lower_node(arena, node);
  if (!nest)
    return false;
  for (int i = 0; i < node->out_count; i++) {
    int64_t bytes;
    tn_type_bytes(&node->out[i]->type, &bytes);
    tn_map_set(&s->data, node->out[i]->name, tn_alloc_raw(arena, (size_t)bytes + 64, 64));
  }
  void **data = TN_NEW_ARRAY(arena, void *, nest->bufs.count + 1);
  for (size_t i = 0; i < nest->bufs.count; i++) {
    const struct tn_buf *b = nest->bufs.at[i];
    if (b->param < 0)
      continue;
    data[b->param] = b->data ? (void *)(uintptr_t)b->data->data : data_of(s, b->value);
    if (!data[b->param])
      return false;
  }
  return tn_interpret(s->ctx, nest, data);
}

/* One kernel compiled alone, as a module of its own, and run on the same operands. */
static char *kernel_differs(struct state *s, const struct tn_options *o, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(s->ctx);
  struct tn_module *m = tn_module_create(s->ctx, "node", o->model);
  struct tn_value **args = TN_NEW_ARRAY(arena, struct tn_value *, node->in_count + 1);
  TN_VEC(const void *) inputs = {0};
  for (int i = 0; i < node->in_count; i++) {
    if (!node->in[i])
      continue;
    struct tn_build b = tn_build_at_end(m->main);
    const struct tn_tensor *constant = tn_value_tensor(node->in[i]);
    if (constant) {
      args[i] = tn_constant(&b, constant);
      continue;
    }
    args[i] = tn_graph_input(m->main, node->in[i]->name, node->in[i]->type);
    TN_PUSH(arena, &inputs, data_of(s, node->in[i]));
  }
  struct tn_value **outs = TN_NEW_ARRAY(arena, struct tn_value *, node->out_count + 1);
  tn_graph_inline(node->region[0], m->main, NULL, args, outs);
  for (int i = 0; i < node->out_count; i++)
    tn_graph_output(m->main, outs[i]);
  struct tn_pass_options p = {.level = o->opt};
  struct tn_target_options t = {
      .cpu = o->cpu, .features = o->features, .opt = o->opt, .small = o->small, .threads = 1};
  struct tn_codegen *cg = tn_run_passes(m, &p) ? tn_codegen(m, &t, (struct tn_hash){0}) : NULL;
  tn_run_function *run = cg ? tn_codegen_load(cg, NULL) : NULL;
  if (!run)
    return tn_printf(arena, "node '%s' cannot be compiled alone", node->name);
  void **results = TN_NEW_ARRAY(arena, void *, node->out_count + 1);
  struct tn_tensor *got = TN_NEW_ARRAY(arena, struct tn_tensor, node->out_count + 1);
  for (int i = 0; i < node->out_count; i++) {
    int64_t bytes;
    tn_type_bytes(&node->out[i]->type, &bytes);
    results[i] = tn_alloc_raw(arena, (size_t)bytes + 64, 64);
    got[i] = (struct tn_tensor){.type = node->out[i]->type, .data = results[i], .bytes = (size_t)bytes};
  }
  run(inputs.at, results, tn_alloc_raw(arena, (size_t)tn_codegen_facts(cg)->arena_bytes + 64, 64));
  for (int i = 0; i < node->out_count; i++) {
    struct tn_tensor want = got[i];
    want.data = data_of(s, node->out[i]);
    char *why = tn_compare(arena, node->out[i]->name, &got[i], &want, (struct tn_tolerance){o->rtol, o->atol});
    if (why)
      return tn_printf(arena, "the first node whose code differs from its definition is '%s' (%s): %s",
                       node->name, node->origin ? node->origin : "kernel", why);
  }
  return NULL;
}

const char *tn_first_difference(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built,
                                const struct tn_tensor *inputs) {
  struct state s = {.ctx = ctx};
  tn_map_init(&s.data, tn_ctx_arena(ctx));
  struct tn_graph *g = built->module->main;
  for (size_t i = 0; i < g->inputs.count; i++)
    tn_map_set(&s.data, g->inputs.at[i]->name, (void *)(uintptr_t)inputs[built->live.at[i]].data);
  for (struct tn_node *n = g->first; n; n = n->next) {
    if (n->op == TN_LOOP || n->op == TN_IF)
      return tn_printf(
          tn_ctx_arena(ctx),
          "every node up to '%s' (%s) computes what its definition says; control flow is not followed further",
          n->name, n->origin ? n->origin : tn_op_info(n->op)->name);
    if (n->op != TN_KERNEL)
      continue;
    if (!interpret_node(&s, n))
      return tn_printf(tn_ctx_arena(ctx), "node '%s' cannot be interpreted", n->name);
    char *why = kernel_differs(&s, o, n);
    if (why)
      return why;
  }
  return "every node's code computes what its definition says: look at the definitions or the import";
}
