/* topk: the k best along an axis, best first, ties in order of position.
 *
 * Elements are compared as integers, their keys: the better, the greater.  What is best is found in three
 * steps, of which the first two are loops that a schedule gives lanes.
 *
 * First a bound that no more than the k best and a few others reach.  The elements are dealt to groups, in
 * turn; at least k elements reach the k-th best of the groups' best.  Where there are too few elements for
 * that, the bound is the k-th best key itself.  It is found bit by bit, counting the keys that reach what it
 * may be.
 *
 * Then blocks of elements of which none reaches the bound are passed over.  Of the others the positions of
 * those that do are noted, without a branch; when there is no room for another block, the third step is done,
 * and what is not among the best so far leaves the bound behind.
 *
 * Last, what was noted is sorted.  A few: by insertion into the best so far.  Many: by their keys' bytes, the
 * lowest first, in passes that keep the order of equal ones (Knuth, "The Art of Computer Programming", volume
 * 3, section 5.2.5).
 *
 * The scratch is of the size of k, unless most of the elements are asked for. */
#include "codegen/define.h"

#define MOST_INSERTED 32 /* best that are kept by insertion */
#define FEW_ELEMENTS 128 /* each of them is inserted */
#define BLOCK 64         /* elements that are passed over at once */
#define PART 16          /* the same, of a block that is not */
#define MOST_BY_RANK 128 /* groups whose bests are compared each with each */
#define DIGITS 256

/* A list of elements: the key and the position of each. */
struct entries {
  struct tn_buf *key, *position;
};

struct topk {
  struct tn_lower *l;
  struct tn_nest *n;
  struct tn_value *x, *values, *indices;
  int axis;
  int64_t extent, k;
  bool largest;
  struct tn_expr *at[TN_MAX_RANK]; /* position in the operand; at[axis] is set as needed */
  enum tn_dtype key, position;
  struct tn_buf *keys; /* of all elements, or NULL: they are made when they are needed */
};

static struct tn_expr *operand_at(struct topk *t, struct tn_expr *pos) {
  t->at[t->axis] = pos;
  return tn_element(t->l, t->x, t->at);
}

/* ---- keys --------------------------------------------------------------------------------------------------
 */

static int64_t most_of(enum tn_dtype key) {
  return key == TN_I64 ? INT64_MAX : INT32_MAX;
}

static int64_t least_of(enum tn_dtype key) {
  return -most_of(key) - 1;
}

/* The integer in whose order floats are: their bits are a sign and a magnitude, both zeros are equal, nans are
 * equal and larger than everything. */
static struct tn_expr *key_of_float(struct tn_nest *n, struct tn_expr *x, enum tn_dtype key) {
  struct tn_expr *bits = tn_ex_op(n, TN_BITCAST, key, 1, &x, 0);
  struct tn_expr *negative = tn_ex_binary(n, TN_LT, bits, tn_ex_int(n, key, 0));
  struct tn_expr *turned = tn_ex_binary(n, TN_SUB, tn_ex_int(n, key, least_of(key)), bits);
  return tn_ex_select(n, tn_ex_unary(n, TN_ISNAN, x), tn_ex_int(n, key, most_of(key) - 1),
                      tn_ex_select(n, negative, turned, bits));
}

/* The better, the greater.  Floats have keys between the least and the largest number of the dtype. */
static struct tn_expr *key_at(struct topk *t, struct tn_expr *pos) {
  struct tn_nest *n = t->n;
  if (t->keys)
    return tn_ex_load(n, t->keys, pos, NULL);
  struct tn_expr *x = operand_at(t, pos), *key;
  if (tn_dtype_is_float(x->dtype)) {
    key = key_of_float(n, x->dtype == TN_F64 ? x : tn_ex_cast(n, x, TN_F32), t->key);
  } else {
    key = tn_ex_cast(n, x, t->key);
    if (x->dtype == TN_U32 || x->dtype == TN_U64)
      key = tn_ex_binary(n, TN_XOR, key, tn_ex_int(n, t->key, least_of(t->key)));
  }
  return t->largest ? key : tn_ex_binary(n, TN_XOR, key, tn_ex_int(n, t->key, -1));
}

static struct entries new_entries(struct topk *t, const char *key, const char *position, int64_t count) {
  return (struct entries){tn_nest_local(t->n, key, t->key, count),
                          tn_nest_local(t->n, position, t->position, count)};
}

