/* ONNX graphs to tensor IR: scopes, nodes, model-local functions, subgraphs.
 *
 * Nodes are taken in an order of execution (order.c).  Each is imported under a guard of its own; when that
 * fails its results are bound as unknown, the nodes that need them are passed over, and the rest is imported,
 * so that one run names everything that is wrong.
 *
 * Invariant: a binding that is not unknown and not absent holds a value that is defined before the scope's
 * cursor. */
#include "frontend/onnx/import.h"

#include <string.h>

struct row {
  const char *domain, *op;
  int since, until;
  tn_onnx_map *map;
  int arg;
};
static const struct row rows[] = {
#define ONNX(domain, op, since, until, function, arg) {domain, #op, since, until, tn_onnx_op_##function, arg},
#include "frontend/onnx/ops.def"
#undef ONNX
};

static const char *plain(const char *text) {
  return text ? text : "";
}

/* "ai.onnx" is another spelling of the default domain. */
static const char *domain_of(const char *domain) {
  return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

const char *tn_import_op_name(tn_arena *arena, const char *domain, const char *op) {
  domain = domain_of(domain);
  return *domain ? tn_printf(arena, "%s.%s", domain, op) : tn_strdup(arena, op);
}

struct tn_where tn_import_where(const struct tn_onnx_node *n) {
  return (struct tn_where){n->im->wire.path, n->b->name, n->b->origin};
}

static const char *gap_key(struct tn_import *im, struct tn_onnx_gap gap) {
  return tn_printf(im->scratch, "%s\n%s\n%s", gap.node, gap.op, gap.reason);
}

void tn_import_gap(struct tn_import *im, const char *node, const char *op, const char *reason) {
  const char *key = gap_key(im, (struct tn_onnx_gap){node, op, reason});
  if (tn_map_has(&im->gap_keys, key))
    return;
  tn_arena *arena = tn_ctx_arena(im->ctx);
  tn_map_set(&im->gap_keys, key, im);
  TN_PUSH(im->scratch, &im->gaps,
          (struct tn_onnx_gap){tn_strdup(arena, node), tn_strdup(arena, op), tn_strdup(arena, reason)});
}

struct tn_import_mark tn_import_mark(struct tn_import *im) {
  return (struct tn_import_mark){tn_diag_count(im->ctx, TN_NOTE), im->gaps.count, im->needed.count};
}

void tn_import_forget(struct tn_import *im, struct tn_import_mark mark) {
  tn_diag_truncate(im->ctx, mark.diags);
  im->needed.count = mark.needed;
  im->gaps.count = mark.gaps;
  tn_map_init(&im->gap_keys, im->scratch);
  for (size_t i = 0; i < im->gaps.count; i++)
    tn_map_set(&im->gap_keys, gap_key(im, im->gaps.at[i]), im);
}

struct tn_value_note *tn_import_note(struct tn_import *im, const struct tn_value *value) {
  while (im->notes.count <= value->id)
    TN_PUSH(im->scratch, &im->notes, (struct tn_value_note){0});
  return &im->notes.at[value->id];
}

/* ---- names ---------------------------------------------------------------------------------------------- */

void tn_import_scope(struct tn_import *im, struct tn_scope *scope, struct tn_scope *outer,
                     struct tn_build *cursor) {
  *scope = (struct tn_scope){.outer = outer, .cursor = cursor};
  tn_map_init(&scope->names, im->scratch);
}

struct tn_binding *tn_import_lookup(struct tn_import *im, const char *name, struct tn_scope **home) {
  for (struct tn_scope *scope = im->scope; scope; scope = scope->outer) {
    struct tn_binding *binding = tn_map_get(&scope->names, name);
    if (binding) {
      *home = scope;
      return binding;
    }
  }
  return NULL;
}

void tn_import_bind(struct tn_import *im, const char *name, struct tn_onnx_arg arg, bool unknown) {
  struct tn_binding *binding = TN_NEW(im->scratch, struct tn_binding);
  binding->arg = arg;
  binding->unknown = unknown;
  tn_map_set(&im->scope->names, name, binding);
}

/* The user's name for a value that has none of the user's yet: a result that an operator hands through keeps
 * its first name. */
void tn_import_name(struct tn_import *im, struct tn_value *value, const char *name) {
  if (value->named || !value->def)
    return;
  if (im->frame)
    name = tn_printf(im->scratch, "%s%s", im->frame->prefix, name);
  if (tn_map_get(&im->module->names, name) == &im->reserved)
    tn_map_set(&im->module->names, tn_strdup(im->module->arena, name), NULL);
  tn_value_rename(value, name);
}

void tn_import_initializers(struct tn_import *im, const Onnx__GraphProto *graph) {
  for (size_t i = 0; i < graph->n_initializer + graph->n_sparse_initializer; i++) {
    struct tn_binding *binding = TN_NEW(im->scratch, struct tn_binding);
    if (i < graph->n_initializer)
      binding->tensor = graph->initializer[i];
    else
      binding->sparse = graph->sparse_initializer[i - graph->n_initializer];
    const Onnx__TensorProto *named = binding->tensor ? binding->tensor : binding->sparse->values;
    const char *name = named ? plain(named->name) : "";
    if (!*name)
      tn_report(im->ctx, TN_ERROR, (struct tn_where){im->wire.path, NULL, NULL},
                "initializer %zu of graph '%s' has no name", i, plain(graph->name));
    else if (tn_map_get(&im->scope->names, name))
      tn_report(im->ctx, TN_ERROR, (struct tn_where){im->wire.path, name, "initializer"},
                "two initializers have this name; names must be unique in a graph");
    else
      tn_map_set(&im->scope->names, name, binding);
  }
}

bool tn_import_constant(struct tn_import *im, const struct tn_scope *home, const char *name,
                        struct tn_binding *binding, struct tn_onnx_node *user) {
  const Onnx__TensorProto *proto = binding->tensor ? binding->tensor : binding->sparse->values;
  const struct tn_onnx_data_type *type = tn_onnx_data_type(proto->data_type);
  struct tn_where where = {im->wire.path, tn_strdup(im->module->arena, name), "initializer"};
  if (type->dtype == TN_NONE) {
    if (user)
      tn_onnx_unsupported(user, "its operand '%s' is of type %s, which Tenon has not", name, type->name);
    else
      tn_import_gap(im, name, "initializer", tn_printf(im->scratch, "type %s", type->name));
    return false;
  }
  struct tn_tensor *tensor = TN_NEW(im->module->arena, struct tn_tensor);
  bool good = binding->tensor ? tn_wire_tensor(&im->wire, binding->tensor, where, tensor)
                              : tn_wire_sparse(&im->wire, binding->sparse, where, tensor);
  if (!good) {
    binding->unknown = true;
    return false;
  }
  struct tn_build b = {home->cursor->graph, home->cursor->before, where.node, "initializer"};
  struct tn_value *value = tn_constant(&b, tensor);
  tn_import_name(im, value, name);
  if (type->bits < 8)
    tn_import_note(im, value)->data_type = (uint8_t)proto->data_type;
  binding->tensor = NULL;
  binding->sparse = NULL;
  binding->arg.value = value;
  return true;
}

/* ---- model-local functions --------------------------------------------------------------------------------
 */

const char *tn_import_function_key(struct tn_import *im, const char *domain, const char *name,
                                   const char *overload) {
  return tn_printf(im->scratch, "%s/%s/%s", domain_of(domain), plain(name), plain(overload));
}

static const Onnx__FunctionProto *function_of(struct tn_import *im, const Onnx__NodeProto *node) {
  if (im->functions.count == 0)
    return NULL;
  return tn_map_get(&im->functions, tn_import_function_key(im, node->domain, node->op_type, node->overload));
}

static bool enter(struct tn_onnx_node *n) {
  if (n->im->nesting >= TN_ONNX_MAX_NESTING)
    return tn_onnx_error(n,
                         "graphs and functions are nested more than %d deep here (or a function calls itself)",
                         TN_ONNX_MAX_NESTING);
  n->im->nesting++;
  return true;
}

/* The body goes where the call stands; the function sees its parameters and nothing of the model around. */
static bool inline_function(struct tn_onnx_node *n, const Onnx__FunctionProto *function) {
  struct tn_import *im = n->im;
  if ((size_t)n->in_count > function->n_input)
    return tn_onnx_error(n, "the function has %zu inputs, the node %d", function->n_input, n->in_count);
  if ((size_t)n->out_count > function->n_output)
    return tn_onnx_error(n, "the function has %zu outputs, the node %d", function->n_output, n->out_count);
  if (!enter(n))
    return false;
  struct tn_frame frame = {function, n->attrs, tn_printf(im->module->arena, "%s/", n->name)};
  struct tn_scope scope;
  tn_import_scope(im, &scope, NULL, n->b);
  struct tn_scope *outer_scope = im->scope;
  const struct tn_frame *outer_frame = im->frame;
  Onnx__OperatorSetIdProto *const *outer_opsets = im->opsets;
  size_t outer_count = im->opset_count;
  im->scope = &scope;
  for (size_t i = 0; i < function->n_input; i++) {
    struct tn_onnx_arg arg = {0};
    if ((int)i < n->in_count)
      arg = (struct tn_onnx_arg){n->in[i], n->in_list[i]};
    tn_import_bind(im, function->input[i], arg, false);
  }
  im->frame = &frame;
  if (function->n_opset_import) {
    im->opsets = function->opset_import;
    im->opset_count = function->n_opset_import;
  }
  tn_import_nodes(im, function->node, function->n_node, n->b);
  bool good = true;
  for (int i = 0; i < n->out_count; i++) {
    struct tn_scope *home;
    struct tn_binding *binding = tn_import_lookup(im, function->output[i], &home);
    if (!binding)
      good = tn_onnx_error(n, "the function's body does not define its output '%s'", function->output[i]);
    else if (binding->unknown)
      good = false;
    else {
      n->out[i] = binding->arg.value;
      n->out_list[i] = binding->arg.list;
      if (n->out[i] && strncmp(n->out[i]->name, frame.prefix, strlen(frame.prefix)) == 0)
        n->out[i]->named = false; /* the call's name for it comes first */
    }
  }
  im->scope = outer_scope;
  im->frame = outer_frame;
  im->opsets = outer_opsets;
  im->opset_count = outer_count;
  im->nesting--;
  return good;
}

/* ---- one node -----------------------------------------------------------------------------------------------
 */

static int opset_of(const struct tn_import *im, const char *domain) {
  for (size_t i = 0; i < im->opset_count; i++)
    if (strcmp(domain_of(im->opsets[i]->domain), domain) == 0)
      return im->opsets[i]->version < 1 || im->opsets[i]->version > 9999 ? -1 : (int)im->opsets[i]->version;
  return 0;
}

/* The row for the operator at this opset; *why receives the reason when there is none. */
static const struct row *row_of(struct tn_import *im, const char *domain, const char *op, int opset,
                                const char **why) {
  const struct row *near = NULL;
  for (size_t i = 0; i < TN_COUNT(rows); i++) {
    if (strcmp(rows[i].op, op) != 0 || strcmp(rows[i].domain, domain) != 0)
      continue;
    near = &rows[i];
    if (opset >= near->since && opset <= near->until)
      return near;
  }
  *why = !near ? "Tenon does not have this operator, and the model does not define it as a function"
         : opset < near->since
             ? tn_printf(im->scratch,
                         "version %d of opset '%s' is too old: Tenon has the operator from %d on; convert "
                         "the model with onnx.version_converter",
                         opset, *domain ? domain : "ai.onnx", near->since)
             : tn_printf(im->scratch,
                         "the operator was removed from opset '%s' after version %d; the model imports %d",
                         *domain ? domain : "ai.onnx", near->until, opset);
  return NULL;
}

/* The operators that cannot be imported in graphs which are passed over with their node. */
static void note_gaps(struct tn_import *im, const Onnx__NodeProto *node, int depth) {
  for (size_t a = 0; a < node->n_attribute && depth < TN_ONNX_MAX_NESTING; a++) {
    const Onnx__GraphProto *graph = node->attribute[a]->g;
    for (size_t i = 0; graph && i < graph->n_node; i++) {
      const Onnx__NodeProto *inner = graph->node[i];
      const char *why, *domain = domain_of(inner->domain), *op = plain(inner->op_type);
      if (!function_of(im, inner) && !row_of(im, domain, op, opset_of(im, domain), &why))
        tn_import_gap(im,
                      inner->name && *inner->name ? inner->name
                      : inner->n_output           ? inner->output[0]
                                                  : "",
                      tn_import_op_name(im->module->arena, domain, op), why);
      note_gaps(im, inner, depth + 1);
    }
  }
}

struct node_call {
  struct tn_import *im;
  const Onnx__NodeProto *proto;
  struct tn_build *b;
  bool done;
};

/* Operands by name.  *known becomes false when one could not be imported. */
static bool resolve(struct tn_onnx_node *n, const Onnx__NodeProto *proto, bool *known) {
  struct tn_import *im = n->im;
  bool good = true;
  n->in_count = (int)proto->n_input;
  while (n->in_count > 0 && !*proto->input[n->in_count - 1])
    n->in_count--;
  n->in = TN_NEW_ARRAY(im->scratch, struct tn_value *, n->in_count + 1);
  n->in_list = TN_NEW_ARRAY(im->scratch, const struct tn_onnx_list *, n->in_count + 1);
  for (int i = 0; i < n->in_count; i++) {
    const char *name = proto->input[i];
    struct tn_scope *home;
    if (!*name)
      continue;
    struct tn_binding *binding = tn_import_lookup(im, name, &home);
    if (!binding) {
      good = tn_onnx_error(
          n, "operand %d, '%s', is not defined: expected a graph input, an initializer or the result of a node",
          i, name);
      continue;
    }
    if (!binding->unknown && (binding->tensor || binding->sparse) &&
        !tn_import_constant(im, home, name, binding, n))
      *known = false;
    *known &= !binding->unknown;
    n->in[i] = binding->arg.value;
    n->in_list[i] = binding->arg.list;
  }
  while (n->in_count > 0 && !n->in[n->in_count - 1] && !n->in_list[n->in_count - 1])
    n->in_count--; /* a function's parameter that the call leaves out */
  return good;
}

static bool import_node_body(void *user) {
  struct node_call *call = user;
  struct tn_import *im = call->im;
  const Onnx__NodeProto *proto = call->proto;
  tn_arena *arena = im->module->arena;
  const char *domain = domain_of(proto->domain), *op = plain(proto->op_type), *why = NULL;
  const char *prefix = im->frame ? im->frame->prefix : "";
  const char *name = proto->name && *proto->name ? proto->name : proto->n_output ? proto->output[0] : "";
  struct tn_onnx_attrs *attrs = TN_NEW(im->scratch, struct tn_onnx_attrs);
  *attrs = (struct tn_onnx_attrs){proto, im->frame};
  struct tn_build b = {call->b->graph, call->b->before, tn_printf(arena, "%s%s", prefix, name),
                       tn_import_op_name(arena, domain, op)};
  struct tn_onnx_node n = {.im = im, .b = &b, .arena = arena, .attrs = attrs, .name = b.name};
  n.op = tn_strdup(arena, op);
  n.domain = tn_strdup(arena, domain);
  n.opset = opset_of(im, domain);
  if (++im->node_count > TN_ONNX_MAX_NODES)
    return tn_onnx_error(&n, "the model has more than %d nodes with its functions inlined", TN_ONNX_MAX_NODES);
  bool known = true;
  bool good = resolve(&n, proto, &known);

  const Onnx__FunctionProto *function = function_of(im, proto);
  const struct row *row = NULL;
  if (!function) {
    if (n.opset <= 0 && !(row = row_of(im, domain, op, TN_ONNX_LATEST, &why)))
      return tn_onnx_unsupported(&n, "%s", why);
    if (n.opset <= 0)
      return tn_onnx_error(&n,
                           n.opset < 0 ? "the model imports an impossible version of opset '%s'"
                                       : "the model does not say which version of opset '%s' it uses",
                           *domain ? domain : "ai.onnx");
    row = row_of(im, domain, op, n.opset, &why);
    if (!row)
      good = tn_onnx_unsupported(&n, "%s", why);
  }
  if (!good || !known) {
    note_gaps(im, proto, 0);
    return false;
  }
  n.arg = row ? row->arg : 0;
  n.out_count = (int)proto->n_output;
  while (n.out_count > 0 && !*proto->output[n.out_count - 1])
    n.out_count--;
  n.out = TN_NEW_ARRAY(im->scratch, struct tn_value *, n.out_count + 1);
  n.out_list = TN_NEW_ARRAY(im->scratch, const struct tn_onnx_list *, n.out_count + 1);
  bool *used = TN_NEW_ARRAY(im->scratch, bool, n.out_count + 1);
  for (int i = 0; i < n.out_count; i++)
    used[i] = *proto->output[i] != '\0';
  n.out_used = used;
  if (!(function ? inline_function(&n, function) : row->map(&n)))
    return false;
  for (int i = 0; i < n.out_count; i++) {
    if (!used[i])
      continue;
    if (!n.out[i] && !n.out_list[i])
      return tn_onnx_unsupported(&n, "its result %d, '%s', is used, and Tenon does not compute it", i,
                                 proto->output[i]);
    if (n.out[i])
      tn_import_name(im, n.out[i], proto->output[i]);
    tn_import_bind(im, proto->output[i], (struct tn_onnx_arg){n.out[i], n.out_list[i]}, false);
  }
  return true;
}

bool tn_import_try(struct tn_import *im, bool (*body)(void *user), void *user) {
  struct tn_scope *scope = im->scope;
  const struct tn_frame *frame = im->frame;
  Onnx__OperatorSetIdProto *const *opsets = im->opsets;
  size_t opset_count = im->opset_count;
  int nesting = im->nesting;
  bool good = tn_guard(im->ctx, body, user);
  im->scope = scope; /* the guard may have been reached from deep within */
  im->frame = frame;
  im->opsets = opsets;
  im->opset_count = opset_count;
  im->nesting = nesting;
  return good;
}

static void import_node(struct tn_import *im, const Onnx__NodeProto *proto, struct tn_build *at) {
  struct node_call call = {.im = im, .proto = proto, .b = at};
  bool good = tn_import_try(im, import_node_body, &call);
  for (size_t i = 0; !good && i < proto->n_output; i++)
    if (*proto->output[i])
      tn_import_bind(im, proto->output[i], (struct tn_onnx_arg){0}, true);
}

void tn_import_nodes(struct tn_import *im, Onnx__NodeProto *const *nodes, size_t count, struct tn_build *at) {
  size_t *order = TN_NEW_ARRAY(im->scratch, size_t, count + 1);
  size_t placed = tn_import_order(im, nodes, count, order);
  for (size_t i = 0; i < placed && im->node_count <= TN_ONNX_MAX_NODES; i++)
    import_node(im, nodes[order[i]], at);
}

/* ---- subgraphs
 * ------------------------------------------------------------------------------------------------ */

static const Onnx__GraphProto *graph_attr(struct tn_onnx_node *n, const char *name) {
  const Onnx__AttributeProto *attr = tn_onnx_attr(n->attrs, name);
  if (!attr || !attr->g) {
    tn_onnx_error(n, "its attribute %s must be a graph, and is %s", name, attr ? "something else" : "absent");
    tn_fail_now(n->im->ctx);
  }
  return attr->g;
}

void tn_onnx_graph_arity(struct tn_onnx_node *n, const char *name, int *in_count, int *out_count) {
  const Onnx__GraphProto *graph = graph_attr(n, name);
  *in_count = (int)graph->n_input;
  *out_count = (int)graph->n_output;
}

void tn_onnx_import_graph(struct tn_onnx_node *n, const char *name, struct tn_build *into, int in_count,
                          const struct tn_onnx_arg *args, int out_count, struct tn_onnx_arg *outs) {
  struct tn_import *im = n->im;
  const Onnx__GraphProto *graph = graph_attr(n, name);
  if (graph->n_input != (size_t)in_count || graph->n_output != (size_t)out_count) {
    tn_onnx_error(n, "its graph %s must have %d inputs and %d outputs, and has %zu and %zu", name, in_count,
                  out_count, graph->n_input, graph->n_output);
    tn_fail_now(im->ctx);
  }
  if (!enter(n))
    tn_fail_now(im->ctx);
  struct tn_scope scope, *outer = im->scope;
  tn_import_scope(im, &scope, outer, into);
  im->scope = &scope;
  tn_import_initializers(im, graph);
  for (int i = 0; i < in_count; i++)
    tn_import_bind(im, plain(graph->input[i]->name), args[i], false);
  tn_import_nodes(im, graph->node, graph->n_node, into);
  bool good = true;
  for (int i = 0; i < out_count; i++) {
    const char *output = plain(graph->output[i]->name);
    struct tn_scope *home;
    struct tn_binding *binding = tn_import_lookup(im, output, &home);
    if (!binding)
      good = tn_onnx_error(n, "its graph %s does not define its output '%s'", name, output);
    else if (binding->unknown)
      good = false;
    else if ((binding->tensor || binding->sparse) && !tn_import_constant(im, home, output, binding, n))
      good = false;
    else
      outs[i] = binding->arg;
  }
  im->scope = outer;
  im->nesting--;
  if (!good)
    tn_fail_now(im->ctx);
}
