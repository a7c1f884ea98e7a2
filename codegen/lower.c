/* From a node, or a KERNEL node's region, to its unscheduled nest.
 *
 * Values inside the kernel are inlined: asking for an element of one gives the expression of the node that
 * defines it.  Values outside are parameters and give loads; constants of one element give immediates.  A
 * kernel is pointwise (loops over the results), a reduction with its epilogue, several of both by rows
 * (lower_rows.c), a reduction that is pooled (lower_pool.c), or one op with a nest of its own. */
#include "codegen/lower.h"

struct memo_entry {
  const struct tn_value *value;
  struct tn_expr *guard, *result;
  struct tn_expr *idx[TN_MAX_RANK];
};

struct param {
  const struct tn_value *value;
  struct tn_buf *buf;
};

/* See tn_stage. */
struct staged {
  const struct tn_value *value;
  int first;
  struct tn_expr *const *row;
  struct tn_expr *element;
  struct tn_buf *buf;
  struct tn_expr *from;
};

struct tn_lower_state {
  bool placed;             /* over buffers as the memory plan laid them out */
  struct tn_graph *region; /* of the kernel; NULL: a node on its own */
  struct tn_node *node;    /* the kernel, or the node */
  struct memo_entry *memo;
  size_t memo_size, memo_count;
  TN_VEC(struct param) params; /* operands and results: value seen from outside -> buffer */
  /* The reduction whose accumulator stands for `anchor` at position `at`. */
  const struct tn_value *anchor;
  struct tn_expr *const *at;
  struct tn_expr *acc;
  TN_VEC(struct staged) staged;
  /* A nest of its own with an epilogue: what it stores of `head` goes through these results instead. */
  const struct tn_value *head;
  int out_count;
  struct tn_value *const *outs;
  const struct tn_node *pool; /* of what is stored of `head`, or NULL */
  struct tn_window_part *windows;
};