static void put(struct tn_cursor *c, const struct entries *to, struct tn_expr *at, struct tn_expr *key,
                struct tn_expr *pos, struct tn_expr *guard) {
  tn_st_store(c, to->key, at, key, guard);
  tn_st_store(c, to->position, at, tn_ex_cast(c->nest, pos, to->position->dtype), guard);
}

static void increase(struct tn_cursor *c, struct tn_expr *var) {
  tn_st_set(c, var, tn_ix_offset(c->nest, var, 1));
}

static struct tn_cursor count_to(struct tn_cursor *c, const char *name, int64_t extent, struct tn_expr **at) {
  struct tn_var *var = tn_loop_var(c->nest, name, extent);
  *at = tn_ex_var(c->nest, var);
  return tn_st_loop(c, var, TN_LOOP_SERIAL);
}

static struct tn_expr *reduce(struct tn_cursor *c, enum tn_op combine, enum tn_dtype dtype, struct tn_var *var,
                              struct tn_expr *term) {
  struct tn_var *acc = tn_value_var(c->nest, "acc", dtype);
  tn_st_reduce(c, acc, combine, NULL, 1, &var, term);
  return tn_ex_var(c->nest, acc);
}

/* ---- 1. the bound ------------------------------------------------------------------------------------------
 */

/* How many of the first `count` keys in the buffer reach `key`. */
static struct tn_expr *reach(struct tn_cursor *c, struct tn_buf *keys, int64_t count, struct tn_expr *key) {
  struct tn_nest *n = c->nest;
  struct tn_var *var = tn_loop_var(n, "r", count);
  struct tn_expr *yes = tn_ex_binary(n, TN_GE, tn_ex_load(n, keys, tn_ex_var(n, var), NULL), key);
  enum tn_dtype dtype = keys->dtype; /* whose lanes are as wide */
  return reduce(c, TN_ADD, dtype, var, tn_ex_cast(n, yes, dtype));
}

/* The k-th best of a buffer of keys: the one that k others reach, itself among them, or a bound that exactly k
 * reach.  The highest bit is decided first. */
static struct tn_expr *bound_by_bits(struct topk *t, struct tn_cursor *c, struct tn_buf *keys, int64_t count) {
  struct tn_nest *n = t->n;
  enum tn_dtype wide = t->key == TN_I64 ? TN_U64 : TN_U32;
  struct tn_expr *k = tn_ex_int(n, t->key, t->k), *none = tn_ex_int(n, wide, 0);
  struct tn_expr *bound = tn_st_let(c, "bound", tn_ex_int(n, t->key, least_of(t->key)));
  struct tn_expr *reached = tn_st_let(c, "reached", tn_ex_int(n, t->key, count));
  struct tn_expr *top = tn_ex_int(n, t->key, least_of(t->key));
  struct tn_expr *bit = tn_st_let(c, "bit", tn_ex_op(n, TN_BITCAST, wide, 1, &top, 0));
  struct tn_expr *more =
      tn_ex_binary(n, TN_AND, tn_ex_binary(n, TN_NE, bit, none), tn_ex_binary(n, TN_NE, reached, k));
  struct tn_cursor in = tn_st_while(c, more), yes;
  struct tn_expr *higher = tn_ex_binary(n, TN_XOR, bound, tn_ex_op(n, TN_BITCAST, t->key, 1, &bit, 0));
  higher = tn_st_let(&in, "higher", higher);
  struct tn_expr *now = reach(&in, keys, count, higher);
  tn_st_if(&in, tn_ex_binary(n, TN_GE, now, k), &yes, NULL);
  tn_st_set(&yes, bound, higher);
  tn_st_set(&yes, reached, now);
  tn_st_set(&in, bit, tn_ex_binary(n, TN_SHR, bit, tn_ex_int(n, wide, 1)));
  return bound;
}

