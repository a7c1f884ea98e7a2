/* The memory plan: by hand on small graphs, and on random ones by running them on a memory in which every byte
 * knows which value wrote it last. */
#include "pass_check.h"

static const struct tn_pass_options options = {.level = 1, .verify_each = true};

/* ---- by hand ------------------------------------------------------------------------------------------- */

static struct tn_storage place_of(struct tn_module *module, const char *name) {
  const struct tn_value *value = tn_map_get(&module->names, name);
  if (!value)
    fail_msg("there is no value '%s' in\n%s", name, graph_text(module));
  return value->storage;
}

static void lives(struct tn_module *module, const char *name, enum tn_place place, int64_t index) {
  struct tn_storage found = place_of(module, name);
  if (found.place != place || found.index != index)
    fail_msg("'%s': expected place %d at %lld in\n%s", name, place, (long long)index, graph_text(module));
}

static void share(struct tn_module *module, const char *a, const char *b, bool wanted) {
  struct tn_storage x = place_of(module, a), y = place_of(module, b);
  if ((x.place == y.place && x.index == y.index) != wanted)
    fail_msg("'%s' and '%s' %s share storage in\n%s", a, b, wanted ? "must" : "must not", graph_text(module));
}

#define UNARY(name, op, x, type)                                                                               \
  "  %" name " = kernel(%" x ") graph(%" name "_i: " type ") {\n    %" name "_o = " op "(%" name "_i) : " type \
  "\n    return %" name "_o\n  } : " type "\n"

static void places_by_kind(void **state) {
  struct tn_module *module =
      after_pass(*state, "plan", &options,
                 "graph(%x: f32[4], %z: f32[4]) {\n"
                 "  %c = constant {value = f32[4] [1, 2, 3, 4]} : f32[4]\n"
                 "  %d = constant {value = f32[2,2] [1, 2, 3, 4]} : f32[2,2]\n"
                 "  %e = constant {value = f32[3] [1, 2, 3]} : f32[3]\n"
                 "  %unused = constant {value = f32[1] [7]} : f32[1]\n"
                 "  %v = reshape(%d) {shape = [4]} : f32[4]\n"
                 "  %a = kernel(%x, %c) graph(%p: f32[4], %q: f32[4]) {\n"
                 "    %r = add(%p, %q) : f32[4]\n"
                 "    return %r\n"
                 "  } : f32[4]\n"
                 "  %b = kernel(%e) graph(%s: f32[3]) {\n"
                 "    %t = exp(%s) : f32[3]\n"
                 "    return %t\n"
                 "  } : f32[3]\n"
                 "  %w = reshape(%a) {shape = [2, 2]} : f32[2,2]\n"
                 "  %y = kernel(%w, %v, %b) graph(%g: f32[2,2], %h: f32[4], %k: f32[3]) {\n"
                 "    %l = reshape(%h) {shape = [2, 2]} : f32[2,2]\n"
                 "    %m = add(%g, %l) : f32[2,2]\n"
                 "    %n = reduce_sum(%k) {axes = [0], keepdims = 0} : f32[]\n"
                 "    %o = add(%m, %n) : f32[2,2]\n"
                 "    return %o\n"
                 "  } : f32[2,2]\n"
                 "  return %y\n}\n");
  lives(module, "x", TN_IN_INPUT, 0);
  lives(module, "z", TN_IN_INPUT, 1);
  lives(module, "y", TN_IN_OUTPUT, 0);
  lives(module, "c", TN_IN_WEIGHTS, 0);
  share(module, "c", "d", true); /* the same bytes */
  share(module, "v", "d", true);
  lives(module, "e", TN_IN_WEIGHTS, 16);
  lives(module, "unused", TN_NOWHERE, 0);
  share(module, "w", "a", true);
  share(module, "a", "b", false);
  assert_int_equal(place_of(module, "a").place, TN_IN_ARENA);
  assert_int_equal(module->weight_bytes, 28);
  assert_int_equal(module->arena_bytes, 128);
  assert_int_equal(module->arena_low_bound, 128);
}

