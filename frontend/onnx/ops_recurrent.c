/* Recurrent layers: LSTM, GRU, RNN.
 *
 * What does not depend on the state is computed for the whole sequence at once, before the loop: x * W^T and
 * the biases that are only added to it.  What is left for each step is h * R^T and elementwise work.  A
 * sequence of one step needs no loop.  DynamicQuantizeLSTM is an LSTM whose W and R are quantized, and turned;
 * x and h are quantized by the range that they have, the whole sequence and each step. */
#include "frontend/onnx/loop.h"
#include "frontend/onnx/quant.h"

enum cell { RNN, GRU, LSTM };
enum { QUANTIZED_LSTM = 3 }; /* the row's arg; else a cell */
enum { MOST_GATES = 4, MOST_FUNCTIONS = 3 };

/* One activation function with its parameters. */
struct function {
  const char *name;
  float params[2];
  size_t count; /* of params given by the model */
};

/* One direction of the layer. */
struct direction {
  bool reverse;
  struct function f[MOST_FUNCTIONS];
  val xw;            /* [seq, batch, gates * hidden]: x * W^T + bias */
  val r;             /* [hidden, gates * hidden] */
  val r_scale;       /* NULL: r is float; else it is less its zero point */
  val r_linear;      /* GRU with linear_before_reset: the last gate's part of r and its bias, else NULL */
  val r_linear_bias; /* [hidden] or NULL */
  val peep[3];       /* LSTM: [hidden] for i, o, f; or NULL */
};

struct layer {
  struct tn_onnx_node *n;
  enum cell cell;
  int gates, functions;
  int64_t seq, hidden;
  tn_dim batch;
  double clip; /* 0: none */
  bool input_forget, linear_before_reset;
  bool quantized; /* W and R [directions, in, gates * hidden] with scales and zero points in operands 8 to 11 */
  val lens;       /* [batch, 1] i64, NULL: all sequences have `seq` steps */
};

/* ---- activation functions ---------------------------------------------------------------------------------
 */

struct known_function {
  const char *name;
  int params;         /* taken from activation_alpha and activation_beta */
  double alpha, beta; /* when the model gives none */
};
static const struct known_function known_functions[] = {
    {"Relu", 0, 0, 0},         {"Tanh", 0, 0, 0},
    {"Sigmoid", 0, 0, 0},      {"Affine", 2, 1, 0},
    {"LeakyRelu", 1, 0.01, 0}, {"ThresholdedRelu", 1, 1, 0},
    {"ScaledTanh", 2, 1, 1},   {"HardSigmoid", 2, 0.2, 0.5},
    {"Elu", 1, 1, 0},          {"Softsign", 0, 0, 0},
    {"Softplus", 0, 0, 0},
};

static bool same_word(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if ((*a | 0x20) != (*b | 0x20))
      return false;
  return *a == *b;
}

static const struct known_function *find_function(const char *name) {
  for (size_t i = 0; i < TN_COUNT(known_functions); i++)
    if (same_word(known_functions[i].name, name))
      return &known_functions[i];
  return NULL;
}

/* Parameters are handed out in order to the functions that take them. */
static bool read_functions(struct layer *layer, int directions, struct function *out) {
  static const char *const absent[3][MOST_FUNCTIONS] = {
      {"Tanh", "", ""}, {"Sigmoid", "Tanh", ""}, {"Sigmoid", "Tanh", "Tanh"}};
  struct tn_onnx_node *n = layer->n;
  const char *const *names;
  const float *alpha, *beta;
  size_t count, alphas, betas, wanted = (size_t)(layer->functions * directions), next_alpha = 0, next_beta = 0;
  tn_onnx_strings(n, "activations", &names, &count);
  tn_onnx_floats(n, "activation_alpha", &alpha, &alphas);
  tn_onnx_floats(n, "activation_beta", &beta, &betas);
  if (count != 0 && count != wanted)
    return tn_onnx_error(n, "activations names %zu functions; %zu are expected, %d for each direction", count,
                         wanted, layer->functions);
  for (size_t i = 0; i < wanted; i++) {
    const char *name = count ? names[i] : absent[layer->cell][i % (size_t)layer->functions];
    const struct known_function *known = find_function(name);
    if (!known)
      return tn_onnx_error(n, "activation '%s' is none that ONNX has for this operator", name);
    out[i].name = known->name;
    out[i].params[0] = (float)known->alpha;
    out[i].params[1] = (float)known->beta;
    if (known->params > 0 && next_alpha < alphas)
      out[i].params[0] = alpha[next_alpha++];
    if (known->params > 1 && next_beta < betas)
      out[i].params[1] = beta[next_beta++];
    out[i].count = (size_t)known->params;
  }
  return true;
}

