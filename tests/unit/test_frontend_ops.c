/* Operator mappings: for each case the type of the results, and words of the tensor IR that says what was
 * decided (padding, tables, constants) or of the diagnostic. */
#include "onnx_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* want: "f32[1,2]", the first result; or "!words" that a diagnostic must hold.  has: words of the IR, one after
 * the other. */
struct row {
  struct op_case c;
  const char *want;
  const char *has[4];
};

static const struct row moves[] = {
    {{"Reshape", 13, "", {"f32[2,3,4]", "i64[2]{0,-1}"}, 0}, "f32[2,12]", {0}},
    {{"Reshape", 14, "allowzero=1", {"f32[0,3]", "i64[2]{3,0}"}, 0}, "f32[3,0]", {0}},
    {{"Reshape", 13, "", {"f32[batch,3,4]", "i64[2]{-1,6}"}, 0}, "f32[(batch * 2),6]", {0}},
    {{"Reshape", 13, "", {"f32[2,3]", "i64[2]{-1,4}"}, 0}, "!do not divide", {0}},
    {{"Reshape", 13, "", {"f32[2,3]", "i64[2]{-1,-1}"}, 0}, "!-1 at both", {0}},
    {{"Reshape", 13, "", {"f32[2,3]", "i64[2]"}, 0}, "!graph input 'x1'", {0}},
    {{"Flatten", 13, "axis=0", {"f32[2,3,4]"}, 0}, "f32[1,24]", {0}},
    {{"Squeeze", 12, "axes=[-1]", {"f32[1,3,1]"}, 0}, "f32[1,3]", {0}},
    {{"Squeeze", 13, "", {"f32[1,3,1]"}, 0}, "f32[3]", {0}},
    {{"Squeeze", 13, "", {"f32[1,3,1]", "i64[1]{1}"}, 0}, "!cannot be squeezed", {0}},
    {{"Unsqueeze", 13, "", {"f32[3]", "i64[2]{0,-1}"}, 0}, "f32[1,3,1]", {0}},
    {{"Unsqueeze", 11, "axes=[1,1]", {"f32[3]"}, 0}, "!twice", {0}},
    {{"Transpose", 13, "", {"f32[2,3,4]"}, 0}, "f32[4,3,2]", {"perm = [2, 1, 0]"}},
    {{"Expand", 13, "", {"f32[3,1]", "i64[3]{2,1,4}"}, 0}, "f32[2,3,4]", {0}},
    {{"Expand", 13, "", {"f32[3,1]", "i64[1]{0}"}, 0}, "f32[3,0]", {0}},
    {{"Tile", 13, "", {"f32[2,3]", "i64[2]{1,2}"}, 0}, "f32[2,6]", {"shape = [2, 2, 3, 1]"}},
    {{"Split", 18, "axis=1 num_outputs=2", {"f32[2,5]"}, 2}, "f32[2,3]", {"sizes = [2, 2]"}},
    {{"Split", 13, "", {"f32[5]", "i64[2]{4,1}"}, 2}, "f32[4]", {"starts = [4]"}},
    {{"Split", 13, "", {"f32[5]", "i64[2]{4,2}"}, 2}, "!do not fit", {0}},
    {{"Split", 11, "", {"f32[5]"}, 2}, "!do not fill", {0}},
    {{"Slice", 9, "starts=[1] ends=[-1] axes=[1]", {"f32[2,5]"}, 0}, "f32[2,3]", {"starts = [0, 1]"}},
    {{"Slice", 13, "", {"f32[5]", "i64[1]{-1}", "i64[1]{-9}", "", "i64[1]{-2}"}, 0},
     "f32[3]",
     {"starts = [4]"}},
    {{"Slice", 13, "", {"f32[5]", "i64[1]{7}", "i64[1]{9}"}, 0}, "f32[0]", {0}},
    {{"Slice", 13, "", {"f32[n,5]", "i64[1]{0}", "i64[1]{2147483647}"}, 0}, "f32[n,5]", {0}},
    {{"Slice", 13, "", {"f32[5]", "i64[1]{0}", "i64[1]{3}", "i64[1]{1}"}, 0}, "!axes", {0}},
    {{"Pad", 10, "pads=[1,2] value=1.5", {"f32[3]"}, 0}, "f32[6]", {"f32[] [1.5]", "before = [1]"}},
    {{"Pad", 18, "mode='edge'", {"f32[2,3]", "i64[2]{1,-1}", "", "i64[1]{-1}"}, 0},
     "f32[2,3]",
     {"mode = edge"}},
    {{"Pad", 13, "mode='around'", {"f32[3]", "i64[2]{1,1}"}, 0}, "!'around'", {0}},
    {{"DepthToSpace", 13, "blocksize=2 mode='CRD'", {"f32[1,8,2,3]"}, 0},
     "f32[1,2,4,6]",
     {"perm = [0, 1, 4, 2, 5, 3]"}},
    {{"SpaceToDepth", 13, "blocksize=2", {"f32[1,2,4,6]"}, 0}, "f32[1,8,2,3]", {0}},
    {{"CenterCropPad", 18, "axes=[1]", {"f32[2,5]", "i64[1]{2}"}, 0},
     "f32[2,2]",
     {"before = [0, -1], after = [0, -2]"}},
    {{"Crop", 7, "border=[1,2,3,4]", {"f32[1,1,10,10]"}, 0}, "f32[1,1,4,6]", {0}},
    {{"ConstantOfShape", 9, "", {"i64[2]{2,3}"}, 0}, "f32[2,3]", {0}},
    {{"Shape", 15, "start=-2", {"f32[2,3,4]"}, 0}, "i64[2]", {"[3, 4]"}},
    {{"Size", 13, "", {"f32[2,3,4]"}, 0}, "i64[]", {"[24]"}},
};

