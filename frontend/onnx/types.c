/* The interface of a model: its inputs and outputs, their types, and what the options say about them.
 *
 * A dimension of an input is a number or a name.  A dimension without either is named INPUT.I, so that it can
 * be bound like the others.  Options that give an input a shape or a value bind the names in its declared
 * shape, for all inputs alike. */
#include "frontend/onnx/import.h"

#include <string.h>

static const char *plain(const char *text) {
  return text ? text : "";
}

/* ---- text ---------------------------------------------------------------------------------------------------
 */

const char *tn_onnx_type_text(tn_arena *arena, const Onnx__TypeProto *type) {
  if (!type)
    return "undefined";
  if (type->tensor_type)
    return tn_printf(arena, "tensor(%s)", tn_onnx_data_type(type->tensor_type->elem_type)->name);
  if (type->sequence_type)
    return tn_printf(arena, "sequence(%s)", tn_onnx_type_text(arena, type->sequence_type->elem_type));
  if (type->optional_type)
    return tn_printf(arena, "optional(%s)", tn_onnx_type_text(arena, type->optional_type->elem_type));
  if (type->map_type)
    return tn_printf(arena, "map(%s, %s)", tn_onnx_data_type(type->map_type->key_type)->name,
                     tn_onnx_type_text(arena, type->map_type->value_type));
  if (type->sparse_tensor_type)
    return tn_printf(arena, "sparse_tensor(%s)", tn_onnx_data_type(type->sparse_tensor_type->elem_type)->name);
  return type->opaque_type ? "opaque" : "undefined";
}

const char *tn_onnx_dim_name(tn_arena *arena, const char *input, const Onnx__TensorShapeProto *shape,
                             size_t i) {
  const char *name = shape->dim[i]->dim_param;
  return name && *name ? name : tn_printf(arena, "%s.%zu", input, i);
}

const char *tn_onnx_shape_text(tn_arena *arena, const char *name, const Onnx__TensorShapeProto *shape) {
  if (!shape)
    return "";
  struct tn_str s;
  tn_str_init(&s, arena);
  tn_str_add(&s, "[");
  for (size_t i = 0; i < shape->n_dim; i++) {
    const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
    if (i)
      tn_str_add(&s, ", ");
    if (dim->has_dim_value && dim->dim_value >= 0)
      tn_str_add(&s, "%lld", (long long)dim->dim_value);
    else
      tn_str_add(&s, "%s", tn_onnx_dim_name(arena, name, shape, i));
  }
  tn_str_add(&s, "]");
  return s.at;
}

/* ---- what the options say
 * -------------------------------------------------------------------------------------- */

static struct tn_where where_of(struct tn_import *im, const char *name, const char *what) {
  return (struct tn_where){im->wire.path, name ? tn_strdup(im->module->arena, name) : NULL, what};
}

/* False after a diagnostic that two options contradict each other. */
static bool bind_dim(struct tn_import *im, const char *input, const char *name, int64_t extent) {
  struct tn_onnx_dim *dim = tn_map_get(&im->dims, name);
  if (dim && (extent < dim->low || extent > dim->high)) {
    tn_report(im->ctx, TN_ERROR, where_of(im, input, "graph input"),
              "dimension '%s' is %lld here, and elsewhere %lld: the shapes given do not fit together", name,
              (long long)extent, (long long)(extent < dim->low ? dim->low : dim->high));
    return false;
  }
  if (!dim)
    dim = TN_NEW(im->scratch, struct tn_onnx_dim);
  *dim = (struct tn_onnx_dim){tn_strdup(im->scratch, name), extent, extent};
  tn_map_set(&im->dims, dim->name, dim);
  return true;
}

static const Onnx__ValueInfoProto *input_named(const struct tn_import *im, const char *name) {
  for (size_t i = 0; i < im->model->graph->n_input; i++)
    if (strcmp(plain(im->model->graph->input[i]->name), name) == 0)
      return im->model->graph->input[i];
  return NULL;
}

static const Onnx__TypeProto__Tensor *tensor_of(const Onnx__ValueInfoProto *info) {
  return info->type ? info->type->tensor_type : NULL;
}