static void elementwise_in_place(void **state) {
  struct tn_module *module =
      after_pass(*state, "plan", &options,
                 "graph(%x: f32[100]) {\n" UNARY("a", "exp", "x", "f32[100]") UNARY("b", "neg", "a", "f32[100]")
                     UNARY("c", "exp", "b", "f32[100]") "  %y = kernel(%c) graph(%p: f32[100]) {\n"
                                                        "    %q = reduce_sum(%p) {axes = [0]} : f32[1]\n"
                                                        "    return %q\n"
                                                        "  } : f32[1]\n"
                                                        "  return %y\n}\n");
  share(module, "a", "b", true);
  share(module, "b", "c", true);
  assert_int_equal(module->arena_bytes, 448);
}

static void not_in_place_when_read_elsewhere(void **state) {
  struct tn_module *module = after_pass(
      *state, "plan", &options,
      "graph(%x: f32[10,10]) {\n" UNARY("a", "exp", "x", "f32[10,10]") UNARY("z", "neg", "a", "f32[10,10]")
          UNARY("b", "neg", "a", "f32[10,10]") "  %c = kernel(%b) graph(%p: f32[10,10]) {\n"
                                               "    %q = transpose(%p) {perm = [1, 0]} : f32[10,10]\n"
                                               "    return %q\n"
                                               "  } : f32[10,10]\n" UNARY("y", "neg", "c", "f32[10,10]") UNARY(
                                                   "w", "exp", "a", "f32[10,10]") "  return %y, %z, %w\n}\n");
  share(module, "a", "b", false); /* a is read later */
  share(module, "b", "c", false); /* a transpose reads what it has overwritten */
  share(module, "c", "y", true);
}

static void outputs_of_their_own(void **state) {
  struct tn_module *module = after_pass(*state, "plan", &options,
                                        "graph(%x: f32[4]) {\n"
                                        "  %c = constant {value = f32[4] [1, 2, 3, 4]} : f32[4]\n" UNARY(
                                            "a", "exp", "x", "f32[4]") "  %v = reshape(%a) {shape = [2, 2]} : "
                                                                       "f32[2,2]\n"
                                                                       "  %u = reshape(%a) {shape = [4, 1]} : "
                                                                       "f32[4,1]\n"
                                                                       "  return %v, %a, %u, %c, %x\n}\n");
  assert_int_equal(module->main->outputs.count, 5);
  const char *names[] = {"v", "a", "u", "c", "x.copy"};
  for (int i = 0; i < 5; i++) {
    const struct tn_value *output = module->main->outputs.at[i];
    assert_int_equal(output->storage.place, TN_IN_OUTPUT);
    assert_int_equal(output->storage.index, i);
    assert_string_equal(output->name, names[i]);
  }
  assert_int_equal(module->arena_bytes, 0);
}

#define BODY(step) \
  "  %b = kernel(%h) graph(%p: f32[8]) {\n    %q = " step " : f32[8]\n    return %q\n  } : f32[8]\n"

static void a_loop_carries_in_place(void **state) {
  struct tn_module *module = after_pass(
      *state, "plan", &options,
      "graph(%x: f32[8], %n: i64[], %t: bool[]) {\n" UNARY(
          "a", "exp", "x", "f32[8]") "  %l = loop(%n, %t, %a) graph(%i: i64[], %c: bool[], %h: f32[8]) "
                                     "{\n" BODY("neg(%p)") "    return %c, %b\n"
                                                           "  } : f32[8]\n" UNARY("y", "exp", "l",
                                                                                  "f32[8]") "  return %y\n}\n");
  share(module, "l", "h", true);
  share(module, "a", "h", true); /* computed into place */
  share(module, "b", "h", true);
  share(module, "y", "h", true); /* and all that in the output's buffer */
  lives(module, "y", TN_IN_OUTPUT, 0);
}

