/* The memory plan: where every value lives at run time.  The contract with code generation is in passes.h.
 *
 * Values that must share storage form a group: a view with what it views, a loop's result with the region input
 * that carries it, a branch's output with the result of its `if`.  Groups live from the first to the last time
 * one of their members is written or read; time counts nodes in execution order, through regions.  A value from
 * outside a loop that is read inside it lives until the loop ends, for the next iteration reads it again.
 *
 * Then groups are joined where that saves a copy or a buffer (in place), and the arena places what is left. */
#include "passes/plan.h"

#include <inttypes.h>

struct group {
  struct group *parent; /* union-find; itself: the group */
  int64_t bytes;
  int32_t first, last; /* 0: never touched */
  enum tn_place place; /* TN_NOWHERE: not fixed, goes to the arena */
  int64_t index;
};

struct loop {
  struct tn_value **at; /* values from outside that the loop reads */
  size_t count, cap;
};

struct plan {
  struct tn_pass *pass;
  struct tn_module *module;
  struct group *group;         /* [next_id], by value */
  int32_t *last_use;           /* [next_id], by root value: when a node reads it, whatever its group does */
  int *depth;                  /* [next_id], by value: loops around its home */
  TN_VEC(struct loop *) loops; /* around the node being walked, outermost first */
  TN_VEC(struct tn_value *) constants; /* that are used, in order of first use */
  struct tn_map unbounded;             /* texts of dims that were reported */
  struct tn_placing *placing;          /* [next_id], by value */
  const struct tn_window **window;     /* [next_id], by value; NULL: none */
  TN_VEC(struct tn_plan_pair) pairs;   /* that may overlap */
  int32_t now;
  bool good;
};

static struct group *group_of(const struct plan *plan, const struct tn_value *value) {
  struct group *group = &plan->group[value->id];
  while (group->parent != group)
    group = group->parent = group->parent->parent;
  return group;
}

/* The groups have one storage from now on.  At most one of them is fixed. */
static void join(struct plan *plan, const struct tn_value *x, const struct tn_value *y) {
  struct group *a = group_of(plan, x), *b = group_of(plan, y);
  if (a == b)
    return;
  b->parent = a;
  a->bytes = b->bytes > a->bytes ? b->bytes : a->bytes;
  if (b->first && (!a->first || b->first < a->first))
    a->first = b->first;
  a->last = b->last > a->last ? b->last : a->last;
  if (b->place != TN_NOWHERE) {
    a->place = b->place;
    a->index = b->index;
  }
}

/* ---- sizes --------------------------------------------------------------------------------------------- */

static bool largest_bytes(struct plan *plan, const struct tn_value *value, int64_t *out) {
  int64_t bytes = (int64_t)tn_dtype_size(value->type.dtype);
  for (int d = 0; d < value->type.rank; d++) {
    tn_dim dim = value->type.dim[d];
    int64_t extent = tn_dim_static(dim) ? dim : plan->module->symbols.at[-1 - dim].high;
    struct tn_where where = {plan->module->file, value->name, NULL};
    if (extent == INT64_MAX) {
      const char *text = tn_dim_text(plan->module, dim);
      if (tn_map_has(&plan->unbounded, text))
        return false;
      tn_map_set(&plan->unbounded, text, plan);
      tn_report(plan->module->ctx, TN_ERROR, where,
                "dimension %d is '%s', which has no upper bound, so its memory cannot be planned; bind the "
                "symbols in "
                "it with --dim NAME=N or --dim NAME=LO..HI",
                d, text);
      return false;
    }
    if (!tn_mul_i64(bytes, extent, &bytes)) {
      tn_report(plan->module->ctx, TN_ERROR, where, "its size in bytes does not fit 64 bits");
      return false;
    }
  }
  *out = bytes;
  return true;
}

/* ---- lifetimes ----------------------------------------------------------------------------------------- */

static void extend(struct plan *plan, const struct tn_value *value, int32_t time) {
  struct group *group = group_of(plan, value);
  if (!group->first || time < group->first)
    group->first = time;
  if (time > group->last)
    group->last = time;
}

static void add_value(struct plan *plan, struct tn_value *value) {
  plan->depth[value->id] = (int)plan->loops.count;
  plan->good &= largest_bytes(plan, value, &group_of(plan, value)->bytes);
}