static tn_ctx *lower_ctx(const struct tn_lower *l) {
  return tn_arena_ctx(l->nest->arena);
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* The value as the kernel's surroundings know it: a region's input is the kernel's operand. */
static struct tn_value *outer(const struct tn_lower *l, struct tn_value *v) {
  struct tn_lower_state *s = l->state;
  if (s->region && v->home == s->region && !v->def) {
    for (size_t i = 0; i < s->region->inputs.count; i++)
      if (s->region->inputs.at[i] == v)
        return s->node->in[i];
  }
  return v;
}

static struct tn_buf *find_param(const struct tn_lower *l, const struct tn_value *v) {
  for (size_t i = 0; i < l->state->params.count; i++)
    if (l->state->params.at[i].value == v)
      return l->state->params.at[i].buf;
  return NULL;
}

static int64_t value_count(const struct tn_lower *l, const struct tn_value *v) {
  int64_t count;
  if (!tn_type_count(&v->type, &count))
    tn_bug(lower_ctx(l), "value '%s' reached code generation without a static shape", v->name);
  return count;
}

static bool is_immediate(const struct tn_value *v) {
  const struct tn_tensor *t = tn_value_tensor(v);
  int64_t count;
  return t && tn_type_count(&t->type, &count) && count == 1;
}

static const struct tn_window *window_of(const struct tn_lower *l, const struct tn_value *v) {
  return l->state->placed ? v->storage.window : NULL;
}

/* Elements from the value's first one to its last one. */
static int64_t value_span(const struct tn_lower *l, const struct tn_value *v) {
  const struct tn_window *window = window_of(l, v);
  int64_t span = value_count(l, v);
  if (!window || !span)
    return span;
  span = 1;
  for (int d = 0; d < v->type.rank; d++)
    span += (v->type.dim[d] - 1) * window->stride[d];
  return span;
}

static struct tn_buf *add_param(struct tn_lower *l, struct tn_value *v) {
  struct tn_buf *buf = find_param(l, v);
  if (buf)
    return buf;
  buf = tn_nest_param(l->nest, v->name, v->type.dtype, value_span(l, v));
  buf->value = v;
  buf->data = tn_value_tensor(v);
  struct param p = {v, buf};
  TN_PUSH(l->nest->arena, &l->state->params, p);
  return buf;
}

struct tn_expr *tn_linear(struct tn_nest *n, const struct tn_type *type, struct tn_expr *const *idx) {
  struct tn_expr *at = tn_ix(n, 0);
  int64_t stride = 1;
  for (int d = type->rank - 1; d >= 0; d--) {
    if (type->dim[d] != 1)
      at = tn_ix_add(n, at, tn_ix_scale(n, idx[d], stride));
    stride *= type->dim[d];
  }
  return at;
}

/* Element idx of an outer value, as an index of its buffer. */
static struct tn_expr *position(struct tn_lower *l, const struct tn_value *v, struct tn_expr *const *idx) {
  const struct tn_window *window = window_of(l, v);
  if (!window)
    return tn_linear(l->nest, &v->type, idx);
  struct tn_expr *at = tn_ix(l->nest, 0);
  for (int d = 0; d < v->type.rank; d++)
    if (v->type.dim[d] != 1)
      at = tn_ix_add(l->nest, at, tn_ix_scale(l->nest, idx[d], window->stride[d]));
  return at;
}

static size_t memo_slot(const struct memo_entry *e, int rank, size_t size) {
  uint64_t h = e->value->id * 0x9E3779B97F4A7C15u + (e->guard ? (uint64_t)e->guard->id + 1 : 0);
  for (int d = 0; d < rank; d++)
    h = (h ^ (uint64_t)e->idx[d]->id) * 0xFF51AFD7ED558CCDu;
  return (size_t)(h ^ (h >> 29)) & (size - 1);
}

static struct memo_entry *memo_find(struct tn_lower *l, const struct memo_entry *probe) {
  struct tn_lower_state *s = l->state;
  int rank = probe->value->type.rank;
  if ((s->memo_count + 1) * 2 > s->memo_size) {
    struct memo_entry *old = s->memo;
    size_t old_size = s->memo_size;
    s->memo_size = old_size ? old_size * 2 : 64;
    s->memo = TN_NEW_ARRAY(l->nest->arena, struct memo_entry, s->memo_size);
    for (size_t i = 0; i < old_size; i++)
      if (old[i].value) {
        size_t at = memo_slot(&old[i], old[i].value->type.rank, s->memo_size);
        while (s->memo[at].value)
          at = (at + 1) & (s->memo_size - 1);
        s->memo[at] = old[i];
      }
  }
  size_t at = memo_slot(probe, rank, s->memo_size);
  for (; s->memo[at].value; at = (at + 1) & (s->memo_size - 1)) {
    struct memo_entry *e = &s->memo[at];
    if (e->value == probe->value && e->guard == probe->guard &&
        memcmp(e->idx, probe->idx, (size_t)rank * sizeof *e->idx) == 0)
      return e;
  }
  s->memo[at] = *probe;
  s->memo_count++;
  return &s->memo[at];
}

static bool at_anchor(const struct tn_lower *l, const struct tn_value *v, struct tn_expr *const *idx) {
  struct tn_lower_state *s = l->state;
  if (!s->anchor || v != s->anchor)
    return false;
  for (int d = 0; d < v->type.rank; d++)
    if (v->type.dim[d] != 1 && idx[d] != s->at[d])
      tn_bug(lower_ctx(l), "kernel '%s' reads its reduction '%s' at another position than it computes",
             l->nest->name, v->name);
  return true;
}

static struct tn_expr *element_of(struct tn_lower *l, struct tn_value *v, struct tn_expr *const *idx) {
  if (at_anchor(l, v, idx))
    return l->state->acc;
  v = outer(l, v);
  const struct tn_tensor *constant = tn_value_tensor(v);
  if (constant && is_immediate(v))
    return tn_ex_const(l->nest, constant, 0);
  struct tn_buf *buf = find_param(l, v);
  if (buf)
    return tn_ex_load(l->nest, buf, position(l, v, idx), l->guard);
  struct tn_node *def = v->def;
  bool inside = l->state->region && def && def->home == l->state->region;
  if (!inside) /* an outer value that the region names directly */
    return tn_ex_load(l->nest, add_param(l, v), position(l, v, idx), l->guard);
  const struct tn_definition *d = tn_definition_of(def->op);
  if (!d || !d->element)
    tn_bug(lower_ctx(l), "kernel '%s' inlines '%s' (%s), which has no element definition", l->nest->name,
           v->name, tn_op_info(def->op)->name);
  return d->element(l, def, v->def_index, idx);
}

static struct staged *find_staged(const struct tn_lower *l, const struct tn_value *value) {
  for (size_t i = 0; i < l->state->staged.count; i++)
    if (l->state->staged.at[i].value == value)
      return &l->state->staged.at[i];
  return NULL;
}

void tn_stage(struct tn_lower *l, const struct tn_value *value, int first, struct tn_expr *const *row,
              struct tn_expr *element, struct tn_buf *buf, struct tn_expr *from) {
  struct staged s = {value, first, row, element, buf, from}, *known = find_staged(l, value);
  if (!known)
    TN_PUSH(l->nest->arena, &l->state->staged, s);
  else
    *known = s;
}

struct tn_expr *tn_row_position(struct tn_nest *n, const struct tn_type *type, int first,
                                struct tn_expr *const *idx) {
  struct tn_type row = *type;
  for (int d = 0; d < first; d++)
    row.dim[d] = 1;
  return tn_linear(n, &row, idx);
}

/* NULL: not staged. */
static struct tn_expr *staged_element(struct tn_lower *l, const struct tn_value *v,
                                      struct tn_expr *const *idx) {
  const struct staged *s = find_staged(l, v);
  for (int d = 0; s && d < s->first; d++)
    if (v->type.dim[d] != 1 && idx[d] != s->row[d])
      tn_bug(lower_ctx(l), "kernel '%s' reads '%s' of another row than it computes", l->nest->name, v->name);
  if (!s || s->element)
    return s ? s->element : NULL;
  struct tn_expr *at = tn_row_position(l->nest, &v->type, s->first, idx);
  return tn_ex_load(l->nest, s->buf, s->from ? tn_ix_sub(l->nest, at, s->from) : at, l->guard);
}

struct tn_expr *tn_element(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx) {
  struct tn_expr *staged = staged_element(l, value, idx);
  if (staged)
    return staged;
  struct memo_entry probe = {.value = value, .guard = l->guard};
  for (int d = 0; d < value->type.rank; d++)
    probe.idx[d] = idx[d];
  struct memo_entry *e = memo_find(l, &probe);
  if (e->result)
    return e->result;
  struct tn_expr *result = element_of(l, value, probe.idx);
  memo_find(l, &probe)->result = result; /* the table may have grown */
  return result;
}

bool tn_is_staged(const struct tn_lower *l, const struct tn_value *value) {
  return find_staged(l, value) != NULL;
}

struct tn_buf *tn_staged_in(const struct tn_lower *l, const struct tn_value *value) {
  const struct staged *s = find_staged(l, value);
  return s ? s->buf : NULL;
}

struct tn_expr *tn_element_over(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx,
                                const struct tn_value *anchor, struct tn_expr *element) {
  struct tn_lower_state *s = l->state;
  s->anchor = anchor;
  s->at = idx;
  s->acc = element;
  struct tn_expr *e = tn_element(l, value, idx);
  s->anchor = NULL;
  return e;
}

struct tn_expr *tn_element_guarded(struct tn_lower *l, struct tn_value *value, struct tn_expr *const *idx,
                                   struct tn_expr *guard) {
  struct tn_expr *before = l->guard;
  l->guard = tn_ex_and(l->nest, before, guard);
  struct tn_expr *e = tn_element(l, value, idx);
  l->guard = before;
  return e;
}

struct tn_buf *tn_result_buf(struct tn_lower *l, struct tn_value *value) {
  struct tn_lower_state *s = l->state;
  if (s->region && value->home == s->region)
    for (size_t i = 0; i < s->region->outputs.count; i++)
      if (s->region->outputs.at[i] == value)
        value = s->node->out[i];
  struct tn_buf *buf = find_param(l, value);
  if (!buf)
    tn_bug(lower_ctx(l), "kernel '%s' stores '%s', which is not a result of it", l->nest->name, value->name);
  return buf;
}

static int64_t window_offset(const struct tn_value *v) {
  return v->storage.window ? v->storage.window->offset : 0;
}

/* The element is a load from the very place where it is to be stored: the plan let the operand be a window of
 * the result, or the result one of the operand. */
static bool is_there(const struct tn_lower *l, const struct tn_buf *buf, struct tn_expr *at,
                     const struct tn_expr *element) {
  if (!l->state->placed || element->kind != TN_EX_LOAD || element->load.guard || element->dtype != buf->dtype ||
      !element->load.buf->value)
    return false;
  const struct tn_value *to = buf->value, *from = element->load.buf->value;
  return to->storage.place != TN_NOWHERE && to->storage.place == from->storage.place &&
         to->storage.index == from->storage.index &&
         tn_ix_offset(l->nest, at, window_offset(to)) ==
             tn_ix_offset(l->nest, element->load.index, window_offset(from));
}

void tn_result(struct tn_lower *l, struct tn_cursor *c, struct tn_value *value, struct tn_expr *const *idx,
               struct tn_expr *element, struct tn_expr *guard) {
  struct tn_lower_state *s = l->state;
  if (s->head && value == s->head) {
    s->head = NULL;
    if (s->pool) {
      tn_pool_element(l, c, &s->windows, s->pool, value, idx, element, s->out_count, s->outs);
      s->head = value;
      return;
    }
    s->anchor = value;
    s->at = idx;
    s->acc = element;
    struct tn_expr *before = l->guard;
    l->guard = tn_ex_and(l->nest, before, guard);
    for (int k = 0; k < s->out_count; k++)
      tn_result(l, c, s->outs[k], idx, tn_element(l, s->outs[k], idx), guard);
    l->guard = before;
    s->anchor = NULL;
    s->head = value;
    return;
  }
  struct tn_buf *buf = tn_result_buf(l, value);
  struct tn_expr *at = position(l, buf->value, idx);
  if (!is_there(l, buf, at, element))
    tn_st_store(c, buf, at, element, guard);
}

/* ---- loops over results -------------------------------------------------------------------------------- */

struct tn_cursor tn_loops_over(struct tn_cursor *c, int rank, const int64_t *extent, struct tn_expr **idx) {
  struct tn_cursor in = *c;
  for (int d = 0; d < rank; d++) {
    if (extent[d] == 1) {
      idx[d] = tn_ix(c->nest, 0);
      continue;
    }
    struct tn_var *v = tn_loop_var(c->nest, "i", extent[d]);
    idx[d] = tn_ex_var(c->nest, v);
    in = tn_st_loop(&in, v, TN_LOOP_SERIAL);
  }
  return in;
}

/* out[i + offset] = element for i over a box; element NULL: that of `source` at i. */
static void store_box(struct tn_lower *l, struct tn_cursor *c, struct tn_value *out, struct tn_value *source,
                      struct tn_expr *element, const int64_t *extent, const int64_t *offset) {
  int rank = out->type.rank;
  for (int d = 0; d < rank; d++)
    if (extent[d] <= 0)
      return;
  struct tn_expr *idx[TN_MAX_RANK], *at[TN_MAX_RANK];
  struct tn_cursor in = tn_loops_over(c, rank, extent, idx);
  for (int d = 0; d < rank; d++)
    at[d] = tn_ix_offset(l->nest, idx[d], offset[d]);
  tn_result(l, &in, out, at, element ? element : tn_element(l, source, idx), NULL);
  tn_st_follow(c); /* the loops were appended through `in` when there are none */
}

/* A concat that is stored is stored operand by operand: no selects, whole rows. */
static void lower_concat(struct tn_lower *l, struct tn_cursor *c, struct tn_value *out,
                         const struct tn_node *concat) {
  int axis = (int)tn_get_int(concat, TN_CONCAT_axis);
  int64_t offset[TN_MAX_RANK] = {0};
  for (int i = 0; i < concat->in_count; i++) {
    store_box(l, c, out, concat->in[i], NULL, concat->in[i]->type.dim, offset);
    offset[axis] += concat->in[i]->type.dim[axis];
  }
}

static bool is_plain_pad(const struct tn_node *pad) {
  struct tn_ints before = tn_get_ints(pad, TN_PAD_before), after = tn_get_ints(pad, TN_PAD_after);
  struct tn_ints interior = tn_get_ints(pad, TN_PAD_interior);
  for (size_t d = 0; d < before.count; d++)
    if (before.at[d] < 0 || after.at[d] < 0 || (d < interior.count && interior.at[d]))
      return false;
  return tn_get_int(pad, TN_PAD_mode) == 0;
}

/* A pad that is stored is the operand's box and, for each dim, a slab before and one after it. */
static void lower_pad(struct tn_lower *l, struct tn_cursor *c, struct tn_value *out,
                      const struct tn_node *pad) {
  struct tn_value *x = pad->in[0];
  int rank = out->type.rank;
  struct tn_ints before = tn_get_ints(pad, TN_PAD_before), after = tn_get_ints(pad, TN_PAD_after);
  enum tn_dtype dtype = out->type.dtype;
  struct tn_expr *fill = pad->in_count > 1 && pad->in[1] ? tn_element(l, pad->in[1], NULL)
                         : tn_dtype_is_float(dtype)      ? tn_ex_float(l->nest, dtype, 0)
                                                         : tn_ex_int(l->nest, dtype, 0);
  store_box(l, c, out, x, NULL, x->type.dim, before.at);
  /* Dims before d span the operand's box, dims after d everything. */
  for (int d = 0; d < rank; d++) {
    int64_t extent[TN_MAX_RANK], offset[TN_MAX_RANK];
    for (int k = 0; k < rank; k++) {
      extent[k] = k < d ? x->type.dim[k] : out->type.dim[k];
      offset[k] = k < d ? before.at[k] : 0;
    }
    extent[d] = before.at[d];
    store_box(l, c, out, x, fill, extent, offset);
    extent[d] = after.at[d];
    offset[d] = before.at[d] + x->type.dim[d];
    store_box(l, c, out, x, fill, extent, offset);
  }
}

static void lower_pointwise(struct tn_lower *l, int count, struct tn_value *const *outs) {
  struct tn_cursor c = tn_at_body(l->nest);
  struct tn_lower_state *s = l->state;
  for (int i = 0; i < count; i++) {
    struct tn_node *def = outs[i]->def;
    bool inside = def && (s->region ? def->home == s->region : def == s->node);
    if (inside && def->op == TN_CONCAT) {
      lower_concat(l, &c, outs[i], def);
      continue;
    }
    if (inside && def->op == TN_PAD && is_plain_pad(def)) {
      lower_pad(l, &c, outs[i], def);
      continue;
    }
    struct tn_expr *idx[TN_MAX_RANK];
    if (value_count(l, outs[i]) == 0)
      continue;
    struct tn_cursor in = tn_loops_over(&c, outs[i]->type.rank, outs[i]->type.dim, idx);
    const struct tn_definition *d = inside ? tn_definition_of(def->op) : NULL;
    struct tn_expr *e = d && d->element && !s->region ? d->element(l, def, outs[i]->def_index, idx)
                                                      : tn_element(l, outs[i], idx);
    tn_result(l, &in, outs[i], idx, e, NULL);
    /* Further results of the same shape ride in the same loops. */
    while (i + 1 < count && tn_shape_equal(&outs[i]->type, &outs[i + 1]->type) && outs[i + 1]->def &&
           outs[i + 1]->def->op != TN_CONCAT && outs[i + 1]->def->op != TN_PAD && s->region) {
      i++;
      tn_result(l, &in, outs[i], idx, tn_element(l, outs[i], idx), NULL);
    }
    tn_st_follow(&c);
  }
}

struct tn_expr *tn_lower_sum(struct tn_lower *l, struct tn_cursor *c, const struct tn_node *node,
                             const struct tn_reduction *r, struct tn_expr *const *i, struct tn_expr *from) {
  struct tn_nest *n = l->nest;
  const struct tn_definition *d = tn_definition_of(node->op);
  struct tn_expr *over[TN_MAX_REDUCE];
  struct tn_var *vars[TN_MAX_REDUCE];
  int loops = 0;
  for (int k = 0; k < r->count; k++) {
    over[k] = tn_ix(n, 0);
    if (r->extent[k] == 1)
      continue;
    vars[loops] = tn_loop_var(n, "r", r->extent[k]);
    over[k] = tn_ex_var(n, vars[loops++]);
  }
  over[0] = from ? tn_ix_add(n, over[0], from) : over[0];
  struct tn_var *acc = tn_value_var(n, "acc", r->acc);
  tn_st_reduce(c, acc, r->combine, NULL, loops, vars, d->reduce.term(l, node, i, over));
  return tn_ex_var(n, acc);
}

static void lower_reduction(struct tn_lower *l, struct tn_node *anchor, const struct tn_definition *d,
                            int count, struct tn_value *const *outs) {
  struct tn_reduction r = {0};
  d->reduce.shape(anchor, &r);
  for (int k = 0; k < r.domain_rank; k++)
    if (r.domain[k] == 0)
      return;
  struct tn_cursor c = tn_at_body(l->nest);
  struct tn_expr *i[TN_MAX_REDUCE], *idx[TN_MAX_RANK];
  struct tn_cursor in = tn_loops_over(&c, r.domain_rank, r.domain, i);
  d->reduce.at(l, anchor, i, idx);
  struct tn_lower_state *s = l->state;
  s->acc = tn_ex_cast(l->nest, tn_lower_sum(l, &in, anchor, &r, i, NULL), anchor->out[0]->type.dtype);
  s->anchor = anchor->out[0];
  s->at = idx;
  for (int k = 0; k < count; k++)
    tn_result(l, &in, outs[k], idx, tn_element(l, outs[k], idx), NULL);
}

/* ---- work counted -------------------------------------------------------------------------------------- */

static void count_work(struct tn_lower *l) {
  struct tn_nest *n = l->nest;
  struct tn_lower_state *s = l->state;
  tn_count_work(n);
  for (const struct tn_node *node = s->region ? s->region->first : s->node; node; node = node->next) {
    if (node->op == TN_MATMUL || node->op == TN_CONV) {
      struct tn_reduction r = {0};
      int64_t macs = 1;
      tn_definition_of(node->op)->reduce.shape(node, &r);
      for (int k = 0; k < r.domain_rank; k++)
        macs *= r.domain[k];
      for (int k = 0; k < r.count; k++)
        macs *= r.extent[k];
      n->macs += macs;
    }
    if (!s->region)
      break;
  }
}

/* ---- entry --------------------------------------------------------------------------------------------- */

/* The node of the region whose number an attribute is; NULL: none. */
static struct tn_node *find_node(struct tn_node *kernel, int attribute) {
  int64_t at = tn_get_int(kernel, attribute);
  if (at < 0)
    return NULL;
  struct tn_node *node = kernel->region[0]->first;
  while (node && at-- > 0)
    node = node->next;
  if (!node)
    tn_bug(kernel->home->module->ctx, "kernel '%s': its anchor or pool is not a node of its region",
           kernel->name);
  return node;
}

/* Loops around nothing, where all was in place. */
static void drop_empty(struct tn_stmt **list) {
  while (*list) {
    struct tn_stmt *s = *list;
    if (s->kind == TN_ST_LOOP) {
      drop_empty(&s->loop.body);
      if (!s->loop.body) {
        *list = s->next;
        continue;
      }
    }
    list = &s->next;
  }
}

static struct tn_nest *lower(tn_arena *arena, struct tn_node *node, bool placed) {
  struct tn_lower_state state = {.node = node, .placed = placed};
  struct tn_lower l = {.nest = tn_nest_create(arena, node->name), .state = &state};
  bool kernel = node->op == TN_KERNEL;
  if (kernel)
    state.region = node->region[0];
  for (int i = 0; i < node->in_count; i++)
    if (node->in[i] && !is_immediate(node->in[i]))
      add_param(&l, node->in[i]);
  for (int i = 0; i < node->out_count; i++)
    add_param(&l, node->out[i])->written = true;

  struct tn_value *const *outs = kernel ? state.region->outputs.at : node->out;
  struct tn_node *anchor = kernel ? find_node(node, TN_KERNEL_anchor) : node;
  const struct tn_definition *d = anchor ? tn_definition_of(anchor->op) : NULL;
  if (anchor && !d) {
    tn_node_error(anchor,
                  "operator %s has no code generation of its own; it should have been decomposed before",
                  tn_op_info(anchor->op)->name);
    return NULL;
  }
  if (kernel && tn_get_int(node, TN_KERNEL_rows) >= 0) {
    tn_lower_rows(&l, node);
  } else if (!anchor || d->element) {
    lower_pointwise(&l, node->out_count, outs);
    anchor = NULL;
  } else if (d->nest) {
    struct tn_cursor c = tn_at_body(l.nest);
    if (kernel && (tn_op_info(anchor->op)->flags & TN_TILES)) {
      state.head = anchor->out[0];
      state.out_count = node->out_count;
      state.outs = outs;
      state.pool = find_node(node, TN_KERNEL_pool);
    }
    d->nest(&l, anchor, &c);
  } else if (kernel && tn_get_int(node, TN_KERNEL_pool) >= 0) {
    tn_lower_pool(&l, anchor, find_node(node, TN_KERNEL_pool), node->out_count, outs);
  } else {
    lower_reduction(&l, anchor, d, node->out_count, outs);
  }
  drop_empty(&l.nest->body);
  count_work(&l);
  if (placed && kernel && tn_get_int(node, TN_KERNEL_order) != 0)
    tn_order_blocks(l.nest, tn_get_int(node, TN_KERNEL_order));
  return l.nest;
}

struct tn_nest *tn_lower_node(tn_arena *arena, struct tn_node *node) {
  return lower(arena, node, false);
}

struct tn_nest *tn_lower_placed(tn_arena *arena, struct tn_node *node) {
  return lower(arena, node, true);
}