static const struct row indices[] = {
    {{"Range", 11, "", {"i64[]{3}", "i64[]{10}", "i64[]{3}"}, 0}, "i64[3]", {"iota"}},
    {{"Range", 11, "", {"f32[]{1}", "f32[]{2}", "f32[]{0.25}"}, 0}, "f32[4]", {"[1, 1.25, 1.5, 1.75]"}},
    {{"Range", 11, "", {"f32[]{1}", "f32[]{2}", "f32[]{0}"}, 0}, "!delta is 0", {0}},
    {{"OneHot", 11, "axis=0", {"i64[3]", "i64[]{4}", "f32[2]"}, 0}, "f32[4,3]", {0}},
    {{"EyeLike", 9, "k=1", {"f32[2,3]"}, 0}, "f32[2,3]", {0}},
    {{"Trilu", 14, "upper=0", {"f32[2,3,3]"}, 0}, "f32[2,3,3]", {"le("}},
    {{"NonZero", 13, "", {"i64[2,2]{0,3,4,0}"}, 0}, "i64[2,2]", {"[0, 1, 1, 0]"}},
    {{"NonZero", 13, "", {"i64[2,2]"}, 0}, "!graph input 'x0'", {0}},
    {{"Compress", 11, "axis=1", {"f32[2,3]", "bool[3]{1,0,1}"}, 0}, "f32[2,2]", {"[0, 2]"}},
    {{"Unique", 11, "", {"i64[5]{7,3,7,1,3}"}, 4}, "i64[3]", {"[3, 1, 0]", "[2, 1, 2, 0, 1]", "[1, 2, 2]"}},
    {{"Unique", 11, "sorted=0", {"i64[5]{7,3,7,1,3}"}, 4},
     "i64[3]",
     {"[0, 1, 3]", "[0, 1, 0, 2, 1]", "[2, 2, 1]"}},
    {{"TensorScatter", 24, "mode='circular'", {"f32[1,8,2]", "f32[1,3,2]", "i64[1]"}, 0},
     "f32[1,8,2]",
     {"mod("}},
    {{"ScatterND", 16, "reduction='mul'", {"f32[4]", "i64[2,1]", "f32[2]"}, 0}, "f32[4]", {"reduction = mul"}},
    {{"ScatterND", 16, "reduction='avg'", {"f32[4]", "i64[2,1]", "f32[2]"}, 0}, "!'avg'", {0}},
    {{"NonMaxSuppression", 11, "", {"f32[1,6,4]", "f32[1,1,6]"}, 0}, "!depends on the data", {0}},
    {{"RandomNormal", 1, "shape=[2]", {0}, 0}, "!random", {0}},
};

