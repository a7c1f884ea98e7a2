/* Simplify: transposes, reshapes, expansions, paddings, concatenations. */
#include "passes/passes.h"

/* ---- transpose ----------------------------------------------------------------------------------------- */

/* Whether dims other than 1 keep their order, so that no element moves. */
static bool keeps_order(const struct tn_type *x, struct tn_ints perm) {
  int64_t last = -1;
  for (size_t i = 0; i < perm.count; i++) {
    if (x->dim[perm.at[i]] == 1)
      continue;
    if (perm.at[i] < last)
      return false;
    last = perm.at[i];
  }
  return true;
}

static struct tn_value *simplify_transpose(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  struct tn_ints perm = tn_get_ints(node, TN_TRANSPOSE_perm);
  struct tn_node *inner = tn_def_of(x, TN_TRANSPOSE);
  if (inner) {
    struct tn_ints first = tn_get_ints(inner, TN_TRANSPOSE_perm);
    int64_t both[TN_MAX_RANK];
    bool identity = true;
    for (size_t i = 0; i < perm.count; i++) {
      both[i] = first.at[perm.at[i]];
      identity &= both[i] == (int64_t)i;
    }
    return identity ? inner->in[0] : tn_transpose(b, inner->in[0], both);
  }
  if (!keeps_order(&x->type, perm))
    return NULL;
  return tn_shape_equal(&x->type, type) ? x : tn_reshape(b, x, type->rank, type->dim);
}

/* ---- reshape, expand ----------------------------------------------------------------------------------- */

static struct tn_value *simplify_reshape(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  if (tn_shape_equal(&x->type, type))
    return x;
  struct tn_node *inner = tn_def_of(x, TN_RESHAPE);
  if (!inner)
    return NULL;
  struct tn_value *source = inner->in[0];
  return tn_shape_equal(&source->type, type) ? source : tn_reshape(b, source, type->rank, type->dim);
}

static struct tn_value *simplify_expand(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  if (tn_shape_equal(&x->type, type))
    return x;
  struct tn_node *inner = tn_def_of(x, TN_EXPAND);
  if (inner)
    return tn_expand(b, inner->in[0], type->rank, type->dim);
  int64_t from, to; /* of as many elements: only leading ones are new */
  if (tn_type_count(&x->type, &from) && tn_type_count(type, &to) && from == to)
    return tn_reshape(b, x, type->rank, type->dim);
  return NULL;
}

/* ---- pad ----------------------------------------------------------------------------------------------- */

struct pad {
  struct tn_ints before, after;
  bool constant, interior, grows, crops;
};

static struct pad read_pad(const struct tn_node *node) {
  struct pad pad = {.before = tn_get_ints(node, TN_PAD_before), .after = tn_get_ints(node, TN_PAD_after)};
  struct tn_ints interior = tn_get_ints(node, TN_PAD_interior);
  pad.constant = tn_get_int(node, TN_PAD_mode) == 0;
  for (size_t i = 0; i < interior.count; i++)
    pad.interior |= interior.at[i] != 0;
  for (size_t i = 0; i < pad.before.count; i++) {
    pad.grows |= pad.before.at[i] > 0 || pad.after.at[i] > 0;
    pad.crops |= pad.before.at[i] < 0 || pad.after.at[i] < 0;
  }
  return pad;
}

static struct tn_value *pad_value(const struct tn_node *node) {
  return node->in_count > 1 ? node->in[1] : NULL;
}

bool tn_pad_fills_with(const struct tn_node *node, double *out) {
  struct pad pad = read_pad(node);
  *out = 0;
  return pad.constant && (!pad_value(node) || tn_value_uniform(pad_value(node), out));
}

static bool same_fill(const struct tn_node *a, const struct tn_node *b) {
  double x, y;
  if (pad_value(a) && pad_value(a) == pad_value(b))
    return true;
  /* By bits: 0 and -0 are two values. */
  return tn_pad_fills_with(a, &x) && tn_pad_fills_with(b, &y) && memcmp(&x, &y, sizeof x) == 0;
}