/* Binds the names in the declared shape of the input to the extents given for it. */
static bool bind_shape(struct tn_import *im, const char *name, int rank, const int64_t *dims) {
  const Onnx__ValueInfoProto *input = input_named(im, name);
  if (!input) {
    struct tn_str s;
    tn_str_init(&s, im->scratch);
    for (size_t i = 0; i < im->model->graph->n_input; i++)
      tn_str_add(&s, "%s%s", i ? ", " : "", plain(im->model->graph->input[i]->name));
    tn_report(im->ctx, TN_ERROR, where_of(im, NULL, NULL), "the model has no input '%s'; it has %s", name,
              s.count ? s.at : "none");
    return false;
  }
  if (!tensor_of(input) || !tensor_of(input)->shape)
    return true;
  const Onnx__TensorShapeProto *shape = tensor_of(input)->shape;
  if (shape->n_dim != (size_t)rank) {
    tn_report(im->ctx, TN_ERROR, where_of(im, name, "graph input"),
              "it has %zu dimensions, %s, and is given a shape of %d", shape->n_dim,
              tn_onnx_shape_text(im->scratch, name, shape), rank);
    return false;
  }
  for (int i = 0; i < rank; i++) {
    const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
    if (!dim->has_dim_value || dim->dim_value < 0) {
      if (!bind_dim(im, name, tn_onnx_dim_name(im->scratch, name, shape, (size_t)i), dims[i]))
        return false;
    } else if (dim->dim_value != dims[i]) {
      tn_report(im->ctx, TN_ERROR, where_of(im, name, "graph input"),
                "its dimension %d is %lld in the model, and is given as %lld", i, (long long)dim->dim_value,
                (long long)dims[i]);
      return false;
    }
  }
  return true;
}

static bool dim_known(struct tn_import *im, const char *name) {
  for (size_t i = 0; i < im->model->graph->n_input; i++) {
    const Onnx__ValueInfoProto *input = im->model->graph->input[i];
    const Onnx__TypeProto__Tensor *tensor = tensor_of(input);
    for (size_t d = 0; tensor && tensor->shape && d < tensor->shape->n_dim; d++)
      if (strcmp(tn_onnx_dim_name(im->scratch, plain(input->name), tensor->shape, d), name) == 0)
        return true;
  }
  return false;
}

bool tn_import_options(struct tn_import *im) {
  const struct tn_onnx_options *o = im->options;
  bool good = true;
  for (size_t i = 0; i < o->dim_count; i++) {
    const struct tn_onnx_dim *dim = &o->dims[i];
    if (!dim_known(im, dim->name)) {
      tn_report(im->ctx, TN_ERROR, where_of(im, NULL, NULL), "no input of the model has a dimension '%s'",
                dim->name);
      good = false;
    } else if (dim->low < 0 || dim->low > dim->high) {
      tn_report(im->ctx, TN_ERROR, where_of(im, NULL, NULL), "dimension '%s' cannot lie between %lld and %lld",
                dim->name, (long long)dim->low, (long long)dim->high);
      good = false;
    } else {
      struct tn_onnx_dim *copy = TN_NEW(im->scratch, struct tn_onnx_dim);
      *copy = *dim;
      tn_map_set(&im->dims, dim->name, copy);
    }
  }
  for (size_t i = 0; i < o->shape_count; i++)
    good &= bind_shape(im, o->shapes[i].input, o->shapes[i].rank, o->shapes[i].dim);
  for (size_t i = 0; i < o->value_count; i++)
    good &= bind_shape(im, o->values[i].input, o->values[i].tensor->type.rank, o->values[i].tensor->type.dim);
  return good;
}

/* ---- inputs
 * ------------------------------------------------------------------------------------------------------ */

static tn_dim input_dim(struct tn_import *im, const char *input, const Onnx__TensorShapeProto *shape,
                        size_t i) {
  const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
  if (dim->has_dim_value && dim->dim_value >= 0)
    return dim->dim_value;
  const char *name = tn_onnx_dim_name(im->scratch, input, shape, i);
  const struct tn_onnx_dim *bound = tn_map_get(&im->dims, name);
  if (bound && bound->low == bound->high)
    return bound->low;
  tn_dim symbol = tn_symbol_named(im->module, name);
  if (bound) {
    im->module->symbols.at[-1 - symbol].low = bound->low;
    im->module->symbols.at[-1 - symbol].high = bound->high;
  }
  return symbol;
}

