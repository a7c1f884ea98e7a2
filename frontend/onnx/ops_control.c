/* Control flow: If, Loop, Scan.
 *
 * A body becomes a region where tensor IR can say what it does.  Where it cannot (a value changes its shape
 * from one iteration to the next, a sequence is carried, the iteration number decides a shape) and the number
 * of iterations is known and small, the iterations are written out one after the other. */
#include "frontend/onnx/import.h"
#include "frontend/onnx/loop.h"

enum { MOST_UNROLLED = 64 };

/* One import of a graph attribute under a guard. */
struct body {
  struct tn_onnx_node *n;
  const char *name;
  struct tn_build *into;
  int in_count, out_count;
  struct tn_onnx_arg *args, *outs;
};

static bool import_body(void *user) {
  struct body *body = user;
  tn_onnx_import_graph(body->n, body->name, body->into, body->in_count, body->args, body->out_count,
                       body->outs);
  return true;
}

static val bool_constant(struct tn_build *b, bool value) {
  return tn_constant_bytes(b, tn_type_scalar(TN_BOOL), &(uint8_t){value});
}

static bool same_type(const struct tn_type *a, const struct tn_type *b) {
  return a->dtype == b->dtype && tn_shape_equal(a, b);
}

static const char *type_text(struct tn_onnx_node *n, const struct tn_type *type) {
  struct tn_str s;
  tn_str_init(&s, n->arena);
  tn_str_add(&s, "%s[", tn_dtype_name(type->dtype));
  for (int i = 0; i < type->rank; i++)
    tn_str_add(&s, "%s%s", i ? ", " : "", tn_dim_text(module_of(n), type->dim[i]));
  tn_str_add(&s, "]");
  return s.at;
}

/* A scalar condition or count in the dtype; one element of rank 1 passes, as runtimes let it. */
static val scalar_of(struct tn_onnx_node *n, val x, enum tn_dtype dtype, const char *what) {
  x = tn_onnx_scalar(n->b, x);
  if (x->type.rank != 0 || x->type.dtype != dtype) {
    tn_onnx_error(n, "%s, '%s', must be a scalar of %s, and is %s", what, x->name, tn_dtype_name(dtype),
                  type_text(n, &x->type));
    tn_fail_now(module_of(n)->ctx);
  }
  return x;
}

/* ---- If ------------------------------------------------------------------------------------------------ */

/* The outputs of a branch as the values that a region can give: a sequence or optional is what it holds. */
struct flat {
  TN_VEC(val) values;
};

static void flatten(struct tn_onnx_node *n, const struct tn_onnx_arg *arg, struct flat *out) {
  if (arg->value)
    TN_PUSH(n->arena, &out->values, arg->value);
  for (size_t i = 0; arg->list && i < arg->list->count; i++)
    flatten(n, &arg->list->at[i], out);
}

/* Whether two outputs hold tensors at the same places. */
static bool same_form(const struct tn_onnx_arg *a, const struct tn_onnx_arg *b) {
  if (!a->list || !b->list)
    return !a->list && !b->list && !a->value == !b->value;
  if (a->list->optional != b->list->optional || a->list->count != b->list->count)
    return false;
  for (size_t i = 0; i < a->list->count; i++)
    if (!same_form(&a->list->at[i], &b->list->at[i]))
      return false;
  return true;
}

/* The form of `like` with the values that follow in *at. */
static struct tn_onnx_arg rebuilt(struct tn_onnx_node *n, const struct tn_onnx_arg *like, val **at) {
  if (!like->list)
    return (struct tn_onnx_arg){like->value ? *(*at)++ : NULL, NULL};
  struct tn_onnx_arg *items = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, like->list->count + 1);
  for (size_t i = 0; i < like->list->count; i++)
    items[i] = rebuilt(n, &like->list->at[i], at);
  return (struct tn_onnx_arg){
      NULL, tn_onnx_list_make(n, like->list->optional, like->list->dtype, like->list->count, items)};
}