static void a_loop_that_must_copy(void **state) {
  struct tn_module *module = after_pass(
      *state, "plan", &options,
      "graph(%x: f32[8], %n: i64[], %t: bool[]) {\n" UNARY(
          "a", "exp", "x", "f32[8]") "  %l, %k, %s = loop(%n, %t, %a, %a) {trip = 3} graph(%i: i64[], %c: "
                                     "bool[], %h: f32[8], %g: f32[8]) {\n"
                                     "  %b = kernel(%h) graph(%p: f32[8]) {\n"
                                     "    %q = slice(%p) {starts = [7], steps = [-1], sizes = [8]} : f32[8]\n"
                                     "    return %q\n"
                                     "  } : f32[8]\n"
                                     "    return %c, %b, %h, %g\n"
                                     "  } : f32[8], f32[8], f32[3,8]\n"
                                     "  return %l, %k, %s\n}\n");
  share(module, "b", "h", false); /* read backwards while it is written */
  share(module, "h", "g", false);
  const struct tn_graph *body = ((struct tn_value *)tn_map_get(&module->names, "l"))->def->region[0];
  assert_string_equal(body->outputs.at[2]->name, "h.copy"); /* h is overwritten before g takes it */
  assert_string_equal(body->outputs.at[3]->name, "g");
  lives(module, "l", TN_IN_OUTPUT, 0);
  lives(module, "s", TN_IN_OUTPUT, 2);
}

static void branches_fill_the_result(void **state) {
  struct tn_module *module = after_pass(
      *state, "plan", &options,
      "graph(%x: f32[8], %t: bool[]) {\n"
      "  %r, %s = if(%t) graph() {\n" UNARY(
          "a", "exp", "x", "f32[8]") "    return %a, %a\n"
                                     "  } graph() {\n" UNARY("b", "neg", "x", "f32[8]") "    return %b, %x\n"
                                                                                        "  } : f32[8], f32[8]\n"
                                                                                        "  return %r, %s\n}\n");
  share(module, "a", "r", true);
  share(module, "b", "r", true);
  lives(module, "r", TN_IN_OUTPUT, 0);
  lives(module, "s", TN_IN_OUTPUT, 1);
}

static void bounded_dims_take_their_bound(void **state) {
  struct tn_module *module =
      after_pass(*state, "plan", &options,
                 "symbol N = 1..10\n"
                 "graph(%x: f32[N,16]) {\n" UNARY(
                     "a", "exp", "x", "f32[N,16]") "  %y = kernel(%a) graph(%p: f32[N,16]) {\n"
                                                   "    %q = transpose(%p) {perm = [1, 0]} : f32[16,N]\n"
                                                   "    return %q\n"
                                                   "  } : f32[16,N]\n"
                                                   "  return %y\n}\n");
  assert_int_equal(module->arena_bytes, 640);
}

static void a_dim_without_bound_is_an_error(void **state) {
  struct tn_module *module =
      read_module(*state, "symbol N\n"
                          "graph(%x: f32[N,16]) {\n" UNARY("y", "exp", "x", "f32[N,16]") "  return %y\n}\n");
  assert_false(tn_run_pass(module, "plan", &options));
  size_t count;
  const struct tn_diag *diags = tn_diags(*state, &count);
  assert_int_equal(diags[0].severity, TN_ERROR);
  assert_string_equal(diags[0].node, "x");
  assert_non_null(strstr(diags[0].text, "--dim"));
}

/* ---- a memory that knows who wrote it ------------------------------------------------------------------ */

#define MEMORY 65536

struct machine {
  tn_ctx *ctx;
  struct tn_module *module;
  uint64_t *bytes[5]; /* by place, at index * MEMORY for inputs and outputs */
  uint64_t *token;    /* by value id: what its storage must hold */
  uint64_t next;
  int trips; /* of every loop */
  bool branch;
};

