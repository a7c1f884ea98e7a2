/* Kernels that go over their outermost loop in order, so that their result may overlap an operand.
 *
 * The memory plan may let the result of a kernel begin within an operand that nobody reads after it: rows of
 * the result then take the place of rows that have been read.  For that the loop is cut into blocks of rows
 * that run one after the other, upwards or downwards, whatever the schedule does inside of a block.  How near
 * the two may come is read off the unscheduled nest, block by block: what a block stores must meet nothing that
 * it or a later one loads.  The same is proved again of the addresses that the plan chose. */
#include "codegen/lower.h"

#define MOST_ACCESSES 256
#define MOST_BLOCKS 2048

struct access {
  const struct tn_buf *buf;
  struct tn_expr *index;
  bool store;
};

struct accesses {
  struct access at[MOST_ACCESSES];
  int count;
  bool all; /* nothing was left out */
  bool *seen;
};

static void add(struct accesses *a, const struct tn_buf *buf, struct tn_expr *index, bool store) {
  if (a->count == MOST_ACCESSES)
    a->all = false;
  else
    a->at[a->count++] = (struct access){buf, index, store};
}

static void add_loads(struct accesses *a, const struct tn_expr *e) {
  if (!e || !e->loads || a->seen[e->id])
    return;
  a->seen[e->id] = true;
  if (e->kind == TN_EX_LOAD) {
    a->all &= e->load.bytes == 0;
    if (!e->load.buf->data)
      add(a, e->load.buf, e->load.index, false);
    add_loads(a, e->load.index);
    add_loads(a, e->load.guard);
  }
  for (int i = 0; e->kind == TN_EX_AFFINE && i < e->affine.count; i++)
    add_loads(a, e->affine.term[i]);
  for (int i = 0; e->kind == TN_EX_OP && i < e->op.argc; i++)
    add_loads(a, e->op.arg[i]);
}

static void add_all(struct accesses *a, const struct tn_stmt *list) {
  for (const struct tn_stmt *s = list; s; s = s->next) {
    switch (s->kind) {
    case TN_ST_LOOP:
      add_all(a, s->loop.body);
      break;
    case TN_ST_REDUCE:
      add_loads(a, s->reduce.init);
      add_loads(a, s->reduce.term);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      add_loads(a, s->let.value);
      break;
    case TN_ST_STORE:
      add(a, s->store.buf, s->store.index, true);
      add_loads(a, s->store.index);
      add_loads(a, s->store.value);
      add_loads(a, s->store.guard);
      break;
    default: /* such nests are not taken */
      a->all = false;
      break;
    }
  }
}

static struct accesses *accesses_of(struct tn_nest *n) {
  struct accesses *a = TN_NEW(n->arena, struct accesses);
  a->all = true;
  a->seen = TN_NEW_ARRAY(n->arena, bool, n->next_id + 1);
  add_all(a, n->body);
  return a;
}

/* ---- what a block touches ---------------------------------------------------------------------------------
 */

/* Bytes from lo up to hi, hi left out; lo >= hi: none. */
struct range {
  int64_t lo, hi;
};

static const struct range nothing = {INT64_MAX, INT64_MIN};

static void cover(struct range *r, struct range x) {
  r->lo = x.lo < r->lo ? x.lo : r->lo;
  r->hi = x.hi > r->hi ? x.hi : r->hi;
}

/* Of one access in block `number` of the loop, from the buffer's beginning in the plan. */
static struct range touched(struct tn_nest *n, const struct access *a, struct tn_var *block,
                            struct tn_expr *number) {
  const struct tn_storage *where = &a->buf->value->storage;
  int64_t size = (int64_t)tn_dtype_size(a->buf->dtype), last = a->buf->count - 1,
          offset = where->window ? where->window->offset : 0;
  struct tn_expr *at = a->index->loads ? NULL : tn_ex_replace(n, a->index, 1, &block, &number);
  int64_t lo = at && at->lo > 0 ? at->lo : 0, hi = at && at->hi < last ? at->hi : last;
  return (struct range){(offset + lo) * size, (offset + hi + 1) * size};
}