static const struct row reductions[] = {
    {{"ReduceSum", 11, "axes=[-1] keepdims=0", {"f32[2,3]"}, 0}, "f32[2]", {"axes = [1]"}},
    {{"ReduceSum", 13, "", {"f32[2,3]", "i64[1]{0}"}, 0}, "f32[1,3]", {"axes = [0]"}},
    {{"ReduceSum", 13, "noop_with_empty_axes=1", {"f32[2,3]"}, 0}, "f32[2,3]", {0}},
    {{"ReduceMean", 18, "", {"f16[2,3]"}, 0}, "f16[1,1]", {"f32[2,3]", "[6]"}},
    {{"ReduceMax", 20, "", {"bool[2,3]"}, 0}, "bool[1,1]", {"reduce_max"}},
    {{"ReduceL2", 18, "noop_with_empty_axes=1", {"f32[2]"}, 0}, "f32[2]", {"mul(", "sqrt("}},
    {{"ReduceLogSumExp", 18, "keepdims=0", {"f32[2,3]", "i64[1]{1}"}, 0}, "f32[2]", {"reduce_max", "log("}},
    {{"ArgMax", 13, "axis=-1 select_last_index=1", {"f32[2,3]"}, 0}, "i64[2,1]", {"select_last = 1"}},
    {{"TopK", 1, "k=2 axis=0", {"f32[5]"}, 2}, "f32[2]", {0}},
    {{"TopK", 11, "largest=0", {"f32[2,5]", "i64[1]{2}"}, 2}, "f32[2,2]", {"largest = 0"}},
    {{"TopK", 11, "", {"f32[2,5]", "i64[1]{6}"}, 2}, "!K is 6", {0}},
    {{"CumSum", 14, "reverse=1", {"f32[2,5]", "i64[]{-1}"}, 0}, "f32[2,5]", {"axis = 1", "reverse = 1"}},
    {{"MatMul", 13, "", {"f32[4]", "f32[2,4,3]"}, 0}, "f32[2,3]", {0}},
    {{"MatMul", 13, "", {"f32[4]", "f32[4]"}, 0}, "f32[]", {0}},
    {{"Gemm", 13, "transB=1 alpha=0.5", {"f32[2,4]", "f32[3,4]", "f32[3]"}, 0}, "f32[2,3]", {"[0.5]"}},
    {{"Einsum", 12, "equation='...ij,jk->...ik'", {"f32[5,2,3]", "f32[3,4]"}, 0}, "f32[5,2,4]", {0}},
    {{"Einsum", 12, "equation='ii'", {"f32[3,3]"}, 0}, "f32[]", {0}},
    {{"Einsum", 12, "equation='ij,jk'", {"f32[3,3]"}, 0}, "!terms", {0}},
    {{"Det", 11, "", {"f32[2,3,3]"}, 0}, "f32[2]", {"arg_max"}},
};

