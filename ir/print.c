/* Tensor IR as text; see text.h for the form.
 *
 * Reading the text back gives the same module, and printing that the same text.  To that end the symbols are
 * declared first, in the module's order: that order decides the form of expressions, and which of two equal
 * dims inference prefers.  Derived ones that no type is made of are left out. */
#include "ir/text.h"

#include <stdlib.h>

struct printer {
  struct tn_str out;
  tn_arena *arena;
  const struct tn_module *module;
  const uint32_t *label; /* per symbol: number + 1 when it is printed as $number; NULL: none has one */
  bool brief;            /* long constants are left out */
  bool hashed;           /* long constants stand by the hash of their bytes */
};

static void print_quoted(struct printer *p, const char *text) {
  tn_str_addn(&p->out, "\"", 1);
  for (const char *c = text; *c; c++)
    if (*c == '"' || *c == '\\')
      tn_str_add(&p->out, "\\%c", *c);
    else if (*c == '\n')
      tn_str_addn(&p->out, "\\n", 2);
    else if (*c == '\t')
      tn_str_addn(&p->out, "\\t", 2);
    else if ((unsigned char)*c < 32 || *c == 127)
      tn_str_add(&p->out, "\\x%02x", (unsigned char)*c);
    else
      tn_str_addn(&p->out, c, 1);
  tn_str_addn(&p->out, "\"", 1);
}

static void print_value_name(struct printer *p, const struct tn_value *value) {
  if (!value) {
    tn_str_addn(&p->out, "_", 1);
    return;
  }
  bool bare = value->name[0] != '\0';
  for (const char *c = value->name; bare && *c; c++)
    bare = tn_text_bare(*c);
  tn_str_addn(&p->out, "%", 1);
  if (bare)
    tn_str_add(&p->out, "%s", value->name);
  else
    print_quoted(p, value->name);
}

/* ---- dimensions ---------------------------------------------------------------------------------------- */

static const struct tn_symbol *symbol_of(const struct tn_module *module, tn_dim dim) {
  return &module->symbols.at[-1 - dim];
}

/* Its text would be long, and symbol.c named it expr.N instead. */
static bool is_long(const struct tn_symbol *s) {
  return s->op && s->name[0] != '(' && s->name[0] != 'm';
}

static void print_dim(struct printer *p, tn_dim dim);

static void print_expression(struct printer *p, const struct tn_symbol *s) {
  int64_t value;
  if (s->op == 'M' || s->op == 'm')
    tn_str_add(&p->out, s->op == 'M' ? "max(" : "min(");
  else
    tn_str_addn(&p->out, "(", 1);
  print_dim(p, s->a);
  if (s->op == '+' && tn_dim_value(p->module, s->b, &value) && value < 0 && value != INT64_MIN) {
    tn_str_add(&p->out, " - %lld)", (long long)-value);
    return;
  }
  if (s->op == 'M' || s->op == 'm')
    tn_str_addn(&p->out, ", ", 2);
  else
    tn_str_add(&p->out, " %c ", s->op);
  print_dim(p, s->b);
  tn_str_addn(&p->out, ")", 1);
}

/* Not deep: what would be long has a label, or in the text of a single node goes by its name. */
static void print_dim(struct printer *p, tn_dim dim) {
  int64_t value;
  if (tn_dim_value(p->module, dim, &value)) {
    tn_str_add(&p->out, "%lld", (long long)value);
    return;
  }
  const struct tn_symbol *s = symbol_of(p->module, dim);
  uint32_t label = p->label ? p->label[-1 - dim] : 0;
  if (label)
    tn_str_add(&p->out, "$%u", label - 1);
  else if (s->op && !is_long(s))
    print_expression(p, s);
  else if (tn_text_bare_symbol(s->name) && !s->op)
    tn_str_add(&p->out, "%s", s->name);
  else
    print_quoted(p, s->name);
}

/* ---- types and tensors --------------------------------------------------------------------------------- */

