/* Operators that say where a value comes from: Constant, Identity. */
#include "frontend/onnx/map.h"

#include <string.h>

bool tn_onnx_op_identity(struct tn_onnx_node *n) {
  if (n->in_count > 0 && n->in_list[0])
    n->out_list[0] = n->in_list[0];
  else
    n->out[0] = tn_onnx_need(n, 0, "input");
  return true;
}

bool tn_onnx_op_constant(struct tn_onnx_node *n) {
  int64_t data_type = 0;
  const struct tn_tensor *tensor = tn_onnx_tensor_typed(n, "value", &data_type);
  if (!tensor)
    tensor = tn_onnx_tensor_typed(n, "sparse_value", &data_type);
  if (tensor) {
    n->out[0] = tn_constant(n->b, tensor);
    tn_onnx_mark_data_type(n, n->out[0], data_type);
    return true;
  }
  struct tn_ints ints;
  const float *floats;
  size_t count;
  if (tn_onnx_has(n, "value_int")) {
    n->out[0] = tn_const_int(n->b, TN_I64, tn_onnx_int(n, "value_int", 0));
  } else if (tn_onnx_has(n, "value_float")) {
    n->out[0] = tn_const_float(n->b, TN_F32, tn_onnx_float(n, "value_float", 0));
  } else if (tn_onnx_ints(n, "value_ints", &ints)) {
    n->out[0] = tn_const_i64s(n->b, ints.at, ints.count);
  } else if (tn_onnx_floats(n, "value_floats", &floats, &count)) {
    tn_dim dim = (tn_dim)count;
    n->out[0] = tn_constant_bytes(n->b, tn_type_make(TN_F32, 1, &dim), floats);
  } else if (tn_onnx_has(n, "value_string") || tn_onnx_has(n, "value_strings")) {
    return tn_onnx_unsupported(n, "its element type is string, which Tenon has not");
  } else {
    return tn_onnx_error(n,
                         "it has none of the attributes that give a constant's value (value, value_ints, ...)");
  }
  return true;
}