static const struct row windows[] = {
    {{"Conv", 11, "auto_pad='SAME_UPPER' strides=[2]", {"f32[1,2,8]", "f32[4,2,3]"}, 0},
     "f32[1,4,4]",
     {"before = [0, 0, 0], after = [0, 1, 0]", "conv("}},
    {{"Conv", 11, "auto_pad='SAME_LOWER' strides=[2]", {"f32[1,2,8]", "f32[4,2,3]"}, 0},
     "f32[1,4,4]",
     {"before = [0, 1, 0], after = [0, 0, 0]"}},
    {{"Conv", 11, "group=2 pads=[1,1,1,1]", {"f32[n,4,h,8]", "f32[6,2,3,3]", "f32[6]"}, 0},
     "f32[n,6,h,8]",
     {"group = 2", "add("}},
    {{"Conv", 11, "", {"f32[1,1,2]", "f32[1,1,3]"}, 0}, "!larger than", {0}},
    {{"Conv", 11, "strides=[4611686018427387904]", {"f32[1,1,2]", "f32[1,1,1]"}, 0}, "!strides", {0}},
    {{"Conv", 11, "", {"f32[1,1,2,2,2,2]", "f32[1,1,1,1,1,1]"}, 0}, "!spatial dimensions", {0}},
    {{"com.microsoft.FusedConv", 11, "activation='Relu'", {"f32[1,1,4]", "f32[2,1,3]", "", "f32[1,2,2]"}, 0},
     "f32[1,2,2]",
     {"add(", "max("}},
    {{"com.microsoft.FusedConv", 11, "activation='Sine'", {"f32[1,1,4]", "f32[2,1,3]"}, 0}, "!'Sine'", {0}},
    {{"ConvTranspose", 11, "strides=[2] output_shape=[9]", {"f32[1,2,4]", "f32[2,3,3]"}, 0}, "f32[1,3,9]", {0}},
    {{"ConvTranspose", 11, "strides=[2] auto_pad='SAME_UPPER'", {"f32[1,2,4]", "f32[2,3,3]"}, 0},
     "f32[1,3,8]",
     {"before = [0], after = [1]"}},
    {{"ConvTranspose", 11, "strides=[2] output_shape=[11]", {"f32[1,2,4]", "f32[2,3,3]"}, 0},
     "f32[1,3,11]",
     {"output_padding = [2]"}},
    {{"MaxPool", 12, "kernel_shape=[3] strides=[2] ceil_mode=1", {"f32[1,1,6]"}, 0},
     "f32[1,1,3]",
     {"after = [0, 0, 1]"}},
    /* a last window that would lie in the padding alone is left out */
    {{"MaxPool", 12, "kernel_shape=[1] strides=[2] ceil_mode=1", {"f32[1,1,4]"}, 0}, "f32[1,1,2]", {0}},
    {{"MaxPool", 12, "kernel_shape=[2]", {"f32[1,1,4]"}, 2}, "f32[1,1,3]", {"iota"}},
    {{"MaxUnpool", 11, "kernel_shape=[2] strides=[2]", {"f32[1,1,2]", "i64[1,1,2]"}, 0}, "f32[1,1,4]", {0}},
    {{"AveragePool", 11, "kernel_shape=[3] pads=[1,1]", {"f32[1,1,4]"}, 0}, "f32[1,1,4]", {"[2, 3, 3, 2]"}},
    {{"AveragePool", 11, "kernel_shape=[3] pads=[1,1] count_include_pad=1", {"f32[1,1,4]"}, 0},
     "f32[1,1,4]",
     {"f32[] [3]"}},
    /* one window past the end covers what is there */
    {{"AveragePool", 19, "kernel_shape=[9] strides=[9] ceil_mode=1", {"f32[1,1,5]"}, 0}, "f32[1,1,1]", {"[5]"}},
    {{"AveragePool", 19, "kernel_shape=[9] strides=[2] ceil_mode=1", {"f32[1,1,5]"}, 0}, "!window of 9", {0}},
    {{"AveragePool", 19, "kernel_shape=[2] strides=[2] ceil_mode=1 count_include_pad=1", {"f32[1,1,5]"}, 0},
     "f32[1,1,3]",
     {"[2, 2, 1]"}},
    {{"GlobalAveragePool", 1, "", {"f32[1,2,h,w]"}, 0}, "f32[1,2,1,1]", {0}},
    {{"LRN", 13, "size=4", {"f32[1,8,2,2]"}, 0},
     "f32[1,8,2,2]",
     {"before = [0, 1, 0, 0], after = [0, 2, 0, 0]"}},
    {{"Col2Im", 18, "", {"f32[1,4,4]", "i64[2]{3,3}", "i64[2]{2,2}"}, 0}, "f32[1,1,3,3]", {0}},
};