static void print_shaped(struct printer *p, const struct tn_type *type) {
  tn_str_add(&p->out, "%s[", tn_dtype_name(type->dtype));
  for (int i = 0; i < type->rank; i++) {
    if (i)
      tn_str_addn(&p->out, ",", 1);
    print_dim(p, type->dim[i]);
  }
  tn_str_addn(&p->out, "]", 1);
}

static void print_type(struct printer *p, const struct tn_type *type) {
  print_shaped(p, type);
  const struct tn_quant *quant = type->quant;
  if (!quant)
    return;
  tn_str_add(&p->out, " quant(%d, [", quant->axis);
  for (int64_t i = 0; i < quant->count; i++)
    tn_str_add(&p->out, "%s%s", i ? ", " : "", tn_float_text(p->arena, quant->scale[i]));
  tn_str_add(&p->out, "], [");
  for (int64_t i = 0; i < quant->count; i++)
    tn_str_add(&p->out, "%s%d", i ? ", " : "", (int)quant->zero_point[i]);
  tn_str_add(&p->out, "])");
}

static void print_storage(struct printer *p, struct tn_storage storage, int rank) {
  static const char *const places[] = {[TN_IN_INPUT] = "input ",
                                       [TN_IN_OUTPUT] = "output ",
                                       [TN_IN_ARENA] = "arena+",
                                       [TN_IN_WEIGHTS] = "weights+"};
  if (storage.place != TN_NOWHERE)
    tn_str_add(&p->out, " @%s%lld", places[storage.place], (long long)storage.index);
  if (!storage.window)
    return;
  tn_str_add(&p->out, " window(%lld, [", (long long)storage.window->offset);
  for (int d = 0; d < rank; d++)
    tn_str_add(&p->out, "%s%lld", d ? ", " : "", (long long)storage.window->stride[d]);
  tn_str_add(&p->out, "])");
}

static uint64_t element_bits(const struct tn_tensor *tensor, int64_t i) {
  size_t size = tn_dtype_size(tensor->type.dtype);
  uint64_t bits = 0;
  memcpy(&bits, (const char *)tensor->data + (size_t)i * size, size);
  return bits;
}

/* Whether the list form keeps the element's bits. */
static bool element_listable(const struct tn_tensor *tensor, int64_t i) {
  enum tn_dtype dtype = tensor->type.dtype;
  uint64_t bits = element_bits(tensor, i);
  if (dtype == TN_BOOL)
    return bits <= 1;
  if (!tn_dtype_is_float(dtype))
    return true;
  double value = tn_tensor_float(tensor, i);
  return value == value || bits == tn_text_nan(dtype);
}

static void print_element(struct printer *p, const struct tn_tensor *tensor, int64_t i) {
  enum tn_dtype dtype = tensor->type.dtype;
  if (dtype == TN_F64)
    tn_str_add(&p->out, "%s", tn_double_text(p->arena, tn_tensor_float(tensor, i)));
  else if (tn_dtype_is_float(dtype))
    tn_str_add(&p->out, "%s", tn_float_text(p->arena, (float)tn_tensor_float(tensor, i)));
  else if (dtype == TN_BOOL)
    tn_str_add(&p->out, "%s", element_bits(tensor, i) ? "true" : "false");
  else if (tn_dtype_is_signed(dtype))
    tn_str_add(&p->out, "%lld", (long long)tn_tensor_int(tensor, i));
  else
    tn_str_add(&p->out, "%llu", (unsigned long long)element_bits(tensor, i));
}

static void print_hex(struct printer *p, const struct tn_tensor *tensor) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *bytes = tensor->data;
  char line[512];
  size_t used = 0;
  tn_str_addn(&p->out, "hex\"", 4);
  for (size_t i = 0; i < tensor->bytes; i++) {
    line[used++] = digits[bytes[i] >> 4];
    line[used++] = digits[bytes[i] & 15];
    if (used == sizeof line || i + 1 == tensor->bytes) {
      tn_str_addn(&p->out, line, used);
      used = 0;
    }
  }
  tn_str_addn(&p->out, "\"", 1);
}