/* The branches' results agree: else the condition has to be known now. */
static bool branches_agree(struct tn_onnx_node *n, int count, struct tn_onnx_arg *const outs[2],
                           struct flat flat[2]) {
  for (int i = 0; i < count; i++) {
    size_t first = flat[0].values.count;
    if (!same_form(&outs[0][i], &outs[1][i]))
      return tn_onnx_error(n,
                           "its result %d is a sequence or an optional that holds other things in the two "
                           "branches, which needs a condition that is known at compile time",
                           i);
    for (int k = 0; k < 2; k++)
      flatten(n, &outs[k][i], &flat[k]);
    for (size_t v = first; v < flat[0].values.count; v++) {
      const struct tn_type *a = &flat[0].values.at[v]->type, *b = &flat[1].values.at[v]->type;
      if (!same_type(a, b))
        return tn_onnx_error(n,
                             "its result %d is %s in the then branch and %s in the else branch, which needs a "
                             "condition that is known at compile time",
                             i, type_text(n, a), type_text(n, b));
    }
  }
  return true;
}

static bool if_at_run_time(struct tn_onnx_node *n, val cond) {
  static const char *const branch[2] = {"then_branch", "else_branch"};
  struct tn_import *im = n->im;
  struct tn_node probe = {.name = n->b->name,
                          .home = n->b->graph}; /* owns the regions until the count is known */
  struct tn_graph *region[2];
  struct tn_onnx_arg *outs[2];
  struct flat flat[2] = {0};
  bool good = true;
  int count = n->out_count;
  for (int k = 0; k < 2; k++) {
    int in_count, out_count;
    tn_onnx_graph_arity(n, branch[k], &in_count, &out_count);
    if (count > out_count)
      return tn_onnx_error(n, "its %s has %d outputs, the node has %d", branch[k], out_count, count);
    region[k] = tn_graph_create(module_of(n), &probe);
    outs[k] = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, out_count + 1);
    struct tn_build into = tn_build_at_end(region[k]);
    struct body body = {n, branch[k], &into, 0, out_count, NULL, outs[k]};
    good = tn_import_try(im, import_body, &body) && good;
  }
  good = good && branches_agree(n, count, outs, flat);
  if (!good) {
    for (int k = 0; k < 2; k++)
      tn_onnx_abandon(n, region[k]);
    if (!tn_onnx_known(n, 0))
      tn_onnx_need_value(n, 0, "cond");
    return false;
  }
  int flat_count = (int)flat[0].values.count;
  struct tn_node *node = tn_node_make(n->b, TN_IF, 1, &cond, flat_count);
  node->region = probe.region;
  node->region_count = probe.region_count;
  for (int k = 0; k < 2; k++) {
    region[k]->owner = node;
    for (int i = 0; i < flat_count; i++)
      tn_graph_output(region[k], flat[k].values.at[i]);
  }
  if (!tn_finish(n->b, node))
    tn_fail_now(im->ctx);
  val *at = node->out;
  for (int i = 0; i < count; i++) {
    struct tn_onnx_arg arg = rebuilt(n, &outs[0][i], &at);
    n->out[i] = arg.value;
    n->out_list[i] = arg.list;
  }
  return true;
}

bool tn_onnx_op_if(struct tn_onnx_node *n) {
  val cond = scalar_of(n, tn_onnx_need(n, 0, "cond"), TN_BOOL, "the condition");
  const struct tn_tensor *known = tn_onnx_known(n, 0);
  if (!known)
    return if_at_run_time(n, cond);
  const char *taken = tn_tensor_int(known, 0) ? "then_branch" : "else_branch";
  int in_count, out_count;
  tn_onnx_graph_arity(n, taken, &in_count, &out_count);
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, out_count + 1);
  tn_onnx_import_graph(n, taken, n->b, 0, NULL, out_count, outs);
  for (int i = 0; i < n->out_count && i < out_count; i++) {
    n->out[i] = outs[i].value;
    n->out_list[i] = outs[i].list;
  }
  return true;
}