static uint64_t *memory_of(struct machine *m, const struct tn_value *value) {
  struct tn_storage at = value->storage;
  int64_t bytes;
  assert_true(tn_type_bytes(&value->type, &bytes) && bytes < MEMORY);
  assert_int_not_equal(at.place, TN_NOWHERE);
  if (at.place == TN_IN_INPUT || at.place == TN_IN_OUTPUT)
    return m->bytes[at.place] + at.index * MEMORY;
  if (at.place == TN_IN_ARENA) {
    assert_int_equal(at.index % TN_PLAN_ALIGN, 0);
    assert_true(at.index + bytes <= m->module->arena_bytes);
  } else {
    assert_true(at.index + bytes <= m->module->weight_bytes);
  }
  return m->bytes[at.place] + at.index;
}

static void write_bytes(struct machine *m, const struct tn_value *value, int64_t from, int64_t count,
                        uint64_t token) {
  assert_true(value->storage.place == TN_IN_ARENA || value->storage.place == TN_IN_OUTPUT);
  uint64_t *memory = memory_of(m, value);
  for (int64_t i = 0; i < count; i++)
    memory[from + i] = token;
}

static void write_value(struct machine *m, const struct tn_value *value, uint64_t token) {
  int64_t bytes;
  tn_type_bytes(&value->type, &bytes);
  write_bytes(m, value, 0, bytes, token);
  m->token[value->id] = token;
}

static void read_value(struct machine *m, const struct tn_value *value) {
  int64_t bytes;
  tn_type_bytes(&value->type, &bytes);
  const uint64_t *memory = memory_of(m, value);
  for (int64_t i = 0; i < bytes; i++)
    if (memory[i] != m->token[value->id])
      fail_msg("'%s' was overwritten before it was read, in\n%s", value->name, graph_text(m->module));
}

/* The value to as a copy of from, unless it is there already. */
static void copy_value(struct machine *m, const struct tn_value *from, const struct tn_value *to) {
  read_value(m, from);
  if (from->storage.place != to->storage.place || from->storage.index != to->storage.index)
    write_value(m, to, m->token[from->id]);
  m->token[to->id] = m->token[from->id];
}

static void run_graph(struct machine *m, const struct tn_graph *graph);

static void run_loop(struct machine *m, const struct tn_node *node) {
  const struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  read_value(m, node->in[1]);
  for (int i = 0; i < carried; i++)
    read_value(m, node->in[2 + i]);
  for (int i = 0; i < carried; i++)
    copy_value(m, node->in[2 + i], body->inputs.at[2 + i]);
  write_value(m, body->inputs.at[1], ++m->next);
  uint64_t rows[8][8];
  for (int trip = 0; trip < m->trips; trip++) {
    write_value(m, body->inputs.at[0], ++m->next);
    run_graph(m, body);
    for (int i = carried; i < node->out_count; i++) {
      const struct tn_value *from = body->outputs.at[1 + i];
      int64_t bytes;
      tn_type_bytes(&from->type, &bytes);
      read_value(m, from);
      rows[i][trip] = m->token[from->id];
      write_bytes(m, node->out[i], trip * bytes, bytes, rows[i][trip]);
    }
    copy_value(m, body->outputs.at[0], body->inputs.at[1]);
    for (int i = 0; i < carried; i++)
      copy_value(m, body->outputs.at[1 + i], body->inputs.at[2 + i]);
    read_value(m, node->in[0]);
  }
  for (int i = 0; i < carried; i++)
    m->token[node->out[i]->id] = m->token[body->inputs.at[2 + i]->id];
  for (int i = carried; i < node->out_count; i++) {
    int64_t bytes;
    tn_type_bytes(&body->outputs.at[1 + i]->type, &bytes);
    for (int64_t k = 0; k < bytes * m->trips; k++)
      if (memory_of(m, node->out[i])[k] != rows[i][k / bytes])
        fail_msg("a row of '%s' was overwritten in\n%s", node->out[i]->name, graph_text(m->module));
    write_value(m, node->out[i], ++m->next);
  }
}

