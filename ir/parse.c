/* Reads the text form of tensor IR; see text.h.
 *
 * The text may be hostile.  Whatever is wrong is reported at its line and column and leaves to the guard in
 * tn_parse(), so that the functions here have no failure to pass on.  Nesting is bounded, and nothing is
 * allocated that the text is not long enough to fill.  Every node goes through tn_finish(): the types in the
 * text are checked against the inferred ones. */
#include "ir/parse.h"

/* ---- graphs and nodes ---------------------------------------------------------------------------------- */

struct result_name {
  const char *at; /* for errors */
  char *name;
};

struct operands {
  struct tn_value **at;
  size_t count, cap;
};

/* Value names are the module's, so no two values have one, wherever they stand. */
static void check_new(struct parser *p, const char *at, const char *name) {
  if (tn_map_get(&p->module->names, name))
    tn_parse_fail(p, at, "%%%s is defined a second time; a name has one definition", name);
}

/* Gives the values their names.  The first round may find a name taken by a result's passing one; the second
 * does not. */
static void name_values(struct tn_value **values, const struct result_name *names, size_t count) {
  for (int round = 0; round < 2; round++)
    for (size_t i = 0; i < count; i++)
      tn_value_rename(values[i], names[i].name);
}

static struct tn_value *parse_operand(struct parser *p) {
  const char *at = tn_parse_here(p);
  if (tn_parse_accept(p, "_"))
    return NULL;
  char *name = tn_parse_value_name(p);
  struct tn_value *value = tn_map_get(&p->scope, name);
  if (!value)
    tn_parse_fail(p, at,
                  "%%%s is not defined here; a value is defined above its uses, in this graph or one around it",
                  name);
  return value;
}

/* How many there may be is tn_infer's to say. */
static void parse_operands(struct parser *p, struct operands *in) {
  if (tn_parse_accept(p, "(") && !tn_parse_accept(p, ")")) {
    do {
      struct tn_value *value = parse_operand(p);
      TN_PUSH(p->scratch, in, value);
    } while (tn_parse_accept(p, ","));
    tn_parse_expect(p, ")");
  }
}

static void parse_attr_value(struct parser *p, struct tn_node *node, enum tn_attr_id id) {
  const struct tn_attr_info *info = tn_attr_info(id);
  const char *at = tn_parse_here(p);
  switch (info->kind) {
  case TN_ATTR_INT:
    tn_set_int(node, id, tn_parse_int(p));
    return;
  case TN_ATTR_FLOAT:
    tn_set_float(node, id, tn_parse_double(p));
    return;
  case TN_ATTR_INTS: {
    struct tn_ints ints = tn_parse_ints(p, tn_text_dims(id));
    tn_set_ints(node, id, ints.at, ints.count);
    return;
  }
  case TN_ATTR_ENUM: {
    char *word = tn_parse_word(p, "one of the attribute's words");
    int64_t index = 0;
    for (const char *value = info->values; value; index++) {
      size_t length = strcspn(value, "|");
      if (strlen(word) == length && memcmp(word, value, length) == 0) {
        tn_set_int(node, id, index);
        return;
      }
      value = value[length] ? value + length + 1 : NULL;
    }
    tn_parse_fail(p, at, "%s is one of %s, not '%s'", info->name, info->values, word);
  }
  case TN_ATTR_DTYPE: {
    enum tn_dtype dtype;
    char *word = tn_parse_word(p, "a dtype");
    if (!tn_dtype_parse(word, &dtype))
      tn_parse_fail(p, at, "there is no dtype '%s'", word);
    tn_set_int(node, id, dtype);
    return;
  }
  case TN_ATTR_TENSOR:
    tn_set_tensor(node, id, tn_parse_tensor(p));
    return;
  }
}

static void parse_attrs(struct parser *p, struct tn_node *node, const char *start) {
  const struct tn_op_info *info = tn_op_info(node->op);
  unsigned seen = 0;
  if (tn_parse_accept(p, "{") && !tn_parse_accept(p, "}")) {
    do {
      const char *at = tn_parse_here(p);
      char *name = tn_parse_word(p, "an attribute's name");
      int i = 0;
      while (i < info->attr_count &&
             strcmp(tn_attr_info((enum tn_attr_id)(info->first_attr + i))->name, name) != 0)
        i++;
      if (i == info->attr_count)
        tn_parse_fail(p, at, "%s has no attribute '%s'", info->name, name);
      if (seen & 1u << i)
        tn_parse_fail(p, at, "attribute '%s' is given a second time", name);
      seen |= 1u << i;
      tn_parse_expect(p, "=");
      parse_attr_value(p, node, (enum tn_attr_id)(info->first_attr + i));
    } while (tn_parse_accept(p, ","));
    tn_parse_expect(p, "}");
  }
  for (int i = 0; i < info->attr_count; i++) {
    const struct tn_attr_info *attr = tn_attr_info((enum tn_attr_id)(info->first_attr + i));
    if (!attr->def && !(seen & 1u << i))
      tn_parse_fail(p, start, "%s needs its attribute '%s'", info->name, attr->name);
  }
}