/* The same of a few keys: the largest one that k reach. */
static struct tn_expr *bound_by_rank(struct topk *t, struct tn_cursor *c, struct tn_buf *keys, int64_t count) {
  struct tn_nest *n = t->n;
  struct tn_buf *ranks = tn_nest_local(n, "ranks", t->key, count);
  struct tn_expr *i;
  struct tn_cursor each = count_to(c, "i", count, &i);
  struct tn_expr *rank = reach(&each, keys, count, tn_ex_load(n, keys, i, NULL));
  tn_st_store(&each, ranks, i, rank, NULL);
  struct tn_var *var = tn_loop_var(n, "r", count);
  struct tn_expr *r = tn_ex_var(n, var);
  struct tn_expr *enough = tn_ex_binary(n, TN_GE, tn_ex_load(n, ranks, r, NULL), tn_ex_int(n, t->key, t->k));
  return reduce(c, TN_MAX, t->key, var,
                tn_ex_select(n, enough, tn_ex_load(n, keys, r, NULL), tn_ex_int(n, t->key, least_of(t->key))));
}

/* A key that at least k elements reach, and of those that are worse than the k-th few or none. */
static struct tn_expr *bound(struct topk *t, struct tn_cursor *c) {
  struct tn_nest *n = t->n;
  struct tn_expr *r;
  int64_t groups = tn_round_up(4 * t->k, BLOCK);
  if (t->extent < 2 * groups && t->k <= MOST_INSERTED)
    return tn_ex_int(n, t->key, least_of(t->key));
  if (t->extent < 2 * groups) {
    struct tn_buf *keys = tn_nest_local(n, "keys", t->key, t->extent);
    struct tn_cursor all = count_to(c, "r", t->extent, &r);
    tn_st_store(&all, keys, r, key_at(t, r), NULL);
    t->keys = keys;
    return bound_by_bits(t, c, keys, t->extent);
  }
  struct tn_buf *best = tn_nest_local(n, "groups", t->key, groups);
  struct tn_var *turn = tn_loop_var(n, "turn", t->extent / groups);
  struct tn_cursor all = count_to(c, "g", groups, &r);
  struct tn_expr *key = key_at(t, tn_ix_add(n, tn_ix_scale(n, tn_ex_var(n, turn), groups), r));
  key = reduce(&all, TN_MAX, t->key, turn, key);
  tn_st_store(&all, best, r, key, NULL);
  return groups <= MOST_BY_RANK ? bound_by_rank(t, c, best, groups) : bound_by_bits(t, c, best, groups);
}

/* ---- 3. sorting --------------------------------------------------------------------------------------------
 */

/* An entry finds its place among the `count` best so far, of which k are kept: count is a variable, moved on.
 */
static void insert(struct topk *t, struct tn_cursor *c, const struct entries *best, struct tn_expr *count,
                   struct tn_expr *key, struct tn_expr *pos) {
  struct tn_nest *n = t->n;
  struct tn_expr *zero = tn_ix(n, 0), *k = tn_ix(n, t->k), *p = tn_st_let(c, "p", count);
  struct tn_expr *some = tn_ex_binary(n, TN_GT, p, zero), *previous = tn_ix_offset(n, p, -1);
  struct tn_expr *beaten = tn_ex_binary(n, TN_GT, key, tn_ex_load(n, best->key, previous, some));
  struct tn_cursor body = tn_st_while(c, tn_ex_and(n, some, beaten));
  struct tn_expr *room = tn_ex_binary(n, TN_LT, p, k);
  put(&body, best, p, tn_ex_load(n, best->key, previous, some), tn_ex_load(n, best->position, previous, some),
      room);
  tn_st_set(&body, p, previous);
  put(c, best, p, key, pos, room);
  tn_st_set(c, count, tn_ex_binary(n, TN_MIN, tn_ix_offset(n, count, 1), k));
}

static struct tn_expr *digit(struct topk *t, struct tn_expr *key, int pass, int passes) {
  struct tn_nest *n = t->n;
  /* The best first: the greatest digit is 0; the highest byte has the sign. */
  key = tn_ex_binary(n, TN_XOR, key, tn_ex_int(n, t->key, pass + 1 == passes ? most_of(t->key) : -1));
  key = tn_ex_binary(n, TN_SHR, key, tn_ex_int(n, t->key, 8 * pass));
  return tn_ex_cast(n, tn_ex_binary(n, TN_AND, key, tn_ex_int(n, t->key, DIGITS - 1)), TN_INDEX);
}

/* Sorts the first `count` entries; `other` has room for as many.  Each pass deals all of them to the places of
 * their digits, which one count of all digits told. */