static void print_tensor(struct printer *p, const struct tn_tensor *tensor) {
  int64_t count;
  print_type(p, &tensor->type);
  tn_str_addn(&p->out, " ", 1);
  bool list = tn_type_count(&tensor->type, &count) && count <= TN_TEXT_LONG;
  if (!list && p->brief) {
    tn_str_addn(&p->out, "...", 3);
    return;
  }
  if (!list && p->hashed) {
    tn_str_add(&p->out, "%s", tn_hash_hex(p->arena, tn_hash_bytes(tensor->data, tensor->bytes)));
    return;
  }
  for (int64_t i = 0; list && i < count; i++)
    list = element_listable(tensor, i);
  if (!list) {
    print_hex(p, tensor);
    return;
  }
  tn_str_addn(&p->out, "[", 1);
  for (int64_t i = 0; i < count; i++) {
    if (i)
      tn_str_addn(&p->out, ", ", 2);
    print_element(p, tensor, i);
  }
  tn_str_addn(&p->out, "]", 1);
}

/* ---- nodes --------------------------------------------------------------------------------------------- */

static void print_ints(struct printer *p, struct tn_ints ints, bool dims) {
  tn_str_addn(&p->out, "[", 1);
  for (size_t i = 0; i < ints.count; i++) {
    if (i)
      tn_str_addn(&p->out, ", ", 2);
    if (dims)
      print_dim(p, ints.at[i]);
    else
      tn_str_add(&p->out, "%lld", (long long)ints.at[i]);
  }
  tn_str_addn(&p->out, "]", 1);
}

/* The text of alternative `index` of "a|b|c". */
static void print_enum(struct printer *p, const char *values, int64_t index) {
  for (; values && index != 0; index--)
    values = strchr(values, '|') ? strchr(values, '|') + 1 : NULL;
  if (values)
    tn_str_addn(&p->out, values, strcspn(values, "|"));
  else
    tn_str_addn(&p->out, "?", 1); /* tn_verify() says what is wrong */
}

static void print_attr_value(struct printer *p, enum tn_attr_id id, const union tn_attr *attr) {
  const struct tn_attr_info *info = tn_attr_info(id);
  switch (info->kind) {
  case TN_ATTR_INT:
    tn_str_add(&p->out, "%lld", (long long)attr->i);
    break;
  case TN_ATTR_FLOAT:
    tn_str_add(&p->out, "%s", tn_double_text(p->arena, attr->f));
    break;
  case TN_ATTR_INTS:
    print_ints(p, attr->ints, tn_text_dims(id));
    break;
  case TN_ATTR_ENUM:
    print_enum(p, info->values, attr->i);
    break;
  case TN_ATTR_DTYPE:
    tn_str_add(&p->out, "%s", tn_dtype_name((enum tn_dtype)attr->i));
    break;
  case TN_ATTR_TENSOR:
    print_tensor(p, attr->tensor);
    break;
  }
}

static bool is_default(struct printer *p, enum tn_attr_id id, const union tn_attr *attr) {
  const struct tn_attr_info *info = tn_attr_info(id);
  if (!info->def)
    return false;
  if (info->kind == TN_ATTR_INTS)
    return attr->ints.count == 0;
  if (info->kind == TN_ATTR_FLOAT) {
    double value = strtod(info->def, NULL);
    return memcmp(&value, &attr->f, sizeof value) == 0;
  }
  struct tn_str whole = p->out; /* the text of the value is compared with the default's */
  tn_str_init(&p->out, p->arena);
  print_attr_value(p, id, attr);
  bool same = strcmp(p->out.at, info->def) == 0;
  p->out = whole;
  return same;
}