/* ---- Loop ---------------------------------------------------------------------------------------------- */

struct iteration {
  struct tn_onnx_node *n;
  int carried, scanned;
  struct tn_onnx_arg *initial; /* [carried] */
  int64_t trip;                /* -1: not known */
  bool goes_on;                /* the condition is known to be true at the start */
  val count, cond;             /* operands of the loop */
};

enum outcome { DONE, FAILED /* after a diagnostic */, MISFIT /* no loop of tensor IR, *why says why not */ };

static bool known_true(struct tn_onnx_node *n, val x) {
  const struct tn_tensor *known = tn_import_known(n->im, x);
  int64_t count;
  return known && tn_type_count(&known->type, &count) && count == 1 && tn_tensor_int(known, 0);
}

static enum outcome as_loop(struct iteration *it, const char **why) {
  struct tn_onnx_node *n = it->n;
  int carried = it->carried, total = carried + it->scanned;
  val *start = TN_NEW_ARRAY(n->arena, val, total + 1), *inside = TN_NEW_ARRAY(n->arena, val, total + 1);
  struct tn_onnx_arg *args = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, carried + 2);
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, total + 1);
  for (int i = 0; i < carried; i++) {
    *why = "a sequence or optional is carried from one iteration to the next";
    if (!it->initial[i].value)
      return MISFIT;
    start[i] = it->initial[i].value;
  }
  struct tn_onnx_loop loop;
  tn_onnx_loop_open(n, it->count, it->cond, carried, start, it->scanned, &loop, inside);
  args[0].value = loop.iteration;
  args[1].value = loop.cond;
  for (int i = 0; i < carried; i++)
    args[2 + i].value = inside[i];
  struct body body = {n, "body", &loop.b, carried + 2, total + 1, args, outs};
  enum outcome outcome = tn_import_try(n->im, import_body, &body) ? DONE : FAILED;
  for (int i = 0; i < total + 1 && outcome == DONE; i++)
    if (!outs[i].value) {
      outcome = MISFIT;
      *why = "its body gives a sequence or optional";
    }
  val cond = NULL;
  if (outcome == DONE) {
    struct tn_onnx_node inner = *n;
    inner.b = &loop.b;
    cond = scalar_of(&inner, outs[0].value, TN_BOOL, "the body's condition");
  }
  for (int i = 0; i < carried && outcome == DONE; i++) {
    start[i] = outs[1 + i].value;
    if (!same_type(&inside[i]->type, &start[i]->type)) {
      outcome = MISFIT;
      *why = tn_printf(n->arena, "carried value %d is %s before the body and %s after it", i,
                       type_text(n, &inside[i]->type), type_text(n, &start[i]->type));
    }
  }
  bool counted = outcome == DONE && it->trip >= 0 && it->goes_on && (cond == loop.cond || known_true(n, cond));
  if (outcome == DONE && it->scanned > 0 && !counted) {
    outcome = MISFIT;
    *why = "it collects results of its iterations, whose number must be known at compile time";
  }
  if (outcome != DONE) {
    tn_onnx_abandon(n, loop.body);
    return outcome;
  }
  val *scans = TN_NEW_ARRAY(n->arena, val, it->scanned + 1);
  for (int i = 0; i < it->scanned; i++)
    scans[i] = outs[1 + carried + i].value;
  tn_onnx_loop_close(n, &loop, counted ? it->trip : -1, counted ? NULL : cond, carried, start, it->scanned,
                     scans, inside);
  for (int i = 0; i < total && i < n->out_count; i++)
    n->out[i] = inside[i];
  return DONE;
}