/* The type of an input; *gap receives why Tenon has no such type. */
static bool input_type(struct tn_import *im, const Onnx__ValueInfoProto *info, struct tn_type *out,
                       const char **gap) {
  struct tn_where where = where_of(im, info->name, "graph input");
  const Onnx__TypeProto__Tensor *tensor = tensor_of(info);
  *gap = NULL;
  if (!info->type || (tensor && tensor->elem_type == 0)) {
    tn_report(im->ctx, TN_ERROR, where, "the model does not say what type it has");
    return false;
  }
  if (!tensor || tn_onnx_data_type(tensor->elem_type)->dtype == TN_NONE) {
    *gap = tn_printf(im->scratch, "Tenon has no inputs of type %s", tn_onnx_type_text(im->scratch, info->type));
    return false;
  }
  enum tn_dtype dtype = tn_onnx_data_type(tensor->elem_type)->dtype;
  if (!tensor->shape) {
    for (size_t i = 0; i < im->options->shape_count; i++)
      if (strcmp(im->options->shapes[i].input, info->name) == 0) {
        *out = tn_type_make(dtype, im->options->shapes[i].rank, im->options->shapes[i].dim);
        return true;
      }
    tn_report(im->ctx, TN_ERROR, where,
              "the model does not say what shape it has: give it (--shape %s=1x3x224x224)", info->name);
    return false;
  }
  if (tensor->shape->n_dim > TN_MAX_RANK) {
    *gap = tn_printf(im->scratch, "it has %zu dimensions; Tenon holds at most %d", tensor->shape->n_dim,
                     TN_MAX_RANK);
    return false;
  }
  tn_dim dims[TN_MAX_RANK];
  for (size_t i = 0; i < tensor->shape->n_dim; i++)
    dims[i] = input_dim(im, info->name, tensor->shape, i);
  *out = tn_type_make(dtype, (int)tensor->shape->n_dim, dims);
  return true;
}

/* The value given for the input, or NULL. */
static const struct tn_tensor *given_value(const struct tn_import *im, const char *name) {
  for (size_t i = 0; i < im->options->value_count; i++)
    if (strcmp(im->options->values[i].input, name) == 0)
      return im->options->values[i].tensor;
  return NULL;
}

static struct tn_value *bound_input(struct tn_import *im, const Onnx__ValueInfoProto *info,
                                    const struct tn_tensor *given) {
  struct tn_where where = where_of(im, info->name, "graph input");
  const Onnx__TypeProto__Tensor *tensor = tensor_of(info);
  enum tn_dtype dtype = tensor ? tn_onnx_data_type(tensor->elem_type)->dtype : TN_NONE;
  if (dtype != given->type.dtype) {
    tn_report(im->ctx, TN_ERROR, where, "its type is %s, and the value given for it has elements of %s",
              tn_onnx_type_text(im->scratch, info->type), tn_dtype_name(given->type.dtype));
    return NULL;
  }
  struct tn_build b = {im->module->main, NULL, where.node, where.op};
  struct tn_value *value = tn_constant_bytes(&b, given->type, given->data);
  tn_import_name(im, value, info->name);
  return value;
}

bool tn_import_inputs(struct tn_import *im) {
  const Onnx__GraphProto *graph = im->model->graph;
  struct tn_map seen;
  bool good = true;
  tn_map_init(&seen, im->scratch);
  for (size_t i = 0; i < graph->n_input; i++) {
    const Onnx__ValueInfoProto *info = graph->input[i];
    const struct tn_tensor *given = given_value(im, plain(info->name));
    struct tn_type type;
    struct tn_onnx_arg arg = {0};
    const char *gap = NULL;
    if (!info->name || !*info->name || tn_map_has(&seen, info->name)) {
      tn_report(im->ctx, TN_ERROR, where_of(im, info->name, "graph input"),
                info->name && *info->name ? "two inputs have this name" : "input %zu has no name", i);
      good = false;
      continue;
    }
    tn_map_set(&seen, info->name, im);
    if (given) {
      arg.value = bound_input(im, info, given);
    } else if (tn_map_get(&im->scope->names, info->name)) {
      continue; /* an initializer */
    } else if (input_type(im, info, &type, &gap)) {
      tn_map_set(&im->module->names, tn_strdup(im->module->arena, info->name), NULL);
      arg.value = tn_graph_input(im->module->main, tn_strdup(im->module->arena, info->name), type);
      if (tn_onnx_data_type(tensor_of(info)->elem_type)->bits < 8)
        tn_import_note(im, arg.value)->data_type = (uint8_t)tensor_of(info)->elem_type;
    } else if (gap) {
      tn_import_gap(im, info->name, "graph input", gap);
    }
    good &= arg.value || gap;
    tn_import_bind(im, info->name, arg, !arg.value);
  }
  return good;
}

