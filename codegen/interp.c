/* Runs a nest: the reference that generated code is held against, and what folds constants.
 *
 * The nest is first turned into tapes, one a statement: its expressions in an order in which operands come
 * first, each with a row of TN_INTERP_LANES results.  A tape is run for many iterations at a time wherever that
 * cannot be told from one after the other: over the iterations of a perfect nest of loops whose body only
 * declares, reduces and stores, or over those of a reduction.  Everything else runs with one lane.
 *
 * Loops that only copy need no tape (strided.c).  Loop kinds and the schedule of a reduction do not matter
 * here: iterations are done in order, and sums are summed in order.  Every access is checked; scratch starts as
 * garbage. */
#include "codegen/interp.h"

TN_NORETURN static void out_of_bounds(struct tn_interp *in, const struct tn_buf *buf, int64_t at,
                                      const char *what) {
  tn_bug(in->ctx, "nest '%s' %s buffer '%s' at element %lld; it has %lld", in->nest->name, what, buf->name,
         (long long)at, (long long)buf->count);
}

#define EACH_LANE(read)                       \
  for (int i = 0; i < lanes; i++) {           \
    out[i].i = 0;                             \
    if (guard && !guard->lane[i].i)           \
      continue;                               \
    int64_t at = index[i].i;                  \
    if ((uint64_t)at >= (uint64_t)buf->count) \
      out_of_bounds(in, buf, at, "reads");    \
    read;                                     \
  }

/* The i32 of `bytes` bytes from element `at` on. */
static int32_t load_bytes(struct tn_interp *in, const struct tn_buf *buf, const uint8_t *data, int64_t at,
                          int bytes) {
  int size = (int)tn_dtype_size(buf->dtype), count = bytes / size;
  uint32_t v = 0;
  if (at + count > buf->count)
    out_of_bounds(in, buf, at + count - 1, "reads");
  for (int k = 0; k < count; k++)
    v |= (uint32_t)tn_scalar_wrap(size == 1 ? TN_U8 : TN_U16, tn_scalar_load(buf->dtype, data, at + k).i)
         << (8 * size * k);
  return (int32_t)v;
}

static void load(struct tn_interp *in, const struct tn_step *step, int lanes) {
  const struct tn_buf *buf = step->e->load.buf;
  const uint8_t *data = step->data;
  const union tn_scalar *index = step->arg[0]->lane;
  const struct tn_row *guard = step->arg[1];
  union tn_scalar *out = step->out->lane;
  int bytes = step->e->load.bytes;
  if (bytes) {
    EACH_LANE(out[i].i = load_bytes(in, buf, data, at, bytes))
  } else if (buf->dtype == TN_F32) {
    EACH_LANE(float x; memcpy(&x, data + at * 4, 4); out[i].f = (double)x)
  } else if (buf->dtype == TN_I8) {
    EACH_LANE(out[i].i = (int8_t)data[at])
  } else {
    EACH_LANE(out[i] = tn_scalar_load(buf->dtype, data, at))
  }
}

static void store(struct tn_interp *in, const struct tn_code *c, int lanes) {
  const struct tn_buf *buf = c->s->store.buf;
  for (int i = 0; i < lanes; i++) {
    if (c->guard && !c->guard->lane[i].i)
      continue;
    int64_t at = c->index->lane[i].i;
    if ((uint64_t)at >= (uint64_t)buf->count)
      out_of_bounds(in, buf, at, "writes");
    if (buf->dtype == TN_F32) {
      float x = (float)c->value->lane[i].f;
      memcpy(c->data + at * 4, &x, 4);
    } else {
      tn_scalar_store(buf->dtype, c->data, at, c->value->lane[i]);
    }
  }
}

static void affine(const struct tn_step *step, int lanes) {
  const struct tn_expr *e = step->e;
  union tn_scalar *out = step->out->lane;
  for (int i = 0; i < lanes; i++)
    out[i].i = e->affine.base;
  for (int k = 0; k < e->affine.count; k++) {
    const union tn_scalar *term = step->term[k]->lane;
    int64_t coef = e->affine.coef[k];
    for (int i = 0; i < lanes; i++)
      out[i].i += coef * term[i].i;
  }
}

static void operate(struct tn_interp *in, enum tn_op op, enum tn_dtype dtype, enum tn_dtype from, int flags,
                    int lanes, union tn_scalar *out, const union tn_scalar *const *arg) {
  if (!tn_scalar_lanes(op, dtype, from, flags, lanes, out, arg))
    tn_bug(in->ctx, "nest '%s': there is no scalar operator %s of %s", in->nest->name, tn_op_info(op)->name,
           from == TN_INDEX ? "positions" : tn_dtype_name(from));
}