static bool unroll(void *user) {
  struct iteration *it = user;
  struct tn_onnx_node *n = it->n;
  int carried = it->carried, total = carried + it->scanned;
  struct tn_onnx_arg *args = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, carried + 2);
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, total + 1);
  val *scans = TN_NEW_ARRAY(n->arena, val, it->scanned * MOST_UNROLLED + 1);
  size_t done = 0;
  for (int i = 0; i < carried; i++)
    args[2 + i] = it->initial[i];
  for (bool go = it->goes_on; go && (int64_t)done < it->trip; done++) {
    args[0].value = tn_const_int(n->b, TN_I64, (int64_t)done);
    args[1].value = bool_constant(n->b, true);
    tn_onnx_import_graph(n, "body", n->b, carried + 2, args, total + 1, outs);
    val cond = outs[0].value;
    if (!cond || !tn_import_known(n->im, cond)) {
      return tn_onnx_error(
          n,
          "the condition after iteration %zu must be known at compile time, and is computed from "
          "the inputs",
          done);
    }
    go = known_true(n, cond);
    for (int i = 0; i < carried; i++)
      args[2 + i] = outs[1 + i];
    for (int i = 0; i < it->scanned; i++) {
      val row = outs[1 + carried + i].value;
      if (!row)
        return tn_onnx_error(n, "its body's output %d must be a tensor", 1 + carried + i);
      scans[(size_t)i * MOST_UNROLLED + done] = row;
    }
  }
  for (int i = 0; i < carried && i < n->out_count; i++) {
    n->out[i] = args[2 + i].value;
    n->out_list[i] = args[2 + i].list;
  }
  for (int i = 0; i < it->scanned && carried + i < n->out_count; i++) {
    if (done == 0)
      return tn_onnx_unsupported(n, "results of no iterations");
    n->out[carried + i] = tn_onnx_stack(n->b, 0, done, scans + (size_t)i * MOST_UNROLLED);
  }
  return true;
}

bool tn_onnx_op_loop(struct tn_onnx_node *n) {
  int in_count, out_count;
  tn_onnx_graph_arity(n, "body", &in_count, &out_count);
  struct iteration it = {.n = n, .carried = in_count - 2, .trip = -1};
  it.scanned = out_count - 1 - it.carried;
  if (it.carried < 0 || it.scanned < 0 || n->in_count > in_count || n->out_count > out_count - 1)
    return tn_onnx_error(
        n, "its body has %d inputs and %d outputs, which does not go with %d operands and %d results", in_count,
        out_count, n->in_count, n->out_count);
  it.initial = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, it.carried + 1);
  for (int i = 0; i < it.carried && 2 + i < n->in_count; i++)
    it.initial[i] = (struct tn_onnx_arg){n->in[2 + i], n->in_list[2 + i]};
  for (int i = 0; i < it.carried; i++)
    if (!it.initial[i].value && !it.initial[i].list)
      return tn_onnx_error(n, "operand %d, the initial value of '%s', is missing", 2 + i, n->op);
  val count = tn_onnx_in(n, 0), cond = tn_onnx_in(n, 1);
  const struct tn_tensor *known_count = count ? tn_onnx_known(n, 0) : NULL;
  it.goes_on = !cond || (tn_onnx_known(n, 1) && tn_tensor_int(tn_onnx_known(n, 1), 0));
  if (known_count)
    it.trip = tn_tensor_int(known_count, 0) < 0 ? 0 : tn_tensor_int(known_count, 0);
  bool ends_at_once = it.trip == 0 || (cond && tn_onnx_known(n, 1) && !it.goes_on);
  if (ends_at_once && it.scanned == 0) {
    for (int i = 0; i < n->out_count; i++) {
      n->out[i] = it.initial[i].value;
      n->out_list[i] = it.initial[i].list;
    }
    return true;
  }
  if (it.trip == 1 && it.goes_on)
    return unroll(&it);
  it.count = count ? scalar_of(n, count, TN_I64, "the trip count") : tn_const_int(n->b, TN_I64, INT64_MAX);
  it.cond = cond ? scalar_of(n, cond, TN_BOOL, "the condition") : bool_constant(n->b, true);
  if (ends_at_once) {
    it.trip = 0;
    it.goes_on = true;
    it.count = tn_const_int(n->b, TN_I64, 0);
  }

  const char *why = NULL;
  struct tn_import_mark before = tn_import_mark(n->im);
  enum outcome outcome = as_loop(&it, &why);
  if (outcome == DONE)
    return true;
  bool can_unroll = it.trip > 0 && it.trip <= MOST_UNROLLED && it.goes_on;
  if (!can_unroll) { /* knowing the operands would help */
    bool told = (count && !known_count) || (cond && !tn_onnx_known(n, 1));
    if (outcome == MISFIT && it.trip > MOST_UNROLLED)
      return tn_onnx_unsupported(n, "%s, and its %lld iterations are too many to write out (%d at most)", why,
                                 (long long)it.trip, MOST_UNROLLED);
    if (outcome == MISFIT && !told)
      return tn_onnx_unsupported(n, "%s, and how often it iterates is decided while it runs", why);
    if (outcome == MISFIT)
      tn_onnx_error(n, "%s, so that how often it iterates must be known", why);
    if (count && !known_count)
      tn_onnx_need_value(n, 0, "M");
    if (told)
      tn_onnx_need_value(n, 1, "cond");
    return false;
  }
  struct tn_import_mark between = tn_import_mark(n->im);
  if (!tn_import_try(n->im, unroll, &it))
    return false;
  struct tn_import_mark after = tn_import_mark(n->im);
  if (after.diags == between.diags && after.gaps == between.gaps)
    tn_import_forget(n->im, before); /* it went well the other way */
  return true;
}