static void parse_loc(struct parser *p, struct tn_node *node) {
  if (!tn_parse_accept_word(p, "loc"))
    return;
  tn_parse_expect(p, "(");
  if (!tn_parse_accept(p, "_"))
    node->name = tn_parse_string(p);
  if (tn_parse_accept(p, ","))
    node->origin = tn_parse_string(p);
  tn_parse_expect(p, ")");
}

static void parse_graph(struct parser *p, struct tn_graph *graph);

static void parse_regions(struct parser *p, struct tn_node *node) {
  while (tn_parse_at_word(p, "graph")) {
    const char *at = tn_parse_here(p);
    if (!(tn_op_info(node->op)->flags & TN_REGION) || node->region_count == TN_PARSE_REGIONS)
      tn_parse_fail(p, at, "%s holds no graph here", tn_op_info(node->op)->name);
    if (++p->depth > TN_PARSE_DEPTH)
      tn_parse_fail(p, at, "graphs are nested more than %d deep", TN_PARSE_DEPTH);
    parse_graph(p, tn_graph_create(p->module, node));
    p->depth--;
  }
}

static void parse_node(struct parser *p, struct tn_graph *graph) {
  const char *start = tn_parse_here(p);
  TN_VEC(struct result_name) names = {0};
  if (tn_parse_at(p, "%")) {
    do {
      struct result_name name = {.at = tn_parse_here(p)};
      name.name = tn_parse_value_name(p);
      check_new(p, name.at, name.name);
      TN_PUSH(p->scratch, &names, name);
    } while (tn_parse_accept(p, ","));
    tn_parse_expect(p, "=");
  }
  const char *op_at = tn_parse_here(p);
  char *op_name = tn_parse_word(p, "an op");
  enum tn_op op;
  if (!tn_op_parse(op_name, &op))
    tn_parse_fail(p, op_at, "there is no op '%s'", op_name);
  struct operands in = {0};
  parse_operands(p, &in);
  if (names.count > INT32_MAX / 2 || in.count > INT32_MAX / 2)
    tn_parse_fail(p, start, "too many operands or results");

  struct tn_build b = tn_build_at_end(graph);
  struct tn_node *node = tn_node_make(&b, op, (int)in.count, in.at, (int)names.count);
  name_values(node->out, names.at, names.count);
  for (size_t i = 0; i < names.count; i++)
    if (strcmp(node->out[i]->name, names.at[i].name) != 0)
      tn_parse_fail(p, names.at[i].at, "%%%s is defined a second time; a name has one definition",
                    names.at[i].name);
  parse_attrs(p, node, op_at);
  parse_regions(p, node);

  struct tn_type *types = TN_NEW_ARRAY(p->scratch, struct tn_type, names.count);
  const char **type_at = TN_NEW_ARRAY(p->scratch, const char *, names.count);
  for (size_t i = 0; i < names.count; i++) {
    tn_parse_expect(p, i ? "," : ":");
    type_at[i] = tn_parse_here(p);
    types[i] = tn_parse_type(p);
    node->out[i]->storage = tn_parse_storage(p);
  }
  parse_loc(p, node);
  if (!tn_finish(&b, node)) {
    tn_parse_note(p, start, "this node is meant");
    tn_fail_now(p->ctx);
  }
  for (size_t i = 0; i < names.count; i++) {
    struct tn_type *inferred = &node->out[i]->type;
    if (inferred->dtype != types[i].dtype || !tn_shape_equal(inferred, &types[i]))
      tn_parse_fail(p, type_at[i], "%%%s is written as %s, but the operands of %s give %s", names.at[i].name,
                    tn_shape_say(node, &types[i]), op_name, tn_shape_say(node, inferred));
    if (types[i].quant)
      inferred->quant = types[i].quant;
    tn_map_set(&p->scope, node->out[i]->name, node->out[i]);
  }
}

static void parse_inputs(struct parser *p, struct tn_graph *graph) {
  tn_parse_expect(p, "(");
  if (tn_parse_accept(p, ")"))
    return;
  do {
    struct result_name name = {.at = tn_parse_here(p)};
    name.name = tn_parse_value_name(p);
    check_new(p, name.at, name.name);
    tn_parse_expect(p, ":");
    struct tn_value *value = tn_graph_input(graph, name.name, tn_parse_type(p));
    name_values(&value, &name, 1);
    value->storage = tn_parse_storage(p);
    tn_map_set(&p->scope, value->name, value);
  } while (tn_parse_accept(p, ","));
  tn_parse_expect(p, ")");
}