/* A node reads the value now. */
static void read_value(struct plan *plan, struct tn_value *value) {
  if (!value)
    return;
  struct tn_value *root = tn_plan_root(value);
  if (root->def && root->def->op == TN_CONSTANT) {
    if (!plan->last_use[root->id])
      TN_PUSH(plan->pass->scratch, &plan->constants, root);
    plan->last_use[root->id] = plan->now;
    return;
  }
  plan->last_use[root->id] = plan->now;
  extend(plan, root, plan->now);
  size_t outside = (size_t)plan->depth[root->id];
  if (outside < plan->loops.count) {
    struct loop *loop = plan->loops.at[outside]; /* the outermost loop that it is outside of */
    TN_PUSH(plan->pass->scratch, loop, root);
  }
}

static void walk(struct plan *plan, struct tn_graph *graph);

static void walk_loop(struct plan *plan, struct tn_node *node) {
  struct tn_graph *body = node->region[0];
  int carried = node->in_count - 2;
  struct loop *loop = TN_NEW(plan->pass->scratch, struct loop);
  int32_t begin = plan->now;
  TN_PUSH(plan->pass->scratch, &plan->loops, loop);
  for (size_t i = 0; i < body->inputs.count; i++) {
    add_value(plan, body->inputs.at[i]);
    if ((int)i >= 2)
      join(plan, node->out[i - 2], body->inputs.at[i]);
    extend(plan, body->inputs.at[i], begin);
  }
  walk(plan, body);
  plan->now++;
  for (size_t i = 0; i < body->outputs.count; i++)
    read_value(plan, body->outputs.at[i]);
  plan->loops.count--;
  for (size_t i = 0; i < body->inputs.count; i++)
    extend(plan, body->inputs.at[i], plan->now);
  for (int i = carried; i < node->out_count; i++) { /* scanned: written row by row */
    extend(plan, node->out[i], begin);
    extend(plan, node->out[i], plan->now);
  }
  for (size_t i = 0; i < loop->count; i++)
    extend(plan, loop->at[i], plan->now);
  read_value(plan, node->in[0]);
}

/* A value that a branch computes itself can be computed into the result of the `if`. */
static bool branch_may_fill(const struct plan *plan, const struct tn_node *node, int i, struct tn_value *root,
                            const struct tn_graph *branch) {
  const struct group *result = group_of(plan, node->out[i]), *filled = group_of(plan, root);
  if (!root->def || root->home != branch || root->def->op == TN_CONSTANT || filled->bytes != result->bytes)
    return false;
  for (int k = 0; k < node->out_count; k++) /* it fills another result already */
    if (k != i && group_of(plan, node->out[k]) == filled)
      return false;
  return true;
}

static void walk_if(struct plan *plan, struct tn_node *node) {
  int32_t begin = plan->now;
  for (int r = 0; r < node->region_count; r++) {
    struct tn_graph *branch = node->region[r];
    walk(plan, branch);
    plan->now++;
    for (int i = 0; i < node->out_count; i++) {
      struct tn_value *root = tn_plan_root(branch->outputs.at[i]);
      read_value(plan, root);
      if (branch_may_fill(plan, node, i, root, branch))
        join(plan, node->out[i], root);
      else
        extend(plan, node->out[i], begin);
    }
  }
  for (int i = 0; i < node->out_count; i++)
    extend(plan, node->out[i], plan->now);
}

static void walk(struct plan *plan, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    tn_pass_at(plan->pass, node);
    plan->now++;
    for (int i = 0; i < node->out_count; i++)
      add_value(plan, node->out[i]);
    if (node->op == TN_CONSTANT)
      continue;
    if (tn_op_info(node->op)->flags & TN_VIEW) {
      join(plan, tn_plan_root(node->in[0]), node->out[0]);
      continue;
    }
    for (int i = 0; i < node->in_count; i++)
      read_value(plan, node->in[i]);
    if (node->op == TN_LOOP) {
      walk_loop(plan, node);
    } else if (node->op == TN_IF) {
      walk_if(plan, node);
    } else if (node->op == TN_KERNEL) {
      for (int i = 0; i < node->out_count; i++)
        extend(plan, node->out[i], plan->now);
    } else {
      tn_bug(plan->module->ctx, "plan: node '%s' (%s) is in no kernel", node->name, tn_op_info(node->op)->name);
    }
  }
}

/* ---- sharing ------------------------------------------------------------------------------------------- */