static void run_tape(struct tn_interp *in, const struct tn_tape *tape, int lanes) {
  for (size_t i = 0; i < tape->steps.count; i++) {
    const struct tn_step *step = &tape->steps.at[i];
    const struct tn_expr *e = step->e;
    if (e->kind == TN_EX_LOAD) {
      load(in, step, lanes);
    } else if (e->kind == TN_EX_AFFINE) {
      affine(step, lanes);
    } else {
      const union tn_scalar *arg[3] = {step->arg[0]->lane, step->arg[1] ? step->arg[1]->lane : NULL,
                                       step->arg[2] ? step->arg[2]->lane : NULL};
      enum tn_dtype from = e->op.arg[e->op.op == TN_SELECT ? 1 : 0]->dtype;
      operate(in, e->op.op, e->dtype, from, e->op.flags, lanes, step->out->lane, arg);
    }
  }
}

static void fill(struct tn_row *row, int from, int to, union tn_scalar value) {
  for (int i = from; i < to; i++)
    row->lane[i] = value;
}

/* What holds for the one lane holds for all of them. */
static void spread_outer(const struct tn_code *c) {
  int lanes = c->total < TN_INTERP_LANES ? (int)c->total : TN_INTERP_LANES;
  for (size_t k = 0; k < c->outer.count; k++)
    fill(c->outer.at[k], 1, lanes, c->outer.at[k]->lane[0]);
}

/* Lane i: the values that the loops' variables have in iteration i from `at` on, which is moved on. */
static void fill_loops(const struct tn_code *c, int64_t *at, int lanes) {
  int inner = c->count - 1;
  if (inner < 0)
    return;
  for (int i = 0; i < lanes;) {
    int64_t left = c->extent[inner] - at[inner];
    int run = left < lanes - i ? (int)left : lanes - i;
    for (int k = 0; k < inner; k++)
      fill(c->var[k], i, i + run, (union tn_scalar){.i = at[k]});
    for (int j = 0; j < run; j++)
      c->var[inner]->lane[i + j].i = at[inner] + j;
    i += run;
    at[inner] += run;
    for (int k = inner; k > 0 && at[k] == c->extent[k]; k--) {
      at[k] = 0;
      at[k - 1]++;
    }
  }
}

static void start_reduction(const struct tn_code *c, int lanes) {
  const struct tn_stmt *s = c->s;
  if (c->index)
    memcpy(c->target->lane, c->index->lane, (size_t)lanes * sizeof(union tn_scalar));
  else
    fill(c->target, 0, lanes, tn_scalar_identity(s->reduce.combine, s->reduce.acc->dtype));
}

/* Lanes: the iterations around; the reduction's loops are run one by one. */
static void reduce_across(struct tn_interp *in, const struct tn_code *c, int lanes) {
  enum tn_dtype dtype = c->s->reduce.acc->dtype;
  int64_t at[TN_MAX_REDUCE + 1] = {0};
  const union tn_scalar *arg[3] = {c->target->lane, c->value->lane, NULL};
  run_tape(in, &c->tape, lanes);
  start_reduction(c, lanes);
  for (int64_t done = 0; done < c->total; done++) {
    for (int k = 0; k < c->count; k++)
      fill(c->var[k], 0, lanes, (union tn_scalar){.i = at[k]});
    run_tape(in, &c->inner, lanes);
    operate(in, c->s->reduce.combine, dtype, dtype, 0, lanes, c->target->lane, arg);
    for (int k = c->count - 1; k >= 0 && ++at[k] == c->extent[k] && k > 0; k--)
      at[k] = 0;
  }
}

/* One iteration around; lanes: those of the reduction's loops. */
static void reduce_along(struct tn_interp *in, const struct tn_code *c) {
  enum tn_dtype dtype = c->s->reduce.acc->dtype;
  int64_t at[TN_MAX_REDUCE + 1] = {0};
  int most = c->total < TN_INTERP_LANES ? (int)c->total : TN_INTERP_LANES;
  if (most > 0)
    spread_outer(c);
  run_tape(in, &c->tape, most > 0 ? most : 1);
  start_reduction(c, 1);
  for (int64_t done = 0; done < c->total;) {
    int lanes = c->total - done < TN_INTERP_LANES ? (int)(c->total - done) : TN_INTERP_LANES;
    fill_loops(c, at, lanes);
    run_tape(in, &c->inner, lanes);
    for (int i = 0; i < lanes; i++) {
      const union tn_scalar *arg[3] = {c->target->lane, &c->value->lane[i], NULL};
      operate(in, c->s->reduce.combine, dtype, dtype, 0, 1, c->target->lane, arg);
    }
    done += lanes;
  }
}

