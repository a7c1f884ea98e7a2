/* Dimensions: numbers, named symbols, and expressions of them.
 *
 * Dim -1 - i names symbols.at[i].  An expression is kept in one form, so that two dims are equal exactly when
 * they are the same number, as far as the rules here can tell: sums of products of atoms are multiplied out and
 * sorted (a polynomial), where an atom is a named symbol or a quotient, remainder, maximum or minimum.  A
 * polynomial that is too large for that is kept as it was written, which is sound and only misses equalities.
 *
 * A divisor is taken to be other than zero: (a * b) / b is a.  A static result that overflows becomes
 * INT64_MAX, which no type may hold. */
#include "ir/ir.h"

enum { MAX_TERMS = 16, MAX_DEGREE = 6, MAX_DEPTH = 64, MAX_TEXT = 400 };

struct term {
  int64_t coef;
  int degree;
  tn_dim atom[MAX_DEGREE]; /* descending: first named, first placed */
};
struct poly {
  int count;
  struct term at[MAX_TERMS]; /* sorted by term_order, no zero coefficients, no two of the same atoms */
};

static const struct tn_symbol *symbol_of(const struct tn_module *module, tn_dim dim) {
  return &module->symbols.at[-1 - dim];
}

static bool symbol_is_number(const struct tn_symbol *s) {
  return s->op == 0 && s->low == s->high && s->low < 0;
}

bool tn_dim_value(const struct tn_module *module, tn_dim dim, int64_t *out) {
  if (dim >= 0) {
    *out = dim;
    return true;
  }
  const struct tn_symbol *s = symbol_of(module, dim);
  if (symbol_is_number(s))
    *out = s->low;
  return symbol_is_number(s);
}

/* ---- symbols ------------------------------------------------------------------------------------------- */

static tn_dim symbol_find(const struct tn_module *module, const char *key) {
  return -(tn_dim)(uintptr_t)tn_map_get(&module->symbol_index, key); /* 0: absent */
}

static tn_dim symbol_add(struct tn_module *module, const char *key, struct tn_symbol symbol) {
  TN_PUSH(module->arena, &module->symbols, symbol);
  tn_map_set(&module->symbol_index, key, (void *)(uintptr_t)module->symbols.count);
  return -(tn_dim)module->symbols.count;
}

tn_dim tn_symbol_named(struct tn_module *module, const char *name) {
  while (*name == '\001') /* kept for keys, below */
    name++;
  tn_dim found = symbol_find(module, name);
  if (found)
    return found;
  name = tn_strdup(module->arena, name);
  return symbol_add(module, name, (struct tn_symbol){.name = name, .low = 0, .high = INT64_MAX});
}

/* Keys of what is not named by the user start with a byte that no name starts with. */
tn_dim tn_dim_int(struct tn_module *module, int64_t value) {
  if (value >= 0)
    return value;
  char *key = tn_printf(module->arena, "\001%lld", (long long)value);
  tn_dim found = symbol_find(module, key);
  return found ? found
               : symbol_add(module, key, (struct tn_symbol){.name = key + 1, .low = value, .high = value});
}

const char *tn_dim_text(struct tn_module *module, tn_dim dim) {
  if (dim >= 0)
    return tn_printf(module->arena, "%lld", (long long)dim);
  return symbol_of(module, dim)->name;
}

/* ---- bounds: INT64_MIN and INT64_MAX stand for none ---------------------------------------------------- */

static void bounds_of(const struct tn_module *module, tn_dim dim, int64_t *low, int64_t *high) {
  *low = *high = dim;
  if (dim < 0) {
    *low = symbol_of(module, dim)->low;
    *high = symbol_of(module, dim)->high;
  }
}

static bool is_infinite(int64_t x) {
  return x == INT64_MIN || x == INT64_MAX;
}