static void run_graph(struct machine *m, const struct tn_graph *graph) {
  for (const struct tn_node *node = graph->first; node; node = node->next) {
    if (node->op == TN_CONSTANT)
      continue;
    if (node->op == TN_RESHAPE) {
      m->token[node->out[0]->id] = m->token[node->in[0]->id];
      continue;
    }
    if (node->op == TN_LOOP) {
      run_loop(m, node);
      continue;
    }
    for (int i = 0; i < node->in_count; i++)
      read_value(m, node->in[i]);
    if (node->op == TN_IF) {
      const struct tn_graph *branch = node->region[m->branch ? 0 : 1];
      run_graph(m, branch);
      for (int i = 0; i < node->out_count; i++)
        copy_value(m, branch->outputs.at[i], node->out[i]);
      continue;
    }
    for (int i = 0; i < node->out_count; i++)
      write_value(m, node->out[i], ++m->next);
  }
}

static void mark_constants(struct machine *m, const struct tn_graph *graph) {
  for (const struct tn_node *node = graph->first; node; node = node->next) {
    if (node->op == TN_CONSTANT && node->out[0]->storage.place == TN_IN_WEIGHTS) {
      const struct tn_tensor *tensor = tn_value_tensor(node->out[0]);
      uint64_t token = tn_hash_bytes(tensor->data, tensor->bytes).low;
      uint64_t *memory = memory_of(m, node->out[0]);
      for (size_t i = 0; i < tensor->bytes; i++) {
        assert_true(memory[i] == 0 || memory[i] == token);
        memory[i] = token;
      }
      m->token[node->out[0]->id] = token;
    }
    for (int i = 0; i < node->region_count && node->op != TN_KERNEL; i++)
      mark_constants(m, node->region[i]);
  }
}

static void run_module(tn_ctx *ctx, struct tn_module *module, int trips, bool branch) {
  tn_arena *arena = tn_arena_create(ctx);
  struct machine m = {.ctx = ctx, .module = module, .trips = trips, .branch = branch};
  const struct tn_graph *main = module->main;
  m.bytes[TN_IN_INPUT] = TN_NEW_ARRAY(arena, uint64_t, MEMORY *(main->inputs.count + 1));
  m.bytes[TN_IN_OUTPUT] = TN_NEW_ARRAY(arena, uint64_t, MEMORY *(main->outputs.count + 1));
  m.bytes[TN_IN_ARENA] = TN_NEW_ARRAY(arena, uint64_t, module->arena_bytes + 1);
  m.bytes[TN_IN_WEIGHTS] = TN_NEW_ARRAY(arena, uint64_t, module->weight_bytes + 1);
  m.token = TN_NEW_ARRAY(arena, uint64_t, module->next_id);
  mark_constants(&m, main);
  for (size_t i = 0; i < main->inputs.count; i++) {
    m.token[main->inputs.at[i]->id] = ++m.next;
    for (int64_t k = 0; k < MEMORY; k++)
      m.bytes[TN_IN_INPUT][(int64_t)i * MEMORY + k] = m.next;
  }
  run_graph(&m, main);
  for (size_t i = 0; i < main->outputs.count; i++) {
    assert_int_equal(main->outputs.at[i]->storage.place, TN_IN_OUTPUT);
    assert_int_equal(main->outputs.at[i]->storage.index, i);
    read_value(&m, main->outputs.at[i]);
  }
  tn_arena_destroy(arena);
}

/* ---- random graphs ------------------------------------------------------------------------------------- */

struct making {
  uint64_t seed;
  struct tn_value *pool[256]; /* what the graph being made may use: f32[n] and f32[n,1] */
  size_t count;
  struct tn_value *trip, *flag;
};

static uint32_t pick(struct making *m, uint32_t count) {
  m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(m->seed >> 33) % count;
}

static const tn_dim sizes[] = {1, 8, 24, 100};

static struct tn_value *any(struct making *m) {
  return m->pool[m->count - 1 - pick(m, (uint32_t)(m->count < 8 || pick(m, 4) == 0 ? m->count : 8))];
}

