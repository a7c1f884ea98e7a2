/* verify --per-node: the model's kernels are computed one by one from their definitions by the interpreter, and
 * each is compiled alone and run on the same operands, to name the first whose code and definition disagree.
 * Branches and loops are followed as they run. */
#include "driver/driver.h"

#include "codegen/nest.h"

/* A kernel's definition, and its code as a module of its own. */
struct checked {
  struct tn_nest *nest;
  void **params; /* of the nest */
  struct tn_codegen *cg;
  tn_run_function *run;
  TN_VEC(const struct tn_value *) inputs; /* that the code takes: operands that are no constants */
  void **results;                         /* of the code */
  void *memory;
};

struct state {
  tn_ctx *ctx;
  const struct tn_options *o;
  struct tn_map data;    /* value name -> bytes, by the definitions */
  struct tn_map kernels; /* name of the first result -> struct checked */
};

static int64_t bytes_of(const struct tn_value *v) {
  int64_t bytes = 0;
  tn_type_bytes(&v->type, &bytes);
  return bytes;
}

static void *data_of(struct state *s, const struct tn_value *v) {
  const struct tn_tensor *t = tn_value_tensor(v);
  if (t)
    return (void *)(uintptr_t)t->data;
  if (v->def && (tn_op_info(v->def->op)->flags & TN_VIEW))
    return data_of(s, v->def->in[0]);
  return tn_map_get(&s->data, v->name);
}

/* The value's own bytes; the same ones in every turn of a loop. */
static void *room_of(struct state *s, const struct tn_value *v) {
  void *at = tn_map_get(&s->data, v->name);
  if (!at) {
    at = tn_alloc_raw(tn_ctx_arena(s->ctx), (size_t)bytes_of(v) + 64, 64);
    tn_map_set(&s->data, v->name, at);
  }
  return at;
}

static bool copy_value(struct state *s, const struct tn_value *to, const struct tn_value *from) {
  const void *data = data_of(s, from);
  if (data)
    memmove(room_of(s, to), data, (size_t)bytes_of(to));
  return data != NULL;
}

static bool interpret_kernel(struct state *s, struct checked *k, struct tn_node *node) {
  for (int i = 0; i < node->out_count; i++)
    room_of(s, node->out[i]);
  for (size_t i = 0; i < k->nest->bufs.count; i++) {
    const struct tn_buf *b = k->nest->bufs.at[i];
    if (b->param < 0)
      continue;
    k->params[b->param] = b->data ? (void *)(uintptr_t)b->data->data : data_of(s, b->value);
    if (!k->params[b->param])
      return false;
  }
  return tn_interpret(s->ctx, k->nest, k->params);
}

/* The kernel as a module of its own. */
static bool compile_kernel(struct state *s, struct checked *k, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(s->ctx);
  const struct tn_options *o = s->o;
  struct tn_module *m = tn_module_create(s->ctx, "node", o->model);
  struct tn_value **args = TN_NEW_ARRAY(arena, struct tn_value *, node->in_count + 1);
  for (int i = 0; i < node->in_count; i++) {
    if (!node->in[i])
      continue;
    struct tn_build b = tn_build_at_end(m->main);
    const struct tn_tensor *constant = tn_value_tensor(node->in[i]);
    args[i] =
        constant ? tn_constant(&b, constant) : tn_graph_input(m->main, node->in[i]->name, node->in[i]->type);
    if (!constant)
      TN_PUSH(arena, &k->inputs, node->in[i]);
  }
  struct tn_value **outs = TN_NEW_ARRAY(arena, struct tn_value *, node->out_count + 1);
  tn_graph_inline(node->region[0], m->main, NULL, args, outs);
  for (int i = 0; i < node->out_count; i++)
    tn_graph_output(m->main, outs[i]);
  struct tn_pass_options p = {.level = o->opt};
  struct tn_target_options t = {
      .cpu = o->cpu, .features = o->features, .opt = o->opt, .small = o->small, .threads = 1};
  k->cg = tn_run_passes(m, &p) ? tn_codegen(m, &t, (struct tn_hash){0}) : NULL;
  k->run = k->cg ? tn_codegen_load(k->cg, NULL) : NULL;
  if (!k->run)
    return false;
  k->results = TN_NEW_ARRAY(arena, void *, node->out_count + 1);
  for (int i = 0; i < node->out_count; i++)
    k->results[i] = tn_alloc_raw(arena, (size_t)bytes_of(node->out[i]) + 64, 64);
  k->memory = tn_alloc_raw(arena, (size_t)tn_codegen_facts(k->cg)->arena_bytes + 64, 64);
  return true;
}