static bool same_place(const struct tn_storage *a, const struct tn_storage *b) {
  return a->place == b->place && a->index == b->index;
}

static struct range touched_in(struct tn_nest *n, const struct accesses *a, bool store,
                               const struct tn_storage *where, struct tn_var *block, struct tn_expr *number) {
  struct range r = nothing;
  for (int i = 0; i < a->count; i++)
    if (a->at[i].store == store && a->at[i].buf->value && same_place(&a->at[i].buf->value->storage, where))
      cover(&r, touched(n, &a->at[i], block, number));
  return r;
}

/* ---- how near they may come -------------------------------------------------------------------------------
 */

/* let; loops over a window { reduce, set }: what follows it; NULL: it is something else. */
static const struct tn_stmt *after_pooled(const struct tn_stmt *let) {
  const struct tn_stmt *s = let->next;
  while (s && s->kind == TN_ST_LOOP)
    s = s->loop.body;
  bool pooled = s && s->kind == TN_ST_REDUCE && s->next && s->next->kind == TN_ST_SET && !s->next->next;
  return pooled ? let->next->next : NULL;
}

/* The outermost loop of a nest that is a single band; NULL: it is none. */
static struct tn_var *band_loop(const struct tn_nest *n, int64_t *inner) {
  const struct tn_stmt *s = n->body;
  *inner = 1; /* iterations of the loops inside, channels left out */
  if (!s || s->kind != TN_ST_LOOP || s->next)
    return NULL;
  struct tn_var *v = s->loop.var;
  int64_t last = 1;
  for (s = s->loop.body; s && s->kind == TN_ST_LOOP; s = s->loop.body) {
    if (s->next)
      return NULL;
    *inner *= last;
    last = s->loop.var->extent;
  }
  if (s && s->kind == TN_ST_LET && !(s = after_pooled(s)))
    return NULL;
  if (s && s->kind == TN_ST_REDUCE)
    s = s->next;
  for (; s; s = s->next)
    if (s->kind != TN_ST_STORE)
      return NULL;
  return v;
}

/* Rows a block: the fewest that have `least` points. */
static int64_t block_rows(int64_t extent, int64_t inner, int64_t least) {
  for (int64_t rows = 1; rows < extent; rows++)
    if (extent % rows == 0 && rows * inner >= least)
      return rows;
  return extent;
}

static bool reach_of(tn_arena *arena, struct tn_node *kernel, const struct tn_storage *from,
                     const struct tn_storage *to, int64_t least, struct tn_reach *out) {
  struct tn_nest *n = tn_lower_placed(arena, kernel);
  int64_t inner;
  struct tn_var *v = n ? band_loop(n, &inner) : NULL;
  if (!v)
    return false;
  struct accesses *a = accesses_of(n);
  out->rows = block_rows(v->extent, inner, least);
  int64_t blocks = v->extent / out->rows;
  if (!a->all || blocks < 2 || blocks > MOST_BLOCKS)
    return false;
  struct range *read = TN_NEW_ARRAY(arena, struct range, blocks),
               *written = TN_NEW_ARRAY(arena, struct range, blocks);
  struct tn_var *in_block = tn_loop_var(n, v->name, out->rows);
  for (int64_t b = 0; b < blocks; b++) {
    struct tn_expr *row = out->rows > 1 ? tn_ex_var(n, in_block) : tn_ix(n, 0);
    row = tn_ix_offset(n, row, b * out->rows);
    read[b] = touched_in(n, a, false, from, v, row);
    written[b] = touched_in(n, a, true, to, v, row);
  }
  out->below = out->above = INT64_MIN;
  struct range before = nothing, after = nothing;
  for (int64_t b = 0; b < blocks; b++) {
    cover(&before, read[b]);
    if (before.lo < before.hi && before.hi - written[b].lo > out->above)
      out->above = before.hi - written[b].lo;
  }
  for (int64_t b = blocks - 1; b >= 0; b--) {
    cover(&after, read[b]);
    if (after.lo < after.hi && written[b].hi - after.lo > out->below)
      out->below = written[b].hi - after.lo;
  }
  return out->above > INT64_MIN;
}