/* ---- Scan ---------------------------------------------------------------------------------------------- */

struct scan {
  struct tn_onnx_node *n;
  int states, inputs, outputs;
  int64_t trip;
  val *state; /* [states] */
  val *in;    /* [inputs] */
  int in_axis[64];
  bool in_reverse[64];
};

/* The body's arguments for the iteration that stands at `at`. */
static struct tn_onnx_arg *scan_args(struct scan *s, struct tn_build *b, val at, val *state) {
  struct tn_onnx_arg *args = TN_NEW_ARRAY(s->n->arena, struct tn_onnx_arg, s->states + s->inputs + 1);
  for (int i = 0; i < s->states; i++)
    args[i].value = state[i];
  for (int i = 0; i < s->inputs; i++) {
    val place = s->in_reverse[i] ? sub(b, num(b, at, (double)(s->trip - 1)), at) : at;
    args[s->states + i].value = tn_onnx_element(b, s->in[i], place, s->in_axis[i]);
  }
  return args;
}

static bool tensors_only(struct tn_onnx_node *n, int count, const struct tn_onnx_arg *outs) {
  for (int i = 0; i < count; i++)
    if (!outs[i].value)
      return tn_onnx_error(n, "its body's output %d must be a tensor", i);
  return true;
}

/* results[states + outputs], each scanned output stacked along dim 0. */
static enum outcome scan_as_loop(struct scan *s, val *results, const char **why) {
  struct tn_onnx_node *n = s->n;
  int total = s->states + s->outputs;
  val *inside = TN_NEW_ARRAY(n->arena, val, s->states + 1), *next = TN_NEW_ARRAY(n->arena, val, total + 1);
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, total + 1);
  struct tn_onnx_loop loop;
  tn_onnx_loop_count(n, s->trip, s->states, s->state, s->outputs, &loop, inside);
  struct tn_onnx_arg *args = scan_args(s, &loop.b, loop.iteration, inside);
  struct body body = {n, "body", &loop.b, s->states + s->inputs, total, args, outs};
  enum outcome outcome =
      tn_import_try(n->im, import_body, &body) && tensors_only(n, total, outs) ? DONE : FAILED;
  for (int i = 0; i < total && outcome == DONE; i++) {
    next[i] = outs[i].value;
    if (i < s->states && !same_type(&inside[i]->type, &next[i]->type)) {
      outcome = MISFIT;
      *why = tn_printf(n->arena, "state %d is %s before the body and %s after it", i,
                       type_text(n, &inside[i]->type), type_text(n, &next[i]->type));
    }
  }
  if (outcome != DONE)
    tn_onnx_abandon(n, loop.body);
  else
    tn_onnx_loop_close(n, &loop, s->trip, NULL, s->states, next, s->outputs, next + s->states, results);
  return outcome;
}