static val apply(struct layer *layer, struct tn_build *b, const struct function *f, val x) {
  double alpha = (double)f->params[0], beta = (double)f->params[1];
  if (!strcmp(f->name, "Affine"))
    return add(b, mul(b, x, num(b, x, alpha)), num(b, x, beta));
  if (!strcmp(f->name, "ScaledTanh"))
    return mul(b, tn_unary(b, TN_TANH, mul(b, x, num(b, x, beta))), num(b, x, alpha));
  if (!strcmp(f->name, "ThresholdedRelu"))
    return tn_select(b, tn_binary(b, TN_GT, x, num(b, x, alpha)), x, num(b, x, 0));
  if (!strcmp(f->name, "Elu")) {
    val low = mul(b, sub(b, tn_unary(b, TN_EXP, min2(b, x, num(b, x, 0))), num(b, x, 1)), num(b, x, alpha));
    return tn_select(b, tn_binary(b, TN_GE, x, num(b, x, 0)), x, low);
  }
  if (!strcmp(f->name, "Softsign"))
    return quo(b, x, add(b, tn_unary(b, TN_ABS, x), num(b, x, 1)));
  if (!strcmp(f->name, "Softplus"))
    return tn_unary(b, TN_SOFTPLUS, x);
  struct tn_onnx_node inner = *layer->n;
  inner.b = b;
  return tn_onnx_activation(&inner, x, f->name, f->params, f->count);
}

/* The function of a gate.  `clip` bounds what the gates' functions are given; the cell state on its way to the
 * output is left as it is, as runtimes do. */
static val apply_gate(struct layer *layer, struct tn_build *b, const struct function *f, val x) {
  return apply(layer, b, f, layer->clip > 0 ? tn_onnx_clip(b, x, -layer->clip, layer->clip) : x);
}

/* ---- one step ------------------------------------------------------------------------------------------ */

static val gate(struct layer *layer, struct tn_build *b, val x, int index) {
  return tn_onnx_cut(b, x, 1, index * layer->hidden, layer->hidden);
}

/* h * R^T. */
static val recur(struct layer *layer, const struct direction *d, struct tn_build *b, val h) {
  struct tn_onnx_node inner = *layer->n;
  inner.b = b;
  return d->r_scale ? tn_onnx_matmul_by_range(&inner, h, d->r, d->r_scale) : tn_matmul(b, h, d->r);
}

/* xw [batch, gates * hidden] of this step; state h (and c) [batch, hidden] in, the next state out. */
static void step(struct layer *layer, const struct direction *d, struct tn_build *b, val xw, val *h, val *c) {
  if (layer->cell == RNN) {
    *h = apply_gate(layer, b, &d->f[0], add(b, xw, tn_matmul(b, *h, d->r)));
  } else if (layer->cell == GRU) {
    val one = num(b, *h, 1), zr, rec, z, r, g;
    if (d->r_linear) { /* r .* (h * R_h^T + bias): one product for all gates */
      val hr = tn_matmul(b, *h, d->r);
      zr = add(b, tn_onnx_cut(b, xw, 1, 0, 2 * layer->hidden), tn_onnx_cut(b, hr, 1, 0, 2 * layer->hidden));
      rec = gate(layer, b, hr, 2);
      if (d->r_linear_bias)
        rec = add(b, rec, d->r_linear_bias);
    } else {
      val first = tn_onnx_cut(b, d->r, 1, 0, 2 * layer->hidden);
      zr = add(b, tn_onnx_cut(b, xw, 1, 0, 2 * layer->hidden), tn_matmul(b, *h, first));
      rec = NULL;
    }
    z = apply_gate(layer, b, &d->f[0], gate(layer, b, zr, 0));
    r = apply_gate(layer, b, &d->f[0], gate(layer, b, zr, 1));
    if (rec)
      rec = mul(b, r, rec);
    else
      rec = tn_matmul(b, mul(b, r, *h), gate(layer, b, d->r, 2));
    g = apply_gate(layer, b, &d->f[1], add(b, gate(layer, b, xw, 2), rec));
    *h = add(b, mul(b, sub(b, one, z), g), mul(b, z, *h));
  } else { /* gates in the order i, o, f, c */
    val all = add(b, xw, recur(layer, d, b, *h));
    val i = gate(layer, b, all, 0), o = gate(layer, b, all, 1), f = gate(layer, b, all, 2);
    if (d->peep[0]) {
      i = add(b, i, mul(b, d->peep[0], *c));
      f = add(b, f, mul(b, d->peep[2], *c));
    }
    i = apply_gate(layer, b, &d->f[0], i);
    f = layer->input_forget ? sub(b, num(b, i, 1), i) : apply_gate(layer, b, &d->f[0], f);
    val g = apply_gate(layer, b, &d->f[1], gate(layer, b, all, 3));
    *c = add(b, mul(b, f, *c), mul(b, i, g));
    if (d->peep[1])
      o = add(b, o, mul(b, d->peep[1], *c));
    o = apply_gate(layer, b, &d->f[0], o);
    *h = mul(b, o, apply(layer, b, &d->f[2], *c));
  }
}