static void print_attrs(struct printer *p, const struct tn_node *node) {
  const struct tn_op_info *op = tn_op_info(node->op);
  bool any = false;
  for (int i = 0; i < op->attr_count; i++) {
    enum tn_attr_id id = (enum tn_attr_id)(op->first_attr + i);
    if (is_default(p, id, &node->attr[i]))
      continue;
    tn_str_add(&p->out, "%s%s = ", any ? ", " : " {", tn_attr_info(id)->name);
    print_attr_value(p, id, &node->attr[i]);
    any = true;
  }
  if (any)
    tn_str_addn(&p->out, "}", 1);
}

static void print_graph(struct printer *p, const struct tn_graph *graph, int indent);

static void print_loc(struct printer *p, const struct tn_node *node) {
  bool own = node->name && (node->out_count == 0 || strcmp(node->name, node->out[0]->name) != 0);
  if (!own && !node->origin)
    return;
  tn_str_add(&p->out, " loc(");
  if (own)
    print_quoted(p, node->name);
  else
    tn_str_addn(&p->out, "_", 1);
  if (node->origin) {
    tn_str_add(&p->out, ", ");
    print_quoted(p, node->origin);
  }
  tn_str_addn(&p->out, ")", 1);
}

static void print_node(struct printer *p, const struct tn_node *node, int indent) {
  tn_str_add(&p->out, "%*s", indent, "");
  for (int i = 0; i < node->out_count; i++) {
    tn_str_add(&p->out, "%s", i ? ", " : "");
    print_value_name(p, node->out[i]);
  }
  tn_str_add(&p->out, "%s%s", node->out_count ? " = " : "", tn_op_info(node->op)->name);
  for (int i = 0; i < node->in_count; i++) {
    tn_str_add(&p->out, "%s", i ? ", " : "(");
    print_value_name(p, node->in[i]);
  }
  if (node->in_count)
    tn_str_addn(&p->out, ")", 1);
  print_attrs(p, node);
  for (int i = 0; i < node->region_count; i++) {
    tn_str_addn(&p->out, " ", 1);
    print_graph(p, node->region[i], indent);
  }
  for (int i = 0; i < node->out_count; i++) {
    tn_str_add(&p->out, "%s", i ? ", " : " : ");
    print_type(p, &node->out[i]->type);
    print_storage(p, node->out[i]->storage, node->out[i]->type.rank);
  }
  print_loc(p, node);
}

static void print_graph(struct printer *p, const struct tn_graph *graph, int indent) {
  tn_str_add(&p->out, "graph(");
  for (size_t i = 0; i < graph->inputs.count; i++) {
    tn_str_add(&p->out, "%s", i ? ", " : "");
    print_value_name(p, graph->inputs.at[i]);
    tn_str_addn(&p->out, ": ", 2);
    print_type(p, &graph->inputs.at[i]->type);
    print_storage(p, graph->inputs.at[i]->storage, graph->inputs.at[i]->type.rank);
  }
  tn_str_add(&p->out, ") {\n");
  for (const struct tn_node *node = graph->first; node; node = node->next) {
    print_node(p, node, indent + 2);
    tn_str_addn(&p->out, "\n", 1);
  }
  tn_str_add(&p->out, "%*sreturn", indent + 2, "");
  for (size_t i = 0; i < graph->outputs.count; i++) {
    tn_str_add(&p->out, "%s", i ? ", " : " ");
    print_value_name(p, graph->outputs.at[i]);
  }
  tn_str_add(&p->out, "\n%*s}", indent, "");
}

/* ---- symbols ------------------------------------------------------------------------------------------- */

static void mark_type(bool *used, const struct tn_type *type) {
  for (int i = 0; i < type->rank; i++)
    if (type->dim[i] < 0)
      used[-1 - type->dim[i]] = true;
}