static void run_list(struct tn_interp *in, const struct tn_code *list, int lanes);

static void run_loop(struct tn_interp *in, const struct tn_code *c) {
  if (c->copy) {
    tn_copy_strided(c->copy, c->to, c->from);
    return;
  }
  if (c->count == 0) {
    struct tn_row *var = tn_interp_var(in, c->s->loop.var);
    for (int64_t i = 0; i < c->s->loop.var->extent; i++) {
      var->lane[0].i = i;
      run_list(in, c->body, 1);
    }
    return;
  }
  int64_t at[TN_MAX_REDUCE * 2] = {0};
  if (c->total > 0)
    spread_outer(c);
  for (int64_t done = 0; done < c->total;) {
    int lanes = c->total - done < TN_INTERP_LANES ? (int)(c->total - done) : TN_INTERP_LANES;
    fill_loops(c, at, lanes);
    run_list(in, c->leaf, lanes);
    done += lanes;
  }
}

static void run_list(struct tn_interp *in, const struct tn_code *list, int lanes) {
  for (const struct tn_code *c = list; c; c = c->next) {
    switch (c->s->kind) {
    case TN_ST_LOOP:
      run_loop(in, c);
      break;
    case TN_ST_REDUCE:
      if (lanes > 1)
        reduce_across(in, c, lanes);
      else
        reduce_along(in, c);
      break;
    case TN_ST_LET:
    case TN_ST_SET:
      run_tape(in, &c->tape, lanes);
      memmove(c->target->lane, c->value->lane, (size_t)lanes * sizeof(union tn_scalar));
      break;
    case TN_ST_STORE:
      run_tape(in, &c->tape, lanes);
      store(in, c, lanes);
      break;
    case TN_ST_IF:
      run_tape(in, &c->tape, 1);
      run_list(in, c->value->lane[0].i ? c->body : c->other, 1);
      break;
    case TN_ST_WHILE:
      for (run_tape(in, &c->tape, 1); c->value->lane[0].i; run_tape(in, &c->tape, 1))
        run_list(in, c->body, 1);
      break;
    }
  }
}

/* ---- entry
 * --------------------------------------------------------------------------------------------------- */

static void find_storage(struct tn_interp *in) {
  const struct tn_nest *n = in->nest;
  in->storage = TN_NEW_ARRAY(in->arena, struct tn_interp_buf, n->bufs.count + 1);
  for (size_t i = 0; i < n->bufs.count; i++) {
    const struct tn_buf *buf = n->bufs.at[i];
    struct tn_interp_buf *s = &in->storage[i];
    int64_t bytes;
    if (!tn_mul_i64(buf->count, (int64_t)tn_dtype_size(buf->dtype), &bytes))
      tn_bug(in->ctx, "nest '%s': buffer '%s' is larger than memory", n->name, buf->name);
    s->bytes = (size_t)bytes;
    if (buf->param >= 0 && in->data[buf->param])
      s->data = in->data[buf->param];
    else if (buf->data)
      s->data = (uint8_t *)(uintptr_t)buf->data->data; /* constants are not written */
    else if (buf->param >= 0 && bytes > 0)
      tn_bug(in->ctx, "nest '%s': parameter '%s' was given no storage", n->name, buf->name);
    else
      s->data = memset(tn_alloc_raw(in->arena, s->bytes + 1, 64), 0xA5, s->bytes + 1);
  }
}

static bool interpret(void *user) {
  struct tn_interp *in = user;
  const struct tn_nest *n = in->nest;
  in->row = TN_NEW_ARRAY(in->arena, struct tn_row *, n->next_id + 1);
  in->var = TN_NEW_ARRAY(in->arena, struct tn_row *, n->next_var + 1);
  in->stamp = TN_NEW_ARRAY(in->arena, int, n->next_id + 1);
  in->varies = TN_NEW_ARRAY(in->arena, bool, n->next_id + 1);
  in->bound = TN_NEW_ARRAY(in->arena, bool, n->next_var + 1);
  find_storage(in);
  run_list(in, tn_interp_plan(in, n->body), 1);
  return true;
}

bool tn_interpret(tn_ctx *ctx, const struct tn_nest *nest, void *const *data) {
  struct tn_interp in = {.ctx = ctx, .nest = nest, .data = data, .arena = tn_arena_create(ctx)};
  bool good = tn_guard(ctx, interpret, &in);
  tn_arena_destroy(in.arena);
  return good;
}