/* One step of sequences that may have ended: beyond its length a state stays, and the output is zero. */
static val masked_step(struct layer *layer, const struct direction *d, struct tn_build *b, val at, val *h,
                       val *c) {
  val h0 = *h, c0 = *c, xw = tn_onnx_element(b, d->xw, at, 0);
  step(layer, d, b, xw, h, c);
  if (!layer->lens)
    return *h;
  val inside = tn_binary(b, TN_LT, at, layer->lens);
  val y = tn_select(b, inside, *h, num(b, *h, 0));
  *h = tn_select(b, inside, *h, h0);
  if (layer->cell == LSTM)
    *c = tn_select(b, inside, *c, c0);
  return y;
}

/* h and c: initial state in, last state out.  Returns [seq, batch, hidden]. */
static val run_direction(struct layer *layer, const struct direction *d, val *h, val *c) {
  struct tn_onnx_node *n = layer->n;
  struct tn_build *b = n->b;
  if (layer->seq == 1)
    return tn_onnx_unsqueeze(b, masked_step(layer, d, b, tn_const_int(b, TN_I64, 0), h, c), 0);
  struct tn_onnx_loop loop;
  int carried = layer->cell == LSTM ? 2 : 1;
  val state[2] = {*h, *c}, results[3];
  tn_onnx_loop_count(n, layer->seq, carried, state, 1, &loop, state);
  if (carried == 1)
    state[1] = NULL;
  val at = loop.iteration;
  if (d->reverse)
    at = sub(&loop.b, tn_const_int(&loop.b, TN_I64, layer->seq - 1), at);
  val y = masked_step(layer, d, &loop.b, at, &state[0], &state[1]);
  tn_onnx_loop_close(n, &loop, layer->seq, NULL, carried, state, 1, &y, results);
  *h = results[0];
  if (carried == 2)
    *c = results[1];
  y = results[carried];
  return d->reverse ? tn_onnx_reverse(n, y, 0) : y; /* rows were stacked in the order of the steps */
}

/* ---- operands ------------------------------------------------------------------------------------------ */

/* Part `index` of the operand [directions, ...], without that dim; leaves unless its shape is as given. */
static val part(struct layer *layer, val x, int index, const char *what, int directions, int64_t rows,
                int64_t columns) {
  struct tn_onnx_node *n = layer->n;
  int rank = columns ? 3 : 2;
  bool fits = x->type.rank == rank;
  const int64_t want[3] = {directions, rows, columns};
  for (int i = 0; i < rank && fits; i++)
    fits = x->type.dim[i] == want[i];
  if (!fits) {
    tn_onnx_error(n, "%s, '%s', must have the shape [%d, %lld%s] for a hidden size of %lld and %d direction%s",
                  what, x->name, directions, (long long)rows,
                  columns ? tn_printf(n->arena, ", %lld", (long long)columns) : "", (long long)layer->hidden,
                  directions, directions == 1 ? "" : "s");
    tn_fail_now(module_of(n)->ctx);
  }
  return tn_onnx_squeeze(n->b, tn_onnx_cut(n->b, x, 0, index, 1), 0);
}