static const struct row nets[] = {
    {{"Softmax", 11, "", {"f32[2,3,4]"}, 0}, "f32[2,3,4]", {"shape = [2, 12]"}},
    {{"Softmax", 13, "", {"f32[2,3,4]"}, 0}, "f32[2,3,4]", {"axis = 2"}},
    {{"Clip", 6, "max=6.0", {"f32[2]"}, 0}, "f32[2]", {"[6]", "min("}},
    {{"Clip", 13, "", {"i32[2]", "", "i32[]{6}"}, 0}, "i32[2]", {"min("}},
    {{"Clip", 13, "", {"i32[2]", "f32[]{6}"}, 0}, "!expected i32", {0}},
    {{"Pow", 15, "", {"i32[2]", "f32[2]"}, 0}, "i32[2]", {"to = f64"}},
    {{"Elu", 6, "", {"f16[2]"}, 0}, "f16[2]", {"to = f32"}},
    {{"Cast", 21, "to=22", {"f32[2]"}, 0}, "i8[2]", {"shl(", "shr("}},
    {{"Cast", 19, "to=17", {"f32[2]"}, 0}, "!float8e4m3fn", {0}},
    {{"Dropout", 13, "", {"f32[2]", "f32[]{0.5}", "bool[]{0}"}, 2}, "f32[2]", {"bool[2]"}},
    {{"Dropout", 13, "", {"f32[2]", "f32[]{0.5}", "bool[]{1}"}, 1}, "!training_mode", {0}},
    {{"BatchNormalization", 15, "", {"f32[1,2,3]", "f32[2]", "f32[2]", "f32[2]", "f32[2]"}, 0},
     "f32[1,2,3]",
     {"batch_norm"}},
    {{"BatchNormalization", 8, "spatial=0", {"f32[1,2]", "f32[2]", "f32[2]", "f32[2]", "f32[2]"}, 0},
     "!spatial",
     {0}},
    {{"GroupNormalization", 18, "num_groups=2", {"f32[1,4,3]", "f32[2]", "f32[2]"}, 0},
     "f32[1,4,3]",
     {"[1, 2, 6]"}},
    {{"GroupNormalization", 21, "num_groups=3", {"f32[1,4,3]", "f32[4]", "f32[4]"}, 0},
     "!does not divide",
     {0}},
    {{"LayerNormalization", 17, "axis=1", {"f32[2,3,4]", "f32[3,4]"}, 3}, "f32[2,3,4]", {"sqrt("}},
    {{"Upsample", 9, "mode='nearest'", {"f32[1,1,2]", "f32[3]{1,1,2}"}, 0}, "f32[1,1,4]", {"[0, 0, 1, 1]"}},
    {{"Resize", 13, "mode='linear'", {"f32[1,1,2]", "", "f32[3]{1,1,2}"}, 0},
     "f32[1,1,4]",
     {"[0.25, 0.75, 0.25, 0.75]", "[0, 0, 0, 1]", "[0.75, 0.25, 0.75, 0.25]", "[0, 1, 1, 1]"}},
    {{"Resize",
      13,
      "coordinate_transformation_mode='align_corners' mode='linear'",
      {"f32[1,1,3]", "", "", "i64[3]{1,1,2}"},
      0},
     "f32[1,1,2]",
     {"[0, 2]"}},
    {{"Resize", 19, "mode='linear' antialias=1", {"f32[1,1,9]", "", "f32[3]{1,1,0.25}"}, 0},
     "f32[1,1,2]",
     {"matmul("}},
    {{"Resize", 19, "keep_aspect_ratio_policy='not_larger' axes=[0,1]", {"f32[4,4]", "", "", "i64[2]{7,8}"}, 0},
     "f32[7,7]",
     {0}},
    {{"Resize", 13, "", {"f32[n,2]", "", "f32[2]{1,2}"}, 0}, "f32[n,4]", {0}},
    {{"GridSample", 20, "padding_mode='border'", {"f32[1,2,3,3]", "f32[1,4,5,2]"}, 0}, "f32[1,2,4,5]", {0}},
    {{"AffineGrid", 20, "", {"f32[1,2,3]", "i64[4]{1,1,4,5}"}, 0}, "f32[1,4,5,2]", {0}},
    {{"RoiAlign",
      16,
      "sampling_ratio=2 output_height=2 output_width=3",
      {"f32[1,2,8,8]", "f32[5,4]", "i64[5]"},
      0},
     "f32[5,2,2,3]",
     {0}},
    {{"RoiAlign", 16, "", {"f32[1,2,8,8]", "f32[5,4]", "i64[5]"}, 0}, "!sampling_ratio", {0}},
    {{"MaxRoiPool", 1, "pooled_shape=[2,3]", {"f32[1,2,8,8]", "f32[5,5]"}, 0}, "f32[5,2,2,3]", {0}},
    {{"DeformConv", 19, "", {"f32[1,2,4,4]", "f32[3,2,2,2]", "f32[1,8,3,3]"}, 0}, "f32[1,3,3,3]", {0}},
    {{"NegativeLogLikelihoodLoss", 13, "ignore_index=2", {"f32[2,3,4]", "i64[2,4]"}, 0},
     "f32[]",
     {"gather_elements"}},
    {{"SoftmaxCrossEntropyLoss", 13, "reduction='none'", {"f32[2,3]", "i64[2]"}, 2}, "f32[2]", {"log_softmax"}},
    {{"ai.onnx.preview.training.Momentum",
      13,
      "mode='nesterov'",
      {"f32[]", "i64[]", "f32[2]", "f32[2]", "f32[2]"},
      2},
     "f32[2]",
     {0}},
};