static void sort(struct topk *t, struct tn_cursor *c, struct entries from, struct entries other,
                 struct tn_expr *count) {
  struct tn_nest *n = t->n;
  int passes = (int)tn_dtype_size(t->key);
  struct tn_buf *places = tn_nest_local(n, "places", t->position, (int64_t)passes * DIGITS);
  struct tn_expr *r, *total[8], *none = tn_ex_int(n, t->position, 0), *one = tn_ex_int(n, t->position, 1);
  struct tn_cursor in = count_to(c, "d", (int64_t)passes * DIGITS, &r);
  tn_st_store(&in, places, r, none, NULL);

  struct tn_expr *q = tn_st_let(c, "q", tn_ix(n, 0));
  in = tn_st_while(c, tn_ex_binary(n, TN_LT, q, count));
  struct tn_expr *key = tn_st_let(&in, "key", tn_ex_load(n, from.key, q, NULL));
  for (int p = 0; p < passes; p++) {
    struct tn_expr *place = tn_ix_offset(n, digit(t, key, p, passes), (int64_t)p * DIGITS);
    tn_st_store(&in, places, place, tn_ex_binary(n, TN_ADD, tn_ex_load(n, places, place, NULL), one), NULL);
  }
  increase(&in, q);

  for (int p = 0; p < passes; p++)
    total[p] = tn_st_let(c, "total", none);
  in = count_to(c, "d", DIGITS, &r);
  for (int p = 0; p < passes; p++) {
    struct tn_expr *place = tn_ix_offset(n, r, (int64_t)p * DIGITS);
    struct tn_expr *have = tn_st_let(&in, "have", tn_ex_load(n, places, place, NULL));
    tn_st_store(&in, places, place, total[p], NULL);
    tn_st_set(&in, total[p], tn_ex_binary(n, TN_ADD, total[p], have));
  }

  for (int p = 0; p < passes; p++) { /* an even number: the last ends where the first began */
    q = tn_st_let(c, "q", tn_ix(n, 0));
    in = tn_st_while(c, tn_ex_binary(n, TN_LT, q, count));
    key = tn_st_let(&in, "key", tn_ex_load(n, from.key, q, NULL));
    struct tn_expr *place = tn_ix_offset(n, digit(t, key, p, passes), (int64_t)p * DIGITS);
    struct tn_expr *at = tn_st_let(&in, "at", tn_ex_load(n, places, place, NULL));
    tn_st_store(&in, places, place, tn_ex_binary(n, TN_ADD, at, one), NULL);
    put(&in, &other, tn_ex_cast(n, at, TN_INDEX), key, tn_ex_load(n, from.position, q, NULL), NULL);
    increase(&in, q);
    struct entries swap = from;
    from = other;
    other = swap;
  }
}

/* ---- 2. passing over ---------------------------------------------------------------------------------------
 */

/* Notes the element at pos as entry `count`, a variable, which is moved on where the element reaches the bound.
 */
static void note(struct tn_cursor *c, const struct entries *noted, struct tn_expr *count, struct tn_expr *least,
                 struct tn_expr *key, struct tn_expr *pos) {
  struct tn_nest *n = c->nest;
  put(c, noted, count, key, pos, NULL);
  struct tn_expr *yes = tn_ex_cast(n, tn_ex_binary(n, TN_GE, key, least), TN_INDEX);
  tn_st_set(c, count, tn_ix_add(n, count, yes));
}

/* Notes those of a block's elements that reach the bound; parts of it are passed over, too. */
static void note_block(struct topk *t, struct tn_cursor *c, const struct entries *noted, struct tn_expr *count,
                       struct tn_expr *least, struct tn_expr *first) {
  struct tn_nest *n = t->n;
  struct topk block = *t;
  struct tn_expr *r, *part;
  if (!t->keys) {
    block.keys = tn_nest_local(n, "block", t->key, BLOCK);
    struct tn_cursor each = count_to(c, "r", BLOCK, &r);
    tn_st_store(&each, block.keys, r, key_at(t, tn_ix_add(n, first, r)), NULL);
  }
  struct tn_cursor parts = count_to(c, "part", BLOCK / PART, &part), yes;
  struct tn_var *var = tn_loop_var(n, "r", PART);
  struct tn_expr *start = tn_ix_scale(n, part, PART), *from = t->keys ? tn_ix_add(n, first, start) : start;
  struct tn_expr *key = tn_ex_load(n, block.keys, tn_ix_add(n, from, tn_ex_var(n, var)), NULL);
  struct tn_expr *most = reduce(&parts, TN_MAX, t->key, var, key);
  tn_st_if(&parts, tn_ex_binary(n, TN_GE, most, least), &yes, NULL);
  struct tn_cursor each = count_to(&yes, "r", PART, &r);
  key = tn_st_let(&each, "key", tn_ex_load(n, block.keys, tn_ix_add(n, from, r), NULL));
  note(&each, noted, count, least, key, tn_ix_add(n, tn_ix_add(n, first, start), r));
}