/* Weights [in, gates * hidden] of a direction, from operand W or R. */
static val weights(struct layer *layer, int operand, const char *what, int index, int directions, int64_t in,
                   val *scale) {
  struct tn_onnx_node *n = layer->n;
  struct tn_build *b = n->b;
  int64_t all = layer->gates * layer->hidden;
  val w = tn_onnx_need(n, operand, what);
  *scale = NULL;
  if (!layer->quantized)
    return tn_onnx_move_dim(b, part(layer, w, index, what, directions, all, in), 1, 0);
  int at = operand == 1 ? 8 : 10; /* [directions], or [directions, gates * hidden] */
  val scales = tn_onnx_need(n, at, "a scale"), zeros = tn_onnx_in(n, at + 1);
  w = part(layer, w, index, what, directions, in, all);
  *scale = tn_onnx_squeeze(b, tn_onnx_cut(b, scales, 0, index, 1), 0);
  if (!zeros || tn_onnx_known_zero(n, at + 1))
    return w;
  val zero = tn_onnx_squeeze(b, tn_onnx_cut(b, zeros, 0, index, 1), 0);
  return sub(b, tn_cast(b, w, TN_I32), tn_cast(b, zero, TN_I32));
}

/* x [seq, batch, in] for direction `index`. */
static void prepare(struct layer *layer, val x, int index, int directions, struct direction *d) {
  struct tn_onnx_node *n = layer->n;
  struct tn_build *b = n->b;
  int64_t h = layer->hidden, all = layer->gates * h, in = tn_onnx_extent(n, x, 2, "X");
  val w_scale, w = weights(layer, 1, "W", index, directions, in, &w_scale);
  val bias = tn_onnx_same_dtype(n, 3, "B", x), peep = tn_onnx_same_dtype(n, 7, "P", x);
  d->r = weights(layer, 2, "R", index, directions, h, &d->r_scale);
  tn_dim rows = tn_dim_op(module_of(n), '*', layer->seq, layer->batch);
  val flat = tn_reshape(b, x, 2, (tn_dim[]){rows, in});
  val xw = w_scale ? tn_onnx_matmul_by_range(n, flat, w, w_scale) : tn_matmul(b, flat, w);
  if (layer->linear_before_reset)
    d->r_linear = d->r;
  if (bias) {
    bias = part(layer, bias, index, "B", directions, 2 * all, 0);
    val wb = tn_onnx_cut(b, bias, 0, 0, all), rb = tn_onnx_cut(b, bias, 0, all, all);
    if (layer->linear_before_reset) { /* the hidden gate's recurrent bias is scaled by the reset gate */
      d->r_linear_bias = tn_onnx_cut(b, rb, 0, 2 * h, h);
      rb = tn_pad(b, tn_onnx_cut(b, rb, 0, 0, 2 * h), (int64_t[]){0}, (int64_t[]){h}, NULL);
    }
    xw = add(b, xw, add(b, wb, rb));
  }
  d->xw = tn_reshape(b, xw, 3, (tn_dim[]){layer->seq, layer->batch, all});
  if (peep && layer->cell == LSTM) {
    peep = part(layer, peep, index, "P", directions, 3 * h, 0);
    for (int i = 0; i < 3; i++)
      d->peep[i] = tn_onnx_cut(b, peep, 0, i * h, h);
  }
}

/* The initial state of a direction [batch, hidden]: zero when absent. */
static val initial(struct layer *layer, int operand, const char *what, int index, int directions, int layout,
                   val x) {
  struct tn_onnx_node *n = layer->n;
  val state = tn_onnx_same_dtype(n, operand, what, x);
  tn_dim dims[2] = {layer->batch, layer->hidden};
  if (!state)
    return tn_onnx_full(n->b, num(n->b, x, 0), 2, dims);
  int axis = layout ? 1 : 0;
  if (state->type.rank != 3 || state->type.dim[axis] != directions || state->type.dim[2] != layer->hidden) {
    tn_onnx_error(n, "%s, '%s', must have the shape [%s, %lld]", what, state->name,
                  layout ? "batch, directions" : "directions, batch", (long long)layer->hidden);
    tn_fail_now(module_of(n)->ctx);
  }
  return tn_onnx_squeeze(n->b, tn_onnx_cut(n->b, state, axis, index, 1), axis);
}