/* One of the same type, or NULL. */
static struct tn_value *like(struct making *m, const struct tn_value *x) {
  for (int i = 0; i < 8; i++) {
    struct tn_value *y = any(m);
    if (tn_type_equal(&x->type, &y->type))
      return y;
  }
  return NULL;
}

static void put(struct making *m, struct tn_value *value) {
  if (m->count < TN_COUNT(m->pool))
    m->pool[m->count++] = value;
}

/* A sum of two of one shape; what else is read is summed to one element first.  Sometimes in another size. */
static struct tn_value *make_kernel(struct making *m, struct tn_graph *graph) {
  struct tn_value *in[3] = {any(m), any(m), any(m)};
  int count = 1 + (int)pick(m, 3);
  struct tn_value *same = like(m, in[0]);
  if (same && pick(m, 2))
    in[1] = same;
  struct tn_build b = tn_build_at_end(graph);
  struct tn_node *kernel = tn_node_make(&b, TN_KERNEL, count, in, 1);
  struct tn_build inside = tn_build_at_end(tn_graph_create(graph->module, kernel));
  struct tn_value *sum = NULL;
  for (int i = 0; i < count; i++) {
    struct tn_value *x = tn_graph_input(inside.graph, "p", in[i]->type);
    if (i > 0 && !tn_type_equal(&in[i]->type, &in[0]->type)) {
      int64_t axes[] = {0, 1};
      x = tn_reduce(&inside, TN_REDUCE_SUM, x, axes, (size_t)x->type.rank, false);
    }
    sum = sum ? tn_binary(&inside, TN_ADD, sum, x) : tn_unary(&inside, TN_NEG, x);
  }
  if (pick(m, 4) == 0) {
    int64_t axes[] = {0, 1};
    sum = tn_reduce(&inside, TN_REDUCE_SUM, sum, axes, (size_t)sum->type.rank, false);
    sum = tn_expand(&inside, sum, 1, &sizes[pick(m, TN_COUNT(sizes))]);
  }
  tn_graph_output(inside.graph, sum);
  assert_true(tn_finish(&b, kernel));
  return kernel->out[0];
}

static void make_nodes(struct making *m, struct tn_graph *graph, int count, int depth);

static void make_loop(struct making *m, struct tn_graph *graph, int depth) {
  struct tn_value *in[5] = {m->trip, m->flag, any(m), any(m), any(m)}, *condition;
  int carried = 1 + (int)pick(m, 3), scanned = (int)pick(m, 3);
  size_t kept = m->count;
  struct tn_build b = tn_build_at_end(graph);
  struct tn_node *loop = tn_node_make(&b, TN_LOOP, 2 + carried, in, carried + scanned);
  tn_set_int(loop, TN_LOOP_trip, 3);
  struct tn_graph *body = tn_graph_create(graph->module, loop);
  tn_graph_input(body, "i", tn_type_scalar(TN_I64));
  condition = tn_graph_input(body, "c", tn_type_scalar(TN_BOOL));
  for (int i = 0; i < carried; i++)
    put(m, tn_graph_input(body, "h", in[2 + i]->type));
  make_nodes(m, body, 1 + (int)pick(m, 5), depth);
  tn_graph_output(body, condition);
  for (int i = 0; i < carried; i++) {
    struct tn_value *out = like(m, in[2 + i]);
    tn_graph_output(body, out ? out : body->inputs.at[2 + i]);
  }
  for (int i = 0; i < scanned; i++)
    tn_graph_output(body, any(m));
  assert_true(tn_finish(&b, loop));
  m->count = kept;
  for (int i = 0; i < carried; i++)
    put(m, loop->out[i]);
  for (int i = carried; i < carried + scanned; i++)
    if (loop->out[i]->type.rank <= 2)
      put(m, loop->out[i]);
}