/* Whether the value's buffer is free for another use from `time` on; the reader at `time` itself comes last. */
static bool dies_at(const struct plan *plan, struct tn_value *value, int32_t time) {
  const struct tn_value *root = tn_plan_root(value);
  const struct group *group = group_of(plan, root);
  return root->def && root->def->op != TN_CONSTANT && group->place == TN_NOWHERE && group->last == time;
}

/* Both have the same place in the buffer when they share one. */
static bool same_window(const struct plan *plan, struct tn_value *operand, const struct tn_value *result) {
  const struct tn_window *a = plan->window[operand->id], *b = plan->window[result->id];
  if (!a || !b)
    return a == b;
  return tn_shape_equal(&operand->type, &result->type) && a->offset == b->offset &&
         memcmp(a->stride, b->stride, (size_t)result->type.rank * sizeof *a->stride) == 0;
}

/* Every operand with the same storage as operand `index` allows it. */
static bool overwrites_safely(const struct plan *plan, const struct tn_node *kernel, int index) {
  const struct group *group = group_of(plan, tn_plan_root(kernel->in[index]));
  for (int i = 0; i < kernel->in_count; i++)
    if (kernel->in[i] && group_of(plan, tn_plan_root(kernel->in[i])) == group &&
        !tn_plan_same_elements(kernel, i))
      return false;
  return true;
}

/* The window of the operand's buffer that the result's buffer may be, so that result and operand lie at the
 * same place: both were put there by pads, and the result's border is within the operand's.  False: it may not.
 */
static bool window_of_pad(const struct plan *plan, const struct tn_value *operand,
                          const struct tn_value *result, struct tn_window *out) {
  const struct tn_placing *a = &plan->placing[operand->id], *b = &plan->placing[result->id];
  if (!a->parent || !b->parent || a->reshaped || b->reshaped || plan->placing[a->parent->id].parent ||
      !tn_plan_may_take_window(b->parent, plan->placing))
    return false;
  int64_t stride = 1;
  *out = (struct tn_window){0};
  for (int d = result->type.rank - 1; d >= 0; d--) {
    int64_t shift = a->start[d] - b->start[d], extent = a->parent->type.dim[d];
    if (a->step[d] != 1 || b->step[d] != 1 || shift < 0 || shift + b->parent->type.dim[d] > extent)
      return false;
    out->offset += shift * stride;
    out->stride[d] = stride;
    stride *= extent;
  }
  return true;
}

/* Gives the result the place of the operand in its buffer; false: that cannot be. */
static bool take_window(struct plan *plan, struct tn_value *operand, struct tn_value *result) {
  struct tn_window whole;
  if (same_window(plan, operand, result))
    return group_of(plan, tn_plan_root(operand))->bytes == group_of(plan, result)->bytes;
  if (!plan->window[operand->id] || !tn_shape_equal(&operand->type, &result->type))
    return false;
  if (!plan->window[result->id]) {
    if (!tn_plan_may_take_window(result, plan->placing))
      return false;
  } else {
    if (!window_of_pad(plan, operand, result, &whole))
      return false;
    struct tn_window *kept = TN_NEW(plan->pass->scratch, struct tn_window);
    *kept = whole;
    plan->window[plan->placing[result->id].parent->id] = kept;
  }
  plan->window[result->id] = plan->window[operand->id];
  return true;
}

static void share_in_kernel(struct plan *plan, struct tn_node *kernel, int32_t time) {
  struct tn_value *out = kernel->out[0];
  if (group_of(plan, out)->first != time)
    return;
  for (int i = 0; i < kernel->in_count; i++) {
    struct tn_value *in = kernel->in[i];
    if (in && dies_at(plan, in, time) && overwrites_safely(plan, kernel, i) && take_window(plan, in, out)) {
      join(plan, out, tn_plan_root(in));
      return;
    }
  }
}