static const struct row quantized[] = {
    {{"QuantizeLinear", 13, "axis=0", {"f32[2,3]", "f32[2]", "u8[2]"}, 0}, "u8[2,3]", {"axis = 0"}},
    {{"QuantizeLinear", 21, "output_dtype=22", {"f32[2]", "f32[]"}, 0}, "i8[2]", {"low = -8, high = 7"}},
    {{"DequantizeLinear", 21, "axis=1 block_size=2", {"i8[2,4]", "f32[2,2]"}, 0}, "f32[2,4]", {"block = 2"}},
    {{"DynamicQuantizeLinear", 11, "", {"f32[2,3]"}, 3}, "u8[2,3]", {"reduce_max", "quantize("}},
    {{"MatMulInteger", 10, "", {"u8[2,4]", "i8[4,3]"}, 0}, "i32[2,3]", {"matmul(%x0, %x1) {acc = i32}"}},
    {{"MatMulInteger", 10, "", {"u8[2,4]", "i8[4,3]", "u8[]", "i8[3]{0,0,0}"}, 0}, "i32[2,3]", {"sub("}},
    {{"ConvInteger", 10, "pads=[1,1]", {"u8[1,1,4]", "u8[2,1,3]", "u8[]{128}"}, 0},
     "i32[1,2,4]",
     {"sub(", "pad("}},
    {{"QLinearConv",
      10,
      "",
      {"u8[1,1,4]", "f32[]", "u8[]", "i8[2,1,3]", "f32[2]", "i8[2]{0,0}", "f32[]", "u8[]", "i32[2]"},
      0},
     "u8[1,2,2]",
     {"acc = i32", "quantize("}},
    {{"com.microsoft.QLinearAdd",
      13,
      "",
      {"u8[2]", "f32[]", "u8[]", "u8[2]", "f32[]", "u8[]", "f32[]", "u8[]"},
      0},
     "u8[2]",
     {"dequantize(", "quantize("}},
    /* 16 numbers of 4 bits, low first, less the default zero point 8 */
    {{"com.microsoft.MatMulNBits",
      13,
      "N=1 K=16 bits=4 block_size=16",
      {"f32[2,16]", "u8[1,1,8]{16,50,84,118,152,186,220,254}", "f32[1]"},
      0},
     "f32[2,1]",
     {"[-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7]"}},
    {{"com.microsoft.MatMulNBits",
      13,
      "N=1 K=16 bits=3 block_size=16",
      {"f32[2,16]", "u8[1,1,8]", "f32[1]"},
      0},
     "!bits 3",
     {0}},
};