/* Where there are k best so far, of which the worst has `worst` as its key, only a better one is among them.
 * (Of the keys of integers the largest has none above it: what equals it is found to be no better when it is
 * sorted.) */
static void raise(struct topk *t, struct tn_cursor *c, struct tn_expr *least, struct tn_expr *count,
                  const struct entries *best) {
  struct tn_nest *n = t->n;
  struct tn_cursor full;
  tn_st_if(c, tn_ex_binary(n, TN_GE, count, tn_ix(n, t->k)), &full, NULL);
  struct tn_expr *worst = tn_st_let(&full, "worst", tn_ex_load(n, best->key, tn_ix(n, t->k - 1), NULL));
  struct tn_expr *top = tn_ex_int(n, t->key, most_of(t->key));
  struct tn_expr *above = tn_ex_binary(n, TN_ADD, worst, tn_ex_int(n, t->key, 1));
  tn_st_set(&full, least, tn_ex_select(n, tn_ex_binary(n, TN_EQ, worst, top), top, above));
}

/* The best of blocks of elements; returns where the k best are in the end. */
static struct entries select_best(struct topk *t, struct tn_cursor *c) {
  struct tn_nest *n = t->n;
  bool few = t->k <= MOST_INSERTED;
  int64_t blocks = t->extent / BLOCK, rest = t->extent % BLOCK;
  int64_t room =
      few ? 2 * BLOCK : tn_round_up(2 * t->k, BLOCK) + BLOCK; /* when it is full no block more is noted */
  struct entries noted = new_entries(t, "noted", "noted_position", room + BLOCK), best = noted, other = noted;
  if (few)
    best = new_entries(t, "best", "best_position", t->k);
  else
    other = new_entries(t, "sorted", "sorted_position", room + BLOCK);
  struct tn_expr *least = tn_st_let(c, "least", bound(t, c));
  struct tn_expr *zero = tn_ix(n, 0), *block = tn_st_let(c, "block", zero),
                 *count = tn_st_let(c, "count", zero);
  struct tn_expr *have = few ? tn_st_let(c, "have", zero) : count;
  struct tn_expr *done = tn_st_let(c, "done", tn_ex_int(n, TN_BOOL, 0));
  struct tn_expr *left = tn_ex_binary(n, TN_LT, block, tn_ix(n, blocks)), *r;
  struct tn_cursor round = tn_st_while(c, tn_ex_unary(n, TN_NOT, done)), in, yes;
  struct tn_expr *fits = tn_ex_binary(n, TN_LE, count, tn_ix(n, room - BLOCK));
  in = tn_st_while(&round, tn_ex_and(n, left, fits));
  struct tn_var *var = tn_loop_var(n, "r", BLOCK);
  struct tn_expr *first = tn_ix_scale(n, block, BLOCK);
  struct tn_expr *most = reduce(&in, TN_MAX, t->key, var, key_at(t, tn_ix_add(n, first, tn_ex_var(n, var))));
  tn_st_if(&in, tn_ex_binary(n, TN_GE, most, least), &yes, NULL);
  note_block(t, &yes, &noted, count, least, first);
  increase(&in, block);

  tn_st_set(&round, done, tn_ex_unary(n, TN_NOT, left));
  if (rest) { /* there is room for as many after the last block, however many were noted */
    tn_st_if(&round, done, &yes, NULL);
    struct tn_cursor each = count_to(&yes, "r", rest, &r);
    struct tn_expr *pos = tn_ix_offset(n, r, blocks * BLOCK);
    note(&each, &noted, count, least, tn_st_let(&each, "key", key_at(t, pos)), pos);
  }
  if (few) {
    struct tn_expr *q = tn_st_let(&round, "q", zero);
    in = tn_st_while(&round, tn_ex_binary(n, TN_LT, q, count));
    struct tn_expr *key = tn_st_let(&in, "key", tn_ex_load(n, noted.key, q, NULL));
    insert(t, &in, &best, have, key, tn_ex_load(n, noted.position, q, NULL));
    increase(&in, q);
    tn_st_set(&round, count, zero);
  } else {
    sort(t, &round, noted, other, count);
    tn_st_set(&round, count, tn_ex_binary(n, TN_MIN, count, tn_ix(n, t->k)));
  }
  raise(t, &round, least, have, &best);
  return best;
}