static const char *kernel_differs(struct state *s, struct checked *k, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(s->ctx);
  const void **inputs = TN_NEW_ARRAY(arena, const void *, k->inputs.count + 1);
  for (size_t i = 0; i < k->inputs.count; i++)
    inputs[i] = data_of(s, k->inputs.at[i]);
  k->run(inputs, k->results, k->memory);
  for (int i = 0; i < node->out_count; i++) {
    struct tn_tensor got = {node->out[i]->type, k->results[i], (size_t)bytes_of(node->out[i])}, want = got;
    want.data = data_of(s, node->out[i]);
    char *why =
        tn_compare(arena, node->out[i]->name, &got, &want, (struct tn_tolerance){s->o->rtol, s->o->atol});
    if (why)
      return tn_printf(arena, "the first node whose code differs from its definition is '%s' (%s): %s",
                       node->name, node->origin ? node->origin : "kernel", why);
  }
  return NULL;
}

static const char *check_kernel(struct state *s, struct tn_node *node) {
  tn_arena *arena = tn_ctx_arena(s->ctx);
  struct checked *k = tn_map_get(&s->kernels, node->out[0]->name);
  if (!k) {
    k = TN_NEW(arena, struct checked);
    k->nest = tn_lower_node(arena, node);
    if (!k->nest)
      return tn_printf(arena, "node '%s' cannot be interpreted", node->name);
    k->params = TN_NEW_ARRAY(arena, void *, k->nest->bufs.count + 1);
    if (!compile_kernel(s, k, node))
      return tn_printf(arena, "node '%s' cannot be compiled alone", node->name);
    tn_map_set(&s->kernels, node->out[0]->name, k);
  }
  if (!interpret_kernel(s, k, node))
    return tn_printf(arena, "node '%s' cannot be interpreted", node->name);
  return kernel_differs(s, k, node);
}

/* ---- control flow ------------------------------------------------------------------------------------------
 */

static const char *follow(struct state *s, struct tn_graph *g);

static const char *unknown(struct state *s, const struct tn_node *node) {
  return tn_printf(tn_ctx_arena(s->ctx), "node '%s' cannot be followed: what it reads is not known",
                   node->name);
}

static const char *follow_if(struct state *s, struct tn_node *node) {
  const uint8_t *cond = data_of(s, node->in[0]);
  if (!cond)
    return unknown(s, node);
  struct tn_graph *taken = node->region[*cond ? 0 : 1];
  const char *why = follow(s, taken);
  for (int i = 0; i < node->out_count && !why; i++)
    if (!copy_value(s, node->out[i], taken->outputs.at[i]))
      why = unknown(s, node);
  return why;
}

/* As codegen/program.c emits it: carried values are the node's results from the first turn on. */
static const char *follow_loop(struct state *s, struct tn_node *node) {
  struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  const int64_t *trip = node->in[0] ? data_of(s, node->in[0]) : NULL;
  const uint8_t *first = node->in[1] ? data_of(s, node->in[1]) : NULL;
  uint8_t *go = room_of(s, body->inputs.at[1]);
  if ((node->in[0] && !trip) || (node->in[1] && !first))
    return unknown(s, node);
  *go = !first || *first;
  for (int i = 0; i < carried; i++)
    if (!copy_value(s, node->out[i], node->in[2 + i]))
      return unknown(s, node);
  for (int i = carried; i < node->out_count; i++)
    room_of(s, node->out[i]);
  for (int64_t turn = 0; *go && (!trip || turn < *trip); turn++) {
    *(int64_t *)room_of(s, body->inputs.at[0]) = turn;
    for (int i = 0; i < carried; i++)
      copy_value(s, body->inputs.at[2 + i], node->out[i]);
    const char *why = follow(s, body);
    for (size_t i = 0; i < body->outputs.count && !why; i++)
      if (!data_of(s, body->outputs.at[i]))
        why = unknown(s, node);
    if (why)
      return why;
    for (int i = 0; i < carried; i++)
      copy_value(s, node->out[i], body->outputs.at[1 + i]);
    for (int i = carried; i < node->out_count; i++) {
      const struct tn_value *row = body->outputs.at[1 + i];
      memcpy((char *)room_of(s, node->out[i]) + turn * bytes_of(row), data_of(s, row), (size_t)bytes_of(row));
    }
    copy_value(s, body->inputs.at[1], body->outputs.at[0]);
  }
  return NULL;
}

static const char *follow(struct state *s, struct tn_graph *g) {
  const char *why = NULL;
  for (struct tn_node *n = g->first; n && !why; n = n->next) {
    if (n->op == TN_IF)
      why = follow_if(s, n);
    else if (n->op == TN_LOOP)
      why = follow_loop(s, n);
    else if (n->op == TN_KERNEL)
      why = check_kernel(s, n);
  }
  return why;
}

const char *tn_first_difference(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built,
                                const struct tn_tensor *inputs) {
  struct state s = {.ctx = ctx, .o = o};
  tn_map_init(&s.data, tn_ctx_arena(ctx));
  tn_map_init(&s.kernels, tn_ctx_arena(ctx));
  struct tn_graph *g = built->module->main;
  for (size_t i = 0; i < g->inputs.count; i++)
    tn_map_set(&s.data, g->inputs.at[i]->name, (void *)(uintptr_t)inputs[built->live.at[i]].data);
  const char *why = follow(&s, g);
  return why ? why
             : "every node's code computes what its definition says: look at the definitions or the import";
}