/* A body's output may be computed into the carried storage when the old value is no longer read. */
static void share_carried(struct plan *plan, struct tn_node *node, int32_t begin) {
  struct tn_graph *body = node->region[0];
  for (int i = 0; i < node->in_count - 2; i++) {
    struct tn_value *old = body->inputs.at[2 + i], *root = tn_plan_root(body->outputs.at[1 + i]);
    struct group *group = group_of(plan, root), *carried = group_of(plan, old);
    if (!root->def || root->home != body || root->def->op == TN_CONSTANT || group->place != TN_NOWHERE ||
        group->bytes != carried->bytes || group->first <= begin /* carried itself, here or elsewhere */)
      continue;
    int32_t last = plan->last_use[old->id];
    bool free = group->first > last;
    if (group->first == last && root->def->op == TN_KERNEL)
      for (int k = 0; k < root->def->in_count; k++)
        free |=
            root->def->in[k] && tn_plan_root(root->def->in[k]) == old && overwrites_safely(plan, root->def, k);
    if (free)
      join(plan, old, root);
  }
}

/* The initial operand may be computed into the carried storage. */
static void share_initial(struct plan *plan, struct tn_node *node, int32_t begin) {
  for (int i = 0; i < node->in_count - 2; i++) {
    struct tn_value *initial = node->in[2 + i];
    struct group *carried = group_of(plan, node->out[i]);
    if (carried->first == begin && dies_at(plan, initial, begin) &&
        group_of(plan, tn_plan_root(initial))->bytes == carried->bytes)
      join(plan, node->out[i], tn_plan_root(initial));
  }
}

/* Goes over the nodes with the same clock as walk(). */
static void share(struct plan *plan, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    int32_t time = ++plan->now;
    if (node->op == TN_KERNEL)
      share_in_kernel(plan, node, time);
    if (node->op == TN_LOOP) {
      share_initial(plan, node, time);
      share_carried(plan, node, time);
      share(plan, node->region[0]);
      plan->now++;
    } else if (node->op == TN_IF) {
      for (int r = 0; r < node->region_count; r++) {
        share(plan, node->region[r]);
        plan->now++;
      }
    }
  }
}

/* ---- placing ------------------------------------------------------------------------------------------- */

static void fix(struct plan *plan, struct tn_value *value, enum tn_place place, int64_t index) {
  struct group *group = group_of(plan, tn_plan_root(value));
  if (group->place != TN_NOWHERE)
    tn_bug(plan->module->ctx, "plan: '%s' has two places", value->name);
  group->place = place;
  group->index = index;
}

/* Vector loads go up to TN_PLAN_ALIGN bytes; a smaller constant need not be aligned to more than its size. */
static int64_t constant_align(size_t bytes) {
  int64_t align = 1;
  while (align < TN_PLAN_ALIGN && (size_t)align < bytes)
    align *= 2;
  return align;
}

static void place_constants(struct plan *plan) {
  struct tn_map seen;
  tn_map_init(&seen, plan->pass->scratch);
  int64_t end = 0;
  for (size_t i = 0; i < plan->constants.count; i++) {
    struct tn_value *value = plan->constants.at[i];
    const struct tn_tensor *tensor = tn_value_tensor(value);
    const char *key =
        tn_printf(plan->pass->scratch, "%s.%zu",
                  tn_hash_hex(plan->pass->scratch, tn_hash_bytes(tensor->data, tensor->bytes)), tensor->bytes);
    struct tn_value *same = tn_map_get(&seen, key);
    if (same) {
      fix(plan, value, TN_IN_WEIGHTS, group_of(plan, same)->index);
      continue;
    }
    tn_map_set(&seen, key, value);
    int64_t offset = tn_round_up(end, constant_align(tensor->bytes));
    fix(plan, value, TN_IN_WEIGHTS, offset);
    end = offset + (int64_t)tensor->bytes;
  }
  plan->module->weight_bytes = end;
}

static void store(struct plan *plan, struct tn_value *value) {
  const struct group *group = group_of(plan, value);
  const struct tn_window *window = plan->window[value->id];
  if (group->place == TN_NOWHERE || !window) {
    value->storage = (struct tn_storage){group->place, group->index, NULL};
    return;
  }
  struct tn_window *kept = TN_NEW(plan->module->arena, struct tn_window);
  *kept = *window;
  value->storage = (struct tn_storage){group->place, group->index, kept};
}

static void store_all(struct plan *plan, struct tn_graph *graph) {
  for (size_t i = 0; i < graph->inputs.count; i++)
    store(plan, graph->inputs.at[i]);
  for (struct tn_node *node = graph->first; node; node = node->next) {
    for (int i = 0; i < node->out_count; i++)
      store(plan, node->out[i]);
    if (node->op != TN_KERNEL)
      for (int i = 0; i < node->region_count; i++)
        store_all(plan, node->region[i]);
  }
}