/* What the graph defined is out of sight after it. */
static void leave_scope(struct parser *p, const struct tn_graph *graph) {
  for (size_t i = 0; i < graph->inputs.count; i++)
    tn_map_set(&p->scope, graph->inputs.at[i]->name, NULL);
  for (const struct tn_node *node = graph->first; node; node = node->next)
    for (int i = 0; i < node->out_count; i++)
      tn_map_set(&p->scope, node->out[i]->name, NULL);
}

static void parse_graph(struct parser *p, struct tn_graph *graph) {
  tn_parse_expect_word(p, "graph");
  parse_inputs(p, graph);
  tn_parse_expect(p, "{");
  while (!tn_parse_accept_word(p, "return"))
    parse_node(p, graph);
  if (!tn_parse_at(p, "}"))
    do {
      const char *at = tn_parse_here(p);
      struct tn_value *value = parse_operand(p);
      if (!value)
        tn_parse_fail(p, at, "a graph's output may not be left out");
      tn_graph_output(graph, value);
    } while (tn_parse_accept(p, ","));
  tn_parse_expect(p, "}");
  leave_scope(p, graph);
}

/* ---- module -------------------------------------------------------------------------------------------- */

static void parse_symbol(struct parser *p) {
  const char *at = tn_parse_here(p);
  if (tn_parse_accept(p, "$")) {
    if (tn_parse_int(p) != (int64_t)p->labels.count)
      tn_parse_fail(p, at, "expected $%zu, the next label", p->labels.count);
    tn_parse_expect(p, "=");
    tn_dim dim = tn_parse_dim(p);
    TN_PUSH(p->scratch, &p->labels, dim);
    return;
  }
  size_t known = p->module->symbols.count;
  tn_dim dim = tn_parse_dim(p);
  if (!tn_parse_accept(p, "="))
    return;
  struct tn_symbol *symbol = dim < 0 ? &p->module->symbols.at[-1 - dim] : NULL;
  int64_t ignored;
  if (!symbol || symbol->op || tn_dim_value(p->module, dim, &ignored))
    tn_parse_fail(p, at, "only a named symbol has bounds of its own");
  if (p->module->symbols.count == known)
    tn_parse_fail(p, at, "the symbol is in use above; its bounds come first");
  const char *low_at = tn_parse_here(p);
  int64_t low = tn_parse_int(p), high = INT64_MAX;
  tn_parse_expect(p, "..");
  if (tn_parse_at_digit(p))
    high = tn_parse_int(p);
  if (low < 0 || high < low)
    tn_parse_fail(p, low_at, "the bounds of a symbol are 0 <= low <= high");
  symbol->low = low;
  symbol->high = high;
}

static int64_t parse_memory_field(struct parser *p, const char *name) {
  tn_parse_expect_word(p, name);
  tn_parse_expect(p, "=");
  const char *at = tn_parse_here(p);
  int64_t bytes = tn_parse_int(p);
  if (bytes < 0)
    tn_parse_fail(p, at, "a size is not below 0");
  return bytes;
}

static bool parse_module(void *user) {
  struct parser *p = user;
  tn_parse_expect_word(p, "module");
  char *name = tn_parse_string(p);
  p->module = tn_module_create(p->ctx, name, p->file);
  for (;;) {
    if (tn_parse_accept_word(p, "symbol")) {
      parse_symbol(p);
    } else if (tn_parse_accept_word(p, "memory")) {
      tn_parse_expect(p, "{");
      p->module->arena_bytes = parse_memory_field(p, "arena");
      tn_parse_expect(p, ",");
      p->module->arena_low_bound = parse_memory_field(p, "arena_low_bound");
      tn_parse_expect(p, ",");
      p->module->weight_bytes = parse_memory_field(p, "weights");
      tn_parse_expect(p, "}");
    } else if (tn_parse_accept_word(p, "meta")) {
      char *key = tn_strdup(p->module->arena, tn_parse_string(p));
      tn_parse_expect(p, "=");
      tn_map_set(&p->module->strings, key, tn_parse_string(p));
    } else {
      break;
    }
  }
  parse_graph(p, p->module->main);
  const char *rest = tn_parse_here(p);
  if (rest != p->end)
    tn_parse_fail(p, rest, "expected the end of the text after the graph");
  return true;
}

struct guarded {
  struct parser p;
  bool good;
};

static bool parse_guarded(void *user) {
  struct parser *p = user;
  p->scratch = tn_arena_create(p->ctx);
  tn_map_init(&p->scope, p->scratch);
  return parse_module(p);
}

struct tn_module *tn_parse(tn_ctx *ctx, const char *file, const char *text, size_t size) {
  struct parser p = {.ctx = ctx, .file = file, .text = text, .at = text, .end = text + size};
  bool good = tn_guard(ctx, parse_guarded, &p);
  tn_arena_destroy(p.scratch);
  if (good)
    return p.module;
  if (p.module)
    tn_arena_destroy(p.module->arena);
  return NULL;
}