static void mark_graph(bool *used, const struct tn_graph *graph) {
  for (size_t i = 0; i < graph->inputs.count; i++)
    mark_type(used, &graph->inputs.at[i]->type);
  for (const struct tn_node *node = graph->first; node; node = node->next) {
    const struct tn_op_info *op = tn_op_info(node->op);
    for (int i = 0; i < node->out_count; i++)
      mark_type(used, &node->out[i]->type);
    for (int i = 0; i < op->attr_count; i++)
      if (tn_text_dims((enum tn_attr_id)(op->first_attr + i)))
        for (size_t k = 0; k < node->attr[i].ints.count; k++)
          if (node->attr[i].ints.at[k] < 0)
            used[-1 - node->attr[i].ints.at[k]] = true;
    for (int i = 0; i < node->region_count; i++)
      mark_graph(used, node->region[i]);
  }
}

static void print_symbols(struct printer *p) {
  const struct tn_module *module = p->module;
  size_t count = module->symbols.count;
  bool *used = TN_NEW_ARRAY(p->arena, bool, count);
  uint32_t *label = TN_NEW_ARRAY(p->arena, uint32_t, count), labels = 0;
  mark_graph(used, module->main);
  for (size_t i = count; i-- > 0;) { /* a symbol's parts are older than itself */
    const struct tn_symbol *s = &module->symbols.at[i];
    if (!used[i] || !s->op)
      continue;
    if (s->a < 0)
      used[-1 - s->a] = true;
    if (s->b < 0)
      used[-1 - s->b] = true;
  }
  p->label = label;
  for (size_t i = 0; i < count; i++) {
    const struct tn_symbol *s = &module->symbols.at[i];
    tn_dim dim = -1 - (tn_dim)i;
    int64_t value;
    if (tn_dim_value(module, dim, &value) || (s->op && !used[i]))
      continue;
    tn_str_add(&p->out, "symbol ");
    if (is_long(s)) {
      tn_str_add(&p->out, "$%u = ", labels);
      print_expression(p, s);
      label[i] = ++labels;
    } else
      print_dim(p, dim);
    if (!s->op && (s->low != 0 || s->high != INT64_MAX)) {
      tn_str_add(&p->out, " = %lld..", (long long)s->low);
      if (s->high != INT64_MAX)
        tn_str_add(&p->out, "%lld", (long long)s->high);
    }
    tn_str_addn(&p->out, "\n", 1);
  }
}

/* ---- entry --------------------------------------------------------------------------------------------- */

static char *print_module(tn_arena *arena, const struct tn_module *module, bool brief, bool hashed) {
  struct printer p = {.arena = arena, .module = module, .brief = brief, .hashed = hashed};
  tn_str_init(&p.out, arena);
  tn_str_add(&p.out, "module ");
  print_quoted(&p, module->name ? module->name : "");
  tn_str_addn(&p.out, "\n", 1);
  print_symbols(&p);
  if (module->arena_bytes || module->arena_low_bound || module->weight_bytes)
    tn_str_add(&p.out, "memory {arena = %lld, arena_low_bound = %lld, weights = %lld}\n",
               (long long)module->arena_bytes, (long long)module->arena_low_bound,
               (long long)module->weight_bytes);
  for (size_t i = 0; i < module->strings.count; i++) {
    tn_str_add(&p.out, "meta ");
    print_quoted(&p, module->strings.entries[i].key);
    tn_str_add(&p.out, " = ");
    print_quoted(&p, module->strings.entries[i].value);
    tn_str_addn(&p.out, "\n", 1);
  }
  print_graph(&p, module->main, 0);
  tn_str_addn(&p.out, "\n", 1);
  return p.out.at;
}

char *tn_print(tn_arena *arena, const struct tn_module *module) {
  return print_module(arena, module, false, false);
}
char *tn_print_brief(tn_arena *arena, const struct tn_module *module) {
  return print_module(arena, module, true, false);
}
struct tn_hash tn_module_hash(tn_arena *scratch, const struct tn_module *module) {
  const char *text = print_module(scratch, module, false, true);
  return tn_hash_bytes(text, strlen(text));
}

char *tn_print_node(tn_arena *arena, const struct tn_node *node) {
  struct printer p = {.arena = arena, .module = node->home->module, .brief = true};
  tn_str_init(&p.out, arena);
  print_node(&p, node, 0);
  return p.out.at;
}