static bool scan_unrolled(struct scan *s, val *results) {
  struct tn_onnx_node *n = s->n;
  int total = s->states + s->outputs;
  struct tn_onnx_arg *outs = TN_NEW_ARRAY(n->arena, struct tn_onnx_arg, total + 1);
  val *state = TN_NEW_ARRAY(n->arena, val, s->states + 1);
  val *rows = TN_NEW_ARRAY(n->arena, val, s->outputs * s->trip + 1);
  for (int i = 0; i < s->states; i++)
    state[i] = s->state[i];
  for (int64_t k = 0; k < s->trip; k++) {
    struct tn_onnx_arg *args = scan_args(s, n->b, tn_const_int(n->b, TN_I64, k), state);
    tn_onnx_import_graph(n, "body", n->b, s->states + s->inputs, args, total, outs);
    if (!tensors_only(n, total, outs))
      return false;
    for (int i = 0; i < s->states; i++)
      state[i] = outs[i].value;
    for (int i = 0; i < s->outputs; i++)
      rows[i * s->trip + k] = outs[s->states + i].value;
  }
  for (int i = 0; i < s->states; i++)
    results[i] = state[i];
  for (int i = 0; i < s->outputs; i++)
    results[s->states + i] = tn_onnx_stack(n->b, 0, (size_t)s->trip, rows + i * s->trip);
  return true;
}

static bool run_scan(struct scan *s, val *results) {
  struct tn_onnx_node *n = s->n;
  const char *why = NULL;
  if (s->trip == 1)
    return scan_unrolled(s, results);
  enum outcome outcome = scan_as_loop(s, results, &why);
  if (outcome != MISFIT)
    return outcome == DONE;
  if (s->trip == 0 || s->trip > MOST_UNROLLED)
    return tn_onnx_unsupported(n, "%s, and its %lld iterations are too many to write out (%d at most)", why,
                               (long long)s->trip, MOST_UNROLLED);
  return scan_unrolled(s, results);
}

/* The extent of the scanned dim of every input, which must agree. */
static bool scan_extent(struct scan *s) {
  struct tn_onnx_node *n = s->n;
  for (int i = 0; i < s->inputs; i++) {
    int64_t extent = tn_onnx_extent(n, s->in[i], s->in_axis[i], "a scanned operand");
    if (i > 0 && extent != s->trip)
      return tn_onnx_error(n, "the scanned operands have %lld and %lld elements to iterate over",
                           (long long)s->trip, (long long)extent);
    s->trip = extent;
  }
  return true;
}