/* The kernel's attribute `order`: 0 when the buffers do not overlap. */
static int64_t order_of(const struct tn_plan_pair *pair, const struct tn_plan_buffer *buffers) {
  const struct tn_plan_buffer *from = &buffers[pair->from], *to = &buffers[pair->to];
  if (to->offset + to->bytes <= from->offset || from->offset + from->bytes <= to->offset)
    return 0;
  return from->offset - to->offset >= pair->reach.below ? pair->reach.rows : -pair->reach.rows;
}

static bool dies_in_arena(const struct plan *plan, struct tn_value *value, int32_t time) {
  const struct group *group = group_of(plan, tn_plan_root(value));
  return group->place == TN_IN_ARENA && group->last == time && tn_type_static(&value->type);
}

/* The pair of an operand that dies in the kernel and a result that it makes, the largest one; false: there is
 * none.
 */
static bool pair_of(const struct plan *plan, struct tn_node *kernel, int32_t time, struct tn_plan_pair *out) {
  int64_t best = 0;
  for (int k = 0; k < kernel->out_count; k++)
    for (int i = 0; i < kernel->in_count; i++) {
      struct tn_value *in = kernel->in[i];
      if (!in || !dies_in_arena(plan, in, time))
        continue;
      const struct group *from = group_of(plan, tn_plan_root(in)), *to = group_of(plan, kernel->out[k]);
      int64_t bytes = from->bytes < to->bytes ? from->bytes : to->bytes;
      if (to->place != TN_IN_ARENA || to->first != time || from == to || bytes <= best)
        continue;
      best = bytes;
      *out = (struct tn_plan_pair){(size_t)from->index, (size_t)to->index, time, kernel, {0}};
    }
  return best > 0;
}

/* Goes over the nodes with the same clock as walk(). */
static void find_pairs(struct plan *plan, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    int32_t time = ++plan->now;
    struct tn_plan_pair pair;
    if (node->op == TN_KERNEL && tn_type_static(&node->out[0]->type) && pair_of(plan, node, time, &pair))
      TN_PUSH(plan->pass->scratch, &plan->pairs, pair);
    for (int r = 0; r < (node->op == TN_LOOP || node->op == TN_IF ? node->region_count : 0); r++) {
      find_pairs(plan, node->region[r]);
      plan->now++;
    }
  }
}

static bool choose_pairs(struct plan *plan, const struct tn_plan_buffer *buffers, size_t count) {
  if (!plan->pass->options->reach || plan->pass->options->level == 0)
    return false;
  plan->now = 0;
  find_pairs(plan, plan->module->main);
  store_all(plan, plan->module->main);
  return tn_plan_choose_pairs(plan->pass, buffers, count, plan->pairs.at, plan->pairs.count);
}