/* ---- outputs
 * ----------------------------------------------------------------------------------------------------- */

/* An output has a name of its own: a value that bears another user's name is copied. */
static struct tn_value *output_value(struct tn_import *im, struct tn_value *value, const char *name) {
  tn_import_name(im, value, name);
  if (value->def && !tn_value_is_output(value) && strcmp(value->name, name) == 0)
    return value;
  if (!value->def && !tn_value_is_output(value) && strcmp(value->name, name) == 0)
    return value; /* an input that is an output */
  const char *node = tn_strdup(im->module->arena, name);
  struct tn_build b = {im->module->main, NULL, node, "graph output"};
  struct tn_node *copy = tn_node_make(&b, TN_RESHAPE, 1, &value, 1);
  tn_set_ints(copy, TN_RESHAPE_shape, value->type.dim, (size_t)value->type.rank);
  if (!tn_finish(&b, copy))
    tn_fail_now(im->ctx);
  tn_import_name(im, copy->out[0], name);
  return copy->out[0];
}

bool tn_import_outputs(struct tn_import *im) {
  const Onnx__GraphProto *graph = im->model->graph;
  bool good = true;
  for (size_t i = 0; i < graph->n_output; i++) {
    const Onnx__ValueInfoProto *info = graph->output[i];
    const char *name = plain(info->name);
    struct tn_where where = where_of(im, name, "graph output");
    struct tn_scope *home;
    struct tn_binding *binding = tn_import_lookup(im, name, &home);
    if (!binding) {
      tn_report(im->ctx, TN_ERROR, where, "nothing in the graph defines it");
      good = false;
      continue;
    }
    if (!binding->unknown && (binding->tensor || binding->sparse) &&
        !tn_import_constant(im, home, name, binding, NULL))
      good = false;
    if (binding->unknown || (!binding->arg.value && !binding->arg.list)) {
      good = false;
      continue;
    }
    if (binding->arg.list) {
      tn_import_gap(im, name, "graph output",
                    tn_printf(im->scratch, "Tenon has no outputs of type %s",
                              tn_onnx_type_text(im->scratch, info->type)));
      good = false;
      continue;
    }
    const Onnx__TypeProto__Tensor *tensor = tensor_of(info);
    enum tn_dtype declared = tensor ? tn_onnx_data_type(tensor->elem_type)->dtype : TN_NONE;
    enum tn_dtype found = binding->arg.value->type.dtype;
    if (declared != TN_NONE && declared != found) {
      tn_report(im->ctx, TN_ERROR, where, "the model declares it as %s, and its nodes compute %s",
                tn_onnx_data_type(tensor->elem_type)->name, tn_dtype_name(found));
      good = false;
      continue;
    }
    struct tn_value *value = output_value(im, binding->arg.value, name);
    /* a value inside of a loop's or a branch's body gives way: the program that links the model needs this name
     */
    struct tn_value *holder = tn_map_get(&im->module->names, name);
    if (holder && holder != value && (void *)holder != (void *)&im->reserved &&
        holder->home != im->module->main) {
      holder->named = false;
      tn_value_rename(value, name);
    }
    tn_graph_output(im->module->main, value);
    tn_map_set(&im->module->strings, tn_printf(im->module->arena, "output.%zu", i), (void *)where.node);
  }
  if (graph->n_output == 0) {
    tn_report(im->ctx, TN_ERROR, where_of(im, NULL, NULL), "the graph has no outputs");
    good = false;
  }
  return good;
}