/* ---- all of it ---------------------------------------------------------------------------------------------
 */

/* Where the best element is first. */
static struct tn_expr *position_of_best(struct topk *t, struct tn_cursor *c) {
  struct tn_nest *n = t->n;
  struct tn_var *var = tn_loop_var(n, "r", t->extent), *again = tn_loop_var(n, "r", t->extent);
  struct tn_expr *best = reduce(c, TN_MAX, t->key, var, key_at(t, tn_ex_var(n, var)));
  struct tn_expr *r = tn_ex_var(n, again), *equal = tn_ex_binary(n, TN_EQ, key_at(t, r), best);
  struct tn_expr *none = tn_ex_int(n, t->position, t->extent - 1);
  return reduce(c, TN_MIN, t->position, again, tn_ex_select(n, equal, tn_ex_cast(n, r, t->position), none));
}

static struct entries insert_all(struct topk *t, struct tn_cursor *c) {
  struct entries best = new_entries(t, "best", "best_position", t->k);
  struct tn_expr *r, *count = tn_st_let(c, "count", tn_ix(t->n, 0));
  struct tn_cursor each = count_to(c, "r", t->extent, &r);
  struct tn_expr *key = tn_st_let(&each, "key", key_at(t, r));
  insert(t, &each, &best, count, key, r);
  return best;
}

static struct entries sort_all(struct topk *t, struct tn_cursor *c) {
  struct entries all = new_entries(t, "noted", "noted_position", t->extent);
  struct entries other = new_entries(t, "sorted", "sorted_position", t->extent);
  struct tn_expr *r;
  struct tn_cursor each = count_to(c, "r", t->extent, &r);
  put(&each, &all, r, key_at(t, r), r, NULL);
  sort(t, c, all, other, tn_ix(t->n, t->extent));
  return all;
}

static void topk(struct tn_lower *l, const struct tn_node *node, struct tn_cursor *c) {
  struct topk t = {.l = l, .n = l->nest, .x = node->in[0], .values = node->out[0], .indices = node->out[1]};
  t.axis = tn_define_axis(node, TN_TOPK_axis, t.x->type.rank);
  t.extent = t.x->type.dim[t.axis];
  t.k = tn_get_int(node, TN_TOPK_k);
  t.largest = tn_get_int(node, TN_TOPK_largest) != 0;
  if (t.k == 0 || t.extent == 0)
    return; /* the results are empty */
  t.key = tn_dtype_size(t.x->type.dtype) > 4 ? TN_I64 : TN_I32;
  t.position = t.extent <= INT32_MAX ? TN_I32 : TN_I64;
  struct tn_cursor body, *in = tn_define_loops(c, &t.x->type, t.axis, TN_LOOP_SERIAL, t.at, &body);
  struct tn_expr *q = tn_ix(t.n, 0), *pos;
  struct tn_cursor results = *in;
  if (t.k == 1) {
    pos = position_of_best(&t, in);
    results = *in;
  } else {
    struct entries best = t.k <= MOST_INSERTED && t.extent <= FEW_ELEMENTS ? insert_all(&t, in)
                          : t.extent >= 2 * t.k                            ? select_best(&t, in)
                                                                           : sort_all(&t, in);
    results = count_to(in, "q", t.k, &q);
    pos = tn_ex_load(t.n, best.position, q, NULL);
  }
  struct tn_expr *value = operand_at(&t, tn_ex_cast(t.n, pos, TN_INDEX));
  t.at[t.axis] = q;
  tn_result(l, &results, t.values, t.at, value, NULL);
  tn_result(l, &results, t.indices, t.at, tn_ex_cast(t.n, pos, t.indices->type.dtype), NULL);
}
const struct tn_definition tn_define_topk = {.nest = topk};