static void place_arena(struct plan *plan) {
  TN_VEC(struct tn_plan_buffer) buffers = {0};
  TN_VEC(struct group *) groups = {0};
  tn_arena *scratch = plan->pass->scratch;
  for (uint32_t id = 0; id < plan->module->next_id; id++) {
    struct group *group = &plan->group[id];
    if (group->parent != group || group->place != TN_NOWHERE || !group->first)
      continue;
    group->place = TN_IN_ARENA;
    if (group->bytes == 0)
      continue;
    group->index = (int64_t)groups.count; /* until it has an offset */
    TN_PUSH(scratch, &groups, group);
    TN_PUSH(scratch, &buffers,
            (struct tn_plan_buffer){.bytes = group->bytes, .first = group->first, .last = group->last});
  }
  int64_t bound, bytes = tn_plan_arena(scratch, buffers.at, buffers.count, NULL, 0, &bound);
  if (choose_pairs(plan, buffers.at, buffers.count)) {
    struct tn_plan_buffer *apart = TN_NEW_ARRAY(scratch, struct tn_plan_buffer, buffers.count);
    memcpy(apart, buffers.at, buffers.count * sizeof *apart);
    int64_t less = tn_plan_arena(scratch, buffers.at, buffers.count, plan->pairs.at, plan->pairs.count, &bound);
    if (less >= bytes)
      memcpy(buffers.at, apart, buffers.count * sizeof *apart);
    bytes = less < bytes ? less : bytes;
  }
  plan->module->arena_bytes = bytes;
  plan->module->arena_low_bound = bound;
  for (size_t i = 0; i < plan->pairs.count; i++)
    plan->pairs.at[i].reach.rows = order_of(&plan->pairs.at[i], buffers.at);
  for (size_t i = 0; i < groups.count; i++)
    groups.at[i]->index = buffers.at[i].offset;
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

/* Values and their windows are one group. */
static void join_windows(struct plan *plan, struct tn_graph *graph) {
  for (struct tn_node *node = graph->first; node; node = node->next) {
    for (int i = 0; i < node->out_count; i++) {
      struct tn_value *parent = plan->placing[node->out[i]->id].parent;
      if (!parent)
        continue;
      plan->window[node->out[i]->id] = tn_plan_window(plan->pass->scratch, plan->placing, node->out[i]);
      join(plan, tn_plan_root(parent), node->out[i]);
    }
    if (node->op == TN_LOOP || node->op == TN_IF)
      for (int i = 0; i < node->region_count; i++)
        join_windows(plan, node->region[i]);
  }
}

/* False after a diagnostic; *placed: how many values became windows. */
static bool make_plan(struct plan *plan, enum tn_placings which, size_t *placed) {
  struct tn_module *module = plan->module;
  struct tn_graph *main = module->main;
  tn_arena *scratch = plan->pass->scratch;
  plan->good = true;
  tn_map_init(&plan->unbounded, scratch);
  plan->group = TN_NEW_ARRAY(scratch, struct group, module->next_id + 1);
  plan->last_use = TN_NEW_ARRAY(scratch, int32_t, module->next_id + 1);
  plan->depth = TN_NEW_ARRAY(scratch, int, module->next_id + 1);
  plan->placing = TN_NEW_ARRAY(scratch, struct tn_placing, module->next_id + 1);
  plan->window = TN_NEW_ARRAY(scratch, const struct tn_window *, module->next_id + 1);
  for (uint32_t id = 0; id <= module->next_id; id++)
    plan->group[id].parent = &plan->group[id];
  *placed = tn_plan_placings(plan->pass, main, which, plan->placing);
  for (size_t i = 0; i < main->inputs.count; i++)
    add_value(plan, main->inputs.at[i]);
  walk(plan, main);
  plan->now++;
  for (size_t i = 0; i < main->outputs.count; i++)
    read_value(plan, main->outputs.at[i]);
  if (!plan->good)
    return false;
  join_windows(plan, main);
  for (size_t i = 0; i < main->inputs.count; i++)
    fix(plan, main->inputs.at[i], TN_IN_INPUT, (int64_t)i);
  for (size_t i = 0; i < main->outputs.count; i++)
    fix(plan, main->outputs.at[i], TN_IN_OUTPUT, (int64_t)i);
  place_constants(plan);
  plan->now = 0;
  share(plan, main);
  place_arena(plan);
  return true;
}

/* Windows keep a whole buffer alive for a part of it.  They are worth up to so much more memory than the copies
 * that they save, and none where bytes count more than speed. */
#define MORE_MEMORY 1.0625

bool tn_pass_plan(struct tn_pass *pass, struct tn_module *module) {
  tn_plan_copies(pass, module);
  struct plan plan[3] = {{.pass = pass, .module = module}};
  enum tn_placings which[] = {TN_PLACE_NONE, TN_PLACE_PADS, TN_PLACE_ALL};
  int64_t bytes[3], bounds[3], least = INT64_MAX;
  int tried = 0;
  for (int i = 0; i < 3; i++) {
    size_t placed;
    plan[i].pass = pass;
    plan[i].module = module;
    if (!make_plan(&plan[i], which[i], &placed))
      return false;
    bytes[i] = module->arena_bytes;
    bounds[i] = module->arena_low_bound;
    least = bytes[i] < least ? bytes[i] : least;
    tried = i + 1;
    if (i == 0 && pass->options->level == 0)
      break;
  }
  int best = tried - 1;
  double most = (double)least * (pass->options->small ? 1 : MORE_MEMORY);
  while ((double)bytes[best] > most)
    best--;
  module->arena_bytes = bytes[best];
  module->arena_low_bound = bounds[best];
  store_all(&plan[best], module->main);
  for (size_t i = 0; i < plan[best].pairs.count; i++)
    if (plan[best].pairs.at[i].reach.rows != 0)
      tn_set_int(plan[best].pairs.at[i].kernel, TN_KERNEL_order, plan[best].pairs.at[i].reach.rows);
  return true;
}