/* Opset 8: dim 0 of everything is a batch, whose elements are scanned one by one along dim 1. */
static bool scan_batch(struct scan *s, val *results) {
  struct tn_onnx_node *n = s->n;
  struct tn_build *b = n->b;
  int total = s->states + s->outputs;
  if (tn_onnx_in(n, 0))
    return tn_onnx_unsupported(n, "operand sequence_lens; convert the model to opset 9 or newer");
  val any = s->in[0];
  if (any->type.rank == 0)
    return tn_onnx_error(n, "the scanned operand '%s' has no dimensions", any->name);
  int64_t batch = tn_onnx_extent(n, any, 0, "a scanned operand");
  if (batch < 1 || batch > MOST_UNROLLED)
    return tn_onnx_unsupported(n, "a batch of %lld; 1 to %d are possible at opset 8", (long long)batch,
                               MOST_UNROLLED);
  val *rows = TN_NEW_ARRAY(n->arena, val, batch * total + 1), *each = TN_NEW_ARRAY(n->arena, val, total + 1);
  for (int64_t k = 0; k < batch; k++) {
    struct scan one = *s;
    val at = tn_const_int(b, TN_I64, k);
    one.state = TN_NEW_ARRAY(n->arena, val, s->states + 1);
    one.in = TN_NEW_ARRAY(n->arena, val, s->inputs + 1);
    for (int i = 0; i < s->states; i++)
      one.state[i] = tn_onnx_element(b, s->state[i], at, 0);
    for (int i = 0; i < s->inputs; i++)
      one.in[i] = tn_onnx_element(b, s->in[i], at, 0);
    if (!scan_extent(&one) || !run_scan(&one, each))
      return false;
    for (int i = 0; i < total; i++)
      rows[i * batch + k] = each[i];
  }
  for (int i = 0; i < total; i++)
    results[i] = tn_onnx_stack(b, 0, (size_t)batch, rows + i * batch);
  return true;
}

bool tn_onnx_op_scan(struct tn_onnx_node *n) {
  bool batched = n->opset < 9;
  int in_count, out_count, first = batched ? 1 : 0;
  tn_onnx_graph_arity(n, "body", &in_count, &out_count);
  struct scan s = {.n = n, .inputs = (int)tn_onnx_int(n, "num_scan_inputs", 0)};
  s.states = in_count - s.inputs;
  s.outputs = out_count - s.states;
  if (s.inputs < 1 || s.inputs > 64 || s.states < 0 || s.outputs < 0 || n->in_count - first != in_count ||
      n->out_count > out_count)
    return tn_onnx_error(
        n,
        "num_scan_inputs is %d and its body has %d inputs and %d outputs, which does not go with "
        "%d operands and %d results (1 to 64 are scanned)",
        s.inputs, in_count, out_count, n->in_count - first, n->out_count);
  val *operands = TN_NEW_ARRAY(n->arena, val, in_count + 1);
  for (int i = 0; i < in_count; i++)
    operands[i] = tn_onnx_need(n, first + i, i < s.states ? "an initial state" : "a scanned operand");
  s.state = operands;
  s.in = operands + s.states;
  int64_t axes[64], directions[64], *out_axes = TN_NEW_ARRAY(n->arena, int64_t, s.outputs + 1),
                                    *out_directions = TN_NEW_ARRAY(n->arena, int64_t, s.outputs + 1);
  tn_onnx_ints_or(n, "scan_input_axes", s.inputs, 0, axes);
  tn_onnx_ints_or(n, batched ? "directions" : "scan_input_directions", s.inputs, 0, directions);
  tn_onnx_ints_or(n, "scan_output_axes", s.outputs, 0, out_axes);
  tn_onnx_ints_or(n, "scan_output_directions", s.outputs, 0, out_directions);
  for (int i = 0; i < s.inputs; i++) {
    s.in_axis[i] = tn_onnx_check_axis(n, "scan_input_axes", axes[i], s.in[i]->type.rank - (batched ? 1 : 0));
    s.in_reverse[i] = directions[i] != 0;
  }
  val *results = TN_NEW_ARRAY(n->arena, val, out_count + 1);
  if (!(batched ? scan_batch(&s, results) : scan_extent(&s) && run_scan(&s, results)))
    return false;
  for (int i = 0; i < n->out_count; i++) {
    val x = results[i];
    if (i >= s.states && !batched) {
      if (out_directions[i - s.states])
        x = tn_onnx_reverse(n, x, 0);
      x = tn_onnx_move_dim(n->b, x, 0,
                           tn_onnx_check_axis(n, "scan_output_axes", out_axes[i - s.states], x->type.rank));
    }
    n->out[i] = x;
  }
  return true;
}