static void make_if(struct making *m, struct tn_graph *graph, int depth) {
  struct tn_value *x = any(m), *y = any(m);
  size_t kept = m->count;
  struct tn_build b = tn_build_at_end(graph);
  struct tn_node *node = tn_node_make(&b, TN_IF, 1, &m->flag, 2);
  for (int r = 0; r < 2; r++) {
    struct tn_graph *branch = tn_graph_create(graph->module, node);
    make_nodes(m, branch, 1 + (int)pick(m, 3), depth);
    struct tn_value *a = like(m, x), *c = like(m, y);
    tn_graph_output(branch, a ? a : x);
    tn_graph_output(branch, c ? c : y);
    m->count = kept;
  }
  assert_true(tn_finish(&b, node));
  put(m, node->out[0]);
  put(m, node->out[1]);
}

static void make_nodes(struct making *m, struct tn_graph *graph, int count, int depth) {
  struct tn_build b = tn_build_at_end(graph);
  for (int i = 0; i < count; i++) {
    uint32_t kind = pick(m, 12);
    if (kind == 0 && depth > 0) {
      make_loop(m, graph, depth - 1);
    } else if (kind == 1 && depth > 0) {
      make_if(m, graph, depth - 1);
    } else if (kind <= 3) {
      struct tn_value *x = any(m);
      int64_t elements;
      tn_type_count(&x->type, &elements);
      tn_dim dims[2] = {elements, 1};
      put(m, tn_reshape(&b, x, 1 + (int)pick(m, 2), dims));
    } else if (kind == 4) {
      float data[100];
      tn_dim size = sizes[pick(m, TN_COUNT(sizes))];
      for (int k = 0; k < 100; k++)
        data[k] = (float)pick(m, 2);
      put(m, tn_constant_bytes(&b, tn_type_make(TN_F32, 1, &size), data));
    } else {
      put(m, make_kernel(m, graph));
    }
  }
}

static struct tn_module *make_module(tn_ctx *ctx, uint64_t seed) {
  struct tn_module *module = tn_module_create(ctx, "random", NULL);
  struct making m = {.seed = seed};
  m.trip = tn_graph_input(module->main, "n", tn_type_scalar(TN_I64));
  m.flag = tn_graph_input(module->main, "t", tn_type_scalar(TN_BOOL));
  for (size_t i = 0; i < TN_COUNT(sizes); i++)
    put(&m, tn_graph_input(module->main, "x", tn_type_make(TN_F32, 1, &sizes[i])));
  make_nodes(&m, module->main, 4 + (int)pick(&m, 30), 3);
  for (uint32_t i = 1 + pick(&m, 4); i > 0; i--)
    tn_graph_output(module->main, any(&m));
  return module;
}

static void random_graphs(void **state) {
  (void)state;
  int64_t peak = 0, bound = 0;
  for (uint64_t seed = 1; seed <= 600; seed++) {
    tn_ctx *ctx = tn_ctx_create(NULL);
    struct tn_module *module = make_module(ctx, seed * 7919);
    struct tn_pass_options o = {.verify_each = true};
    if (!tn_run_pass(module, "dce", &o) || !tn_run_pass(module, "plan", &o)) {
      print_diags(ctx);
      fail_msg("seed %d", (int)seed);
    }
    for (int trips = 0; trips <= 3; trips += 3)
      for (int branch = 0; branch < 2; branch++)
        run_module(ctx, module, trips, branch);
    assert_true(module->arena_low_bound <= module->arena_bytes);
    peak += module->arena_bytes;
    bound += module->arena_low_bound;
    tn_ctx_destroy(ctx);
  }
  print_message("arenas %lld, low bound %lld\n", (long long)peak, (long long)bound);
  assert_true(peak * 1000 <= bound * 1001);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(places_by_kind),
      TEST(elementwise_in_place),
      TEST(not_in_place_when_read_elsewhere),
      TEST(outputs_of_their_own),
      TEST(a_loop_carries_in_place),
      TEST(a_loop_that_must_copy),
      TEST(branches_fill_the_result),
      TEST(bounded_dims_take_their_bound),
      TEST(a_dim_without_bound_is_an_error),
      cmocka_unit_test(random_graphs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