static int64_t bound_add(int64_t a, int64_t b) {
  int64_t sum;
  if (is_infinite(a) || is_infinite(b))
    return is_infinite(a) ? a : b; /* never of opposite signs: lows are added to lows */
  if (tn_add_i64(a, b, &sum))
    return sum;
  return a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t bound_mul(int64_t a, int64_t b) {
  int64_t product;
  if (a == 0 || b == 0)
    return 0;
  if (!is_infinite(a) && !is_infinite(b) && tn_mul_i64(a, b, &product))
    return product;
  return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

static void derive_bounds(const struct tn_module *module, struct tn_symbol *s) {
  int64_t al, ah, bl, bh;
  bounds_of(module, s->a, &al, &ah);
  bounds_of(module, s->b, &bl, &bh);
  s->low = INT64_MIN;
  s->high = INT64_MAX;
  switch (s->op) {
  case '+':
    s->low = bound_add(al, bl);
    s->high = bound_add(ah, bh);
    break;
  case '*': {
    int64_t corner[4] = {bound_mul(al, bl), bound_mul(al, bh), bound_mul(ah, bl), bound_mul(ah, bh)};
    s->low = s->high = corner[0];
    for (int i = 1; i < 4; i++) {
      s->low = corner[i] < s->low ? corner[i] : s->low;
      s->high = corner[i] > s->high ? corner[i] : s->high;
    }
    break;
  }
  case '/':
    if (bl > 0) { /* the divisor of larger size brings the quotient nearer to zero */
      int64_t l = al < 0 ? bl : bh, h = ah < 0 ? bh : bl;
      s->low = al == INT64_MIN ? INT64_MIN : l == INT64_MAX ? 0 : tn_floor_div(al, l);
      s->high = ah == INT64_MAX ? INT64_MAX : h == INT64_MAX ? (ah < 0 ? -1 : 0) : tn_floor_div(ah, h);
    } else if (al >= 0 && bl >= 0) {
      s->low = 0;
      s->high = ah;
    }
    break;
  case '%':
    if (bl >= 0) {
      s->low = 0;
      s->high = bh == INT64_MAX || bh == 0 ? bh : bh - 1;
    }
    break;
  case 'M':
    s->low = al > bl ? al : bl;
    s->high = ah > bh ? ah : bh;
    break;
  case 'm':
    s->low = al < bl ? al : bl;
    s->high = ah < bh ? ah : bh;
    break;
  default:
    break;
  }
}

/* ---- expressions --------------------------------------------------------------------------------------- */

static char *expression_text(struct tn_module *module, char op, tn_dim a, tn_dim b) {
  const char *x = tn_dim_text(module, a), *y = tn_dim_text(module, b);
  int64_t value;
  if (op == '+' && tn_dim_value(module, b, &value) && value < 0 && value != INT64_MIN)
    return tn_printf(module->arena, "(%s - %lld)", x, (long long)-value);
  if (op == 'M' || op == 'm')
    return tn_printf(module->arena, "%s(%s, %s)", op == 'M' ? "max" : "min", x, y);
  return tn_printf(module->arena, "(%s %c %s)", x, op, y);
}

/* The symbol of an expression that is already in its one form. */
static tn_dim intern(struct tn_module *module, char op, tn_dim a, tn_dim b) {
  char *key = tn_printf(module->arena, "\001%c %lld %lld", op, (long long)a, (long long)b);
  tn_dim found = symbol_find(module, key);
  if (found)
    return found;
  struct tn_symbol s = {.op = (uint8_t)op, .a = a, .b = b};
  char *text = expression_text(module, op, a, b);
  if (strlen(text) > MAX_TEXT) /* a chain of sums of products doubles its text at every step */
    text = tn_printf(module->arena, "expr.%zu", module->symbols.count);
  s.name = text;
  derive_bounds(module, &s);
  return symbol_add(module, key, s);
}

/* By degree, constants last; then by atoms, older symbols first. */
static int term_order(const struct term *a, const struct term *b) {
  if ((a->degree == 0) != (b->degree == 0))
    return a->degree == 0 ? 1 : -1;
  for (int i = 0; i < a->degree && i < b->degree; i++)
    if (a->atom[i] != b->atom[i])
      return a->atom[i] > b->atom[i] ? -1 : 1;
  return a->degree - b->degree;
}

static bool poly_add_term(struct poly *p, const struct term *t) {
  int i = 0;
  while (i < p->count && term_order(&p->at[i], t) < 0)
    i++;
  if (i < p->count && term_order(&p->at[i], t) == 0) {
    if (!tn_add_i64(p->at[i].coef, t->coef, &p->at[i].coef))
      return false;
    if (p->at[i].coef == 0) {
      p->count--;
      memmove(&p->at[i], &p->at[i + 1], (size_t)(p->count - i) * sizeof p->at[0]);
    }
    return true;
  }
  if (t->coef == 0)
    return true;
  if (p->count == MAX_TERMS)
    return false;
  memmove(&p->at[i + 1], &p->at[i], (size_t)(p->count - i) * sizeof p->at[0]);
  p->at[i] = *t;
  p->count++;
  return true;
}

/* p += scale * q */
static bool poly_add(struct poly *p, const struct poly *q, int64_t scale) {
  for (int i = 0; i < q->count; i++) {
    struct term t = q->at[i];
    if (!tn_mul_i64(t.coef, scale, &t.coef) || !poly_add_term(p, &t))
      return false;
  }
  return true;
}

static bool poly_mul(struct poly *out, const struct poly *p, const struct poly *q) {
  out->count = 0;
  for (int i = 0; i < p->count; i++)
    for (int j = 0; j < q->count; j++) {
      const struct term *x = &p->at[i], *y = &q->at[j];
      struct term t = {.degree = x->degree + y->degree};
      if (t.degree > MAX_DEGREE || !tn_mul_i64(x->coef, y->coef, &t.coef))
        return false;
      for (int k = 0, a = 0, b = 0; k < t.degree; k++) {
        bool first = b == y->degree || (a < x->degree && x->atom[a] >= y->atom[b]);
        t.atom[k] = first ? x->atom[a++] : y->atom[b++];
      }
      if (!poly_add_term(out, &t))
        return false;
    }
  return true;
}

static bool poly_of(const struct tn_module *module, tn_dim dim, int depth, struct poly *out) {
  int64_t value;
  out->count = 0;
  if (tn_dim_value(module, dim, &value))
    return poly_add_term(out, &(struct term){.coef = value});
  const struct tn_symbol *s = symbol_of(module, dim);
  if (s->op != '+' && s->op != '*')
    return poly_add_term(out, &(struct term){.coef = 1, .degree = 1, .atom = {dim}});
  struct poly a, b;
  if (depth == MAX_DEPTH || !poly_of(module, s->a, depth + 1, &a) || !poly_of(module, s->b, depth + 1, &b))
    return false;
  if (s->op == '*')
    return poly_mul(out, &a, &b);
  *out = a;
  return poly_add(out, &b, 1);
}

static tn_dim poly_dim(struct tn_module *module, const struct poly *p) {
  if (p->count == 0)
    return 0;
  tn_dim sum = 0;
  for (int i = 0; i < p->count; i++) {
    const struct term *t = &p->at[i];
    tn_dim product = t->degree ? t->atom[0] : tn_dim_int(module, t->coef);
    for (int k = 1; k < t->degree; k++)
      product = intern(module, '*', product, t->atom[k]);
    if (t->degree && t->coef != 1)
      product = intern(module, '*', product, tn_dim_int(module, t->coef));
    sum = i ? intern(module, '+', sum, product) : product;
  }
  return sum;
}

static bool poly_constant(const struct poly *p, int64_t *out) {
  *out = p->count ? p->at[0].coef : 0;
  return p->count == 0 || (p->count == 1 && p->at[0].degree == 0);
}

/* out = p / q when that leaves no remainder, q a single term. */
static bool poly_exact(struct poly *out, const struct poly *p, const struct poly *q) {
  out->count = 0;
  if (q->count != 1)
    return false;
  const struct term *d = &q->at[0];
  for (int i = 0; i < p->count; i++) {
    struct term t = {.coef = 0};
    int matched = 0;
    for (int k = 0; k < p->at[i].degree; k++)
      if (matched < d->degree && p->at[i].atom[k] == d->atom[matched])
        matched++;
      else
        t.atom[t.degree++] = p->at[i].atom[k];
    if (matched < d->degree || d->coef <= 0 || p->at[i].coef % d->coef != 0)
      return false;
    t.coef = p->at[i].coef / d->coef;
    if (!poly_add_term(out, &t))
      return false;
  }
  return true;
}

/* p == factor * q for a whole factor. */
static bool poly_multiple(const struct poly *p, const struct poly *q, int64_t *factor) {
  if (p->count == 0 || p->count != q->count || p->at[0].coef == INT64_MIN || p->at[0].coef % q->at[0].coef != 0)
    return false;
  *factor = p->at[0].coef / q->at[0].coef;
  for (int i = 0; i < p->count; i++) {
    int64_t scaled;
    if (term_order(&p->at[i], &q->at[i]) != 0 || !tn_mul_i64(q->at[i].coef, *factor, &scaled) ||
        scaled != p->at[i].coef)
      return false;
  }
  return true;
}

/* floor(p / c), c > 0: whole multiples of c come out of the quotient, common factors go. */
static tn_dim divide_by_number(struct tn_module *module, const struct poly *p, int64_t c) {
  struct poly whole = {.count = 0}, rest = {.count = 0};
  int64_t common = c;
  for (int i = 0; i < p->count; i++) {
    struct term t = p->at[i], out = t;
    /* A constant is split; a term is taken whole or not at all. */
    out.coef = t.degree == 0 || t.coef % c == 0 ? tn_floor_div(t.coef, c) : 0;
    t.coef -= out.coef * c;
    (void)poly_add_term(&whole, &out); /* no more terms than p has */
    (void)poly_add_term(&rest, &t);
  }
  for (int i = 0; i < rest.count; i++)
    common = tn_gcd(common, rest.at[i].coef);
  for (int i = 0; i < rest.count; i++)
    rest.at[i].coef /= common;
  c /= common;
  int64_t ignored;
  if (poly_constant(&rest, &ignored)) /* 0 <= rest < c */
    return poly_dim(module, &whole);
  tn_dim top = poly_dim(module, &rest), quotient;
  const struct tn_symbol *s = symbol_of(module, top);
  int64_t inner, product;
  if (s->op == '/' && tn_dim_value(module, s->b, &inner) && inner > 0 && tn_mul_i64(inner, c, &product))
    quotient = tn_dim_op(module, '/', s->a, product);
  else
    quotient = c == 1 ? top : intern(module, '/', top, c);
  return tn_dim_op(module, '+', quotient, poly_dim(module, &whole));
}

static tn_dim remainder_by_number(struct tn_module *module, const struct poly *p, int64_t c) {
  struct poly rest = {.count = 0};
  for (int i = 0; i < p->count; i++) {
    struct term t = p->at[i];
    t.coef = tn_floor_mod(t.coef, c);
    (void)poly_add_term(&rest, &t);
  }
  int64_t value;
  if (poly_constant(&rest, &value))
    return value;
  return intern(module, '%', poly_dim(module, &rest), c);
}

static tn_dim fold_numbers(struct tn_module *module, char op, int64_t x, int64_t y) {
  int64_t out = 0;
  bool fits = true;
  switch (op) {
  case '+':
    fits = tn_add_i64(x, y, &out);
    break;
  case '-':
    fits = y != INT64_MIN && tn_add_i64(x, -y, &out);
    break;
  case '*':
    fits = tn_mul_i64(x, y, &out);
    break;
  case '/':
  case '%':
    if (y == -1)
      fits = op == '%' || tn_mul_i64(x, -1, &out);
    else if (y != 0)
      out = op == '/' ? tn_floor_div(x, y) : tn_floor_mod(x, y);
    break;
  case 'M':
    out = x > y ? x : y;
    break;
  case 'm':
    out = x < y ? x : y;
    break;
  default:
    tn_bug(module->ctx, "no operation '%c' on dimensions", op);
  }
  return fits ? tn_dim_int(module, out) : INT64_MAX;
}

static tn_dim extreme(struct tn_module *module, char op, tn_dim a, tn_dim b, const struct poly *difference) {
  int64_t al, ah, bl, bh, gap;
  bounds_of(module, a, &al, &ah);
  bounds_of(module, b, &bl, &bh);
  if (difference && poly_constant(difference, &gap))
    return (gap >= 0) == (op == 'M') ? a : b;
  if (al >= bh)
    return op == 'M' ? a : b;
  if (bl >= ah)
    return op == 'M' ? b : a;
  bool swap = a >= 0 || (b < 0 && a < b); /* older symbol first, a number last */
  return swap ? intern(module, op, b, a) : intern(module, op, a, b);
}

tn_dim tn_dim_op(struct tn_module *module, char op, tn_dim a, tn_dim b) {
  int64_t x = 0, y = 0, factor = 0;
  bool a_number = tn_dim_value(module, a, &x), b_number = tn_dim_value(module, b, &y);
  if (a_number && b_number)
    return fold_numbers(module, op, x, y);
  struct poly p, q, r;
  bool small = poly_of(module, a, 0, &p) && poly_of(module, b, 0, &q);
  switch (op) {
  case '+':
    return small && poly_add(&p, &q, 1) ? poly_dim(module, &p) : intern(module, '+', a, b);
  case '-':
    if (small && poly_add(&p, &q, -1))
      return poly_dim(module, &p);
    return intern(module, '+', a, intern(module, '*', b, tn_dim_int(module, -1)));
  case '*':
    return small && poly_mul(&r, &p, &q) ? poly_dim(module, &r) : intern(module, '*', a, b);
  case '/':
    if (small && b_number && y > 0)
      return divide_by_number(module, &p, y);
    if (b_number && y == 0)
      return 0;
    if (small && poly_exact(&r, &p, &q))
      return poly_dim(module, &r);
    if (small && poly_multiple(&p, &q, &factor))
      return tn_dim_int(module, factor);
    return intern(module, '/', a, b);
  case '%':
    if (small && b_number && y > 0)
      return remainder_by_number(module, &p, y);
    if ((b_number && y == 0) || (small && (poly_exact(&r, &p, &q) || poly_multiple(&p, &q, &factor))))
      return 0;
    return intern(module, '%', a, b);
  case 'M':
  case 'm':
    return extreme(module, op, a, b, small && poly_add(&p, &q, -1) ? &p : NULL);
  default:
    tn_bug(module->ctx, "no operation '%c' on dimensions", op);
  }
}