static struct tn_value *simplify_pad(struct tn_build *b, struct tn_node *node) {
  struct tn_value *x = node->in[0];
  const struct tn_type *type = &node->out[0]->type;
  struct pad pad = read_pad(node);
  if (pad.interior)
    return NULL;
  if (!pad.grows && !pad.crops)
    return x;
  if (!pad.grows && pad.constant && tn_type_static(type)) {
    int64_t starts[TN_MAX_RANK], steps[TN_MAX_RANK];
    for (int d = 0; d < type->rank; d++) {
      starts[d] = -pad.before.at[d];
      steps[d] = 1;
    }
    return tn_slice(b, x, starts, steps, type->dim);
  }
  struct tn_node *inner = tn_def_of(x, TN_PAD);
  if (!inner || pad.crops || !pad.constant || !same_fill(node, inner) || !tn_value_single_use(x))
    return NULL;
  struct pad first = read_pad(inner);
  if (first.interior || first.crops || !first.constant)
    return NULL;
  int64_t before[TN_MAX_RANK], after[TN_MAX_RANK];
  for (int d = 0; d < type->rank; d++) {
    before[d] = pad.before.at[d] + first.before.at[d];
    after[d] = pad.after.at[d] + first.after.at[d];
  }
  return tn_pad(b, inner->in[0], before, after, pad_value(node));
}

/* ---- concat -------------------------------------------------------------------------------------------- */

/* Two slices of one tensor that meet along the axis become one. */
static struct tn_value *join_slices(struct tn_build *b, const struct tn_value *x, const struct tn_value *y,
                                    int axis) {
  const struct tn_node *a = tn_def_of(x, TN_SLICE), *c = tn_def_of(y, TN_SLICE);
  if (!a || !c || a->in[0] != c->in[0])
    return NULL;
  struct tn_ints a_start = tn_get_ints(a, TN_SLICE_starts), c_start = tn_get_ints(c, TN_SLICE_starts);
  struct tn_ints a_step = tn_get_ints(a, TN_SLICE_steps), c_step = tn_get_ints(c, TN_SLICE_steps);
  struct tn_ints a_size = tn_get_ints(a, TN_SLICE_sizes), c_size = tn_get_ints(c, TN_SLICE_sizes);
  int64_t sizes[TN_MAX_RANK];
  for (int d = 0; d < x->type.rank; d++) {
    bool meets = d == axis ? c_start.at[d] == a_start.at[d] + a_step.at[d] * a_size.at[d]
                           : c_start.at[d] == a_start.at[d] && c_size.at[d] == a_size.at[d];
    bool is_static = tn_dim_static(a_start.at[d]) && tn_dim_static(c_start.at[d]) &&
                     tn_dim_static(a_size.at[d]) && tn_dim_static(c_size.at[d]);
    if (!meets || !is_static || c_step.at[d] != a_step.at[d])
      return NULL;
    sizes[d] = a_size.at[d] + (d == axis ? c_size.at[d] : 0);
  }
  return tn_slice(b, a->in[0], a_start.at, a_step.at, sizes);
}

static struct tn_value *simplify_concat(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  int axis = (int)tn_get_int(node, TN_CONCAT_axis);
  TN_VEC(struct tn_value *) flat = {0};
  bool changed = false;
  for (int i = 0; i < node->in_count; i++) {
    struct tn_value *x = node->in[i];
    struct tn_node *inner = tn_def_of(x, TN_CONCAT);
    if (x->type.dim[axis] == 0 && node->in_count > 1) {
      changed = true;
    } else if (inner && tn_get_int(inner, TN_CONCAT_axis) == axis && tn_value_single_use(x)) {
      changed = true;
      for (int k = 0; k < inner->in_count; k++)
        TN_PUSH(pass->scratch, &flat, inner->in[k]);
    } else {
      struct tn_value *joined = flat.count ? join_slices(b, flat.at[flat.count - 1], x, axis) : NULL;
      if (joined) {
        changed = true;
        flat.at[flat.count - 1] = joined;
      } else {
        TN_PUSH(pass->scratch, &flat, x);
      }
    }
  }
  if (flat.count == 0)
    return node->in[0]; /* all are empty */
  if (flat.count == 1)
    return flat.at[0];
  return changed ? tn_concat(b, axis, (int)flat.count, flat.at) : NULL;
}

struct tn_value *tn_simplify_move(struct tn_pass *pass, struct tn_build *b, struct tn_node *node) {
  struct tn_value *to = NULL;
  if (!(tn_op_info(node->op)->flags & TN_MOVE) || node->out[0]->type.quant || node->in[0]->type.quant)
    return NULL;
  switch (node->op) {
  case TN_TRANSPOSE:
    to = simplify_transpose(b, node);
    break;
  case TN_RESHAPE:
    to = simplify_reshape(b, node);
    break;
  case TN_EXPAND:
    to = simplify_expand(b, node);
    break;
  case TN_PAD:
    to = simplify_pad(b, node);
    break;
  case TN_CONCAT:
    to = simplify_concat(pass, b, node);
    break;
  default:
    break;
  }
  /* Symbols may be written in two ways; then the shapes would differ on paper. */
  return to && tn_type_equal(&to->type, &node->out[0]->type) ? to : NULL;
}