/* Operand sequence_lens as [batch, 1]; NULL when it is absent or says nothing new. */
static val lengths(struct layer *layer) {
  struct tn_onnx_node *n = layer->n;
  val lens = tn_onnx_in(n, 4);
  if (!lens)
    return NULL;
  if (lens->type.rank != 1) {
    tn_onnx_error(n, "sequence_lens, '%s', must have one dimension, and has %d", lens->name, lens->type.rank);
    tn_fail_now(module_of(n)->ctx);
  }
  const struct tn_tensor *known = tn_onnx_known(n, 4);
  int64_t count, full = 0;
  if (known && tn_type_count(&known->type, &count)) {
    while (full < count && tn_tensor_int(known, full) == layer->seq)
      full++;
    if (full == count)
      return NULL;
  }
  return tn_onnx_unsqueeze(n->b, tn_cast(n->b, lens, TN_I64), 1);
}

bool tn_onnx_op_recurrent(struct tn_onnx_node *n) {
  struct tn_build *b = n->b;
  struct layer layer = {.n = n, .cell = n->arg == QUANTIZED_LSTM ? LSTM : (enum cell)n->arg};
  val x = tn_onnx_need(n, 0, "X"), r = tn_onnx_need(n, 2, "R");
  int layout = (int)tn_onnx_int(n, "layout", 0);
  const char *direction = tn_onnx_string(n, "direction", "forward");
  bool both = !strcmp(direction, "bidirectional"), reverse = !strcmp(direction, "reverse");
  int directions = both ? 2 : 1;
  if (!both && !reverse && strcmp(direction, "forward"))
    return tn_onnx_error(n, "direction is '%s'; expected forward, reverse or bidirectional", direction);
  if (x->type.rank != 3 || r->type.rank != 3)
    return tn_onnx_error(n, "X and R must have 3 dimensions; found %d and %d", x->type.rank, r->type.rank);
  if (layout)
    x = tn_transpose(b, x, (int64_t[]){1, 0, 2});
  layer.gates = layer.cell == LSTM ? 4 : layer.cell == GRU ? 3 : 1;
  layer.functions = layer.cell == LSTM ? 3 : layer.cell == GRU ? 2 : 1;
  layer.seq = tn_onnx_extent(n, x, 0, "X (its sequence)");
  layer.batch = x->type.dim[1];
  layer.quantized = n->arg == QUANTIZED_LSTM;
  layer.hidden = tn_onnx_int(n, "hidden_size", tn_onnx_extent(n, r, layer.quantized ? 1 : 2, "R"));
  layer.clip = tn_onnx_float(n, "clip", 0);
  layer.input_forget = tn_onnx_int(n, "input_forget", 0) != 0;
  layer.linear_before_reset = layer.cell == GRU && tn_onnx_int(n, "linear_before_reset", 0) != 0;
  layer.lens = lengths(&layer);
  if (layer.hidden < 1 || layer.hidden > INT32_MAX)
    return tn_onnx_error(n, "hidden_size is %lld; expected the last dimension of R", (long long)layer.hidden);
  struct function functions[2 * MOST_FUNCTIONS];
  if (!read_functions(&layer, directions, functions))
    return false;

  val y[2], last_h[2], last_c[2] = {NULL, NULL};
  for (int k = 0; k < directions; k++) {
    struct direction d = {.reverse = reverse || k == 1};
    memcpy(d.f, functions + k * layer.functions, (size_t)layer.functions * sizeof *functions);
    prepare(&layer, x, k, directions, &d);
    last_h[k] = initial(&layer, 5, "initial_h", k, directions, layout, x);
    if (layer.cell == LSTM)
      last_c[k] = initial(&layer, 6, "initial_c", k, directions, layout, x);
    y[k] = run_direction(&layer, &d, &last_h[k], &last_c[k]);
  }
  int states = layer.cell == LSTM ? 2 : 1;
  for (int i = 0; i < n->out_count && i <= states; i++) {
    if (!n->out_used[i])
      continue;
    val *parts = i == 0 ? y : i == 1 ? last_h : last_c;
    if (i == 0) /* [seq, directions, batch, hidden], layout 1: [batch, seq, directions, hidden] */
      n->out[0] = tn_onnx_stack(b, 1, (size_t)directions, parts);
    else
      n->out[i] = tn_onnx_stack(b, layout ? 1 : 0, (size_t)directions, parts);
    if (i == 0 && layout)
      n->out[0] = tn_transpose(b, n->out[0], (int64_t[]){2, 0, 1, 3});
  }
  return true;
}