bool tn_kernel_reach(struct tn_node *kernel, const struct tn_storage *from, const struct tn_storage *to,
                     int64_t least, struct tn_reach *out) {
  tn_arena *scratch = tn_arena_create(kernel->home->module->ctx);
  bool near = reach_of(scratch, kernel, from, to, least, out);
  tn_arena_destroy(scratch);
  return near;
}

/* ---- the loop in order ------------------------------------------------------------------------------------
 */

void tn_order_blocks(struct tn_nest *n, int64_t rows) {
  int64_t inner, size = rows < 0 ? -rows : rows;
  struct tn_var *v = band_loop(n, &inner);
  if (!v || v->extent % size != 0)
    tn_bug(tn_arena_ctx(n->arena), "kernel '%s' has no blocks of %d rows", n->name, (int)size);
  struct tn_stmt *body = n->body->loop.body;
  struct tn_var *block = tn_loop_var(n, "o", v->extent / size), *in_block = tn_loop_var(n, v->name, size);
  struct tn_expr *row = tn_ix_scale(n, tn_ex_var(n, block), rows);
  row = tn_ix_offset(n, row, rows < 0 ? v->extent - size : 0);
  row = size > 1 ? tn_ix_add(n, row, tn_ex_var(n, in_block)) : row;
  tn_st_replace(n, body, 1, &v, &row);
  n->body = NULL;
  struct tn_cursor c = tn_at_body(n);
  struct tn_cursor in = tn_st_loop(&c, block, TN_LOOP_SERIAL);
  in = size > 1 ? tn_st_loop(&in, in_block, TN_LOOP_SERIAL) : in;
  *in.end = body;
  n->in_order = block;
}

/* Where the bytes lie in the arena. */
static struct range moved(struct range r, int64_t by) {
  return (struct range){r.lo + by, r.hi + by};
}

/* The load is of the element that the store writes. */
static bool same_element(struct tn_nest *n, const struct access *load, const struct access *store) {
  const struct tn_storage *x = &load->buf->value->storage, *y = &store->buf->value->storage;
  return same_place(x, y) && load->buf->dtype == store->buf->dtype &&
         tn_ix_offset(n, load->index, x->window ? x->window->offset : 0) ==
             tn_ix_offset(n, store->index, y->window ? y->window->offset : 0);
}

static bool stays_apart(struct tn_nest *n, const struct access *load, const struct access *store) {
  int64_t from = load->buf->value->storage.index, to = store->buf->value->storage.index;
  struct range read = nothing;
  for (int64_t b = n->in_order->extent - 1; b >= 0; b--) {
    struct tn_expr *number = tn_ix(n, b);
    cover(&read, moved(touched(n, load, n->in_order, number), from));
    struct range written = moved(touched(n, store, n->in_order, number), to);
    if (written.lo < read.hi && read.lo < written.hi)
      return false;
  }
  return true;
}

bool tn_order_holds(struct tn_nest *n) {
  const struct accesses *a = accesses_of(n);
  bool holds = a->all;
  for (int i = 0; i < a->count && holds; i++)
    for (int k = 0; k < a->count && holds; k++) {
      const struct access *load = &a->at[i], *store = &a->at[k];
      if (!load->store && store->store && load->buf->value && store->buf->value &&
          load->buf->value->storage.place == TN_IN_ARENA && store->buf->value->storage.place == TN_IN_ARENA)
        holds = same_element(n, load, store) || stays_apart(n, load, store);
    }
  return holds;
}