/* "f32[1,n]" */
static const char *type_text(struct tn_module *m, const struct tn_type *type) {
  struct tn_str s;
  tn_str_init(&s, m->arena);
  tn_str_add(&s, "%s[", tn_dtype_name(type->dtype));
  for (int i = 0; i < type->rank; i++)
    tn_str_add(&s, "%s%s", i ? "," : "", tn_dim_text(m, type->dim[i]));
  tn_str_add(&s, "]");
  return s.at;
}

static void check_row(const struct row *r) {
  static struct msg model;
  tn_ctx *ctx = tn_ctx_create(NULL);
  assert_non_null(ctx);
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_module *m = case_import(ctx, &r->c, &model);
  size_t count;
  const struct tn_diag *diags = tn_diags(ctx, &count);
  if (r->want[0] == '!') {
    bool said = false;
    for (size_t i = 0; i < count; i++)
      said = said || strstr(tn_diag_format(arena, &diags[i]), r->want + 1);
    if (m || !said)
      fail_msg("%s %s: expected a refusal with '%s', found %s", r->c.op, r->c.attrs, r->want + 1,
               count ? tn_diag_format(arena, &diags[count - 1]) : "none");
    tn_ctx_destroy(ctx);
    return;
  }
  if (!m)
    fail_msg("%s %s: %s", r->c.op, r->c.attrs, count ? tn_diag_format(arena, &diags[0]) : "failed in silence");
  assert_true(tn_verify(m, "import"));
  assert_int_equal(m->main->outputs.count, r->c.outs ? r->c.outs : 1);
  const char *text = tn_print(arena, m), *at = text;
  if (strcmp(type_text(m, &m->main->outputs.at[0]->type), r->want) != 0)
    fail_msg("%s %s: expected %s, found %s\n%s", r->c.op, r->c.attrs, r->want,
             type_text(m, &m->main->outputs.at[0]->type), text);
  for (int i = 0; i < 4 && r->has[i]; i++)
    if (!(at = strstr(at, r->has[i])))
      fail_msg("%s %s: '%s' is not in the IR, or not in this order\n%s", r->c.op, r->c.attrs, r->has[i], text);
  tn_ctx_destroy(ctx);
}

#define TABLE_TEST(table)                        \
  static void test_##table(void **state) {       \
    (void)state;                                 \
    for (size_t i = 0; i < TN_COUNT(table); i++) \
      check_row(&table[i]);                      \
  }
TABLE_TEST(moves)
TABLE_TEST(indices)
TABLE_TEST(reductions)
TABLE_TEST(windows)
TABLE_TEST(nets)
TABLE_TEST(quantized)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_moves),   cmocka_unit_test(test_indices), cmocka_unit_test(test_reductions),
      cmocka_unit_test(test_windows), cmocka_unit_test(test_nets),    cmocka_unit_test(test_quantized),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
