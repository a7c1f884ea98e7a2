/* A small network of bytes, as quantizers write it (QuantizeLinear, DequantizeLinear): make_int8 FILE.onnx
 *
 *     image i8[1,5,11,11] -> 3x3 convolution to 19 channels, relu -> 3x3 depthwise convolution, every other
 * pixel
 *     -> 1x1 convolution to 23 channels, relu = features u8[1,23,6,6] -> mean over the pixels -> fully
 * connected = scores i8[1,10]
 *
 * Signed and unsigned images, weights with a scale for each channel, zero points other than 0, and counts that
 * no vector divides. */
#include "unit/onnx_writer.h"

#include <stdio.h>

enum { PIXELS = 11, IMAGE = 5, WIDE = 19, FEATURES = 23, SCORES = 10 };

static uint32_t seed = 1;
static uint32_t next_random(void) {
  return (seed = seed * 1664525u + 1013904223u) >> 8;
}

static void constant(struct msg *graph, const char *name, int type, int rank, const int64_t *dims,
                     const void *data, size_t size) {
  struct msg tensor = tensor_msg(name, type, rank, dims, data, size);
  put_msg(graph, GRAPH_INITIALIZER, &tensor);
}

static void node(struct msg *graph, const char *op, const char *inputs, const char *output) {
  struct msg m = node_msg("", op, output, inputs, output);
  put_msg(graph, GRAPH_NODE, &m);
}

static const char *word(char *out, const char *format, const char *name) {
  snprintf(out, 64, format, name);
  return out;
}

/* NAME_q = QuantizeLinear(NAME), NAME_f its dequantized floats; FROM is what is quantized, NULL: nothing. */
static void quantization(struct msg *graph, const char *name, const char *from, float scale, int type,
                         int zero) {
  char a[64], b[64];
  constant(graph, word(a, "%s_scale", name), ONNX_FLOAT, 0, NULL, &scale, sizeof scale);
  constant(graph, word(a, "%s_zero", name), type, 0, NULL, &(uint8_t){(uint8_t)zero}, 1);
  if (from) {
    snprintf(a, sizeof a, "%s,%s_scale,%s_zero", from, name, name);
    node(graph, "QuantizeLinear", a, name);
  }
  snprintf(a, sizeof a, "%s,%s_scale,%s_zero", name, name, name);
  node(graph, "DequantizeLinear", a, word(b, "%s_f", name));
}

/* Weights of `channels`, and a bias; `per_channel`: each channel has a scale of its own. */
static void weights(struct msg *graph, const char *name, int rank, const int64_t *dims, float image_scale,
                    bool per_channel) {
  int8_t data[WIDE * FEATURES + WIDE * 9 * IMAGE];
  int32_t bias[FEATURES];
  float scale[FEATURES], bias_scale[FEATURES];
  size_t count = 1, channels = (size_t)dims[0];
  for (int d = 0; d < rank; d++)
    count *= (size_t)dims[d];
  for (size_t i = 0; i < count; i++)
    data[i] = (int8_t)((int)(next_random() % 255) - 127);
  for (size_t c = 0; c < channels; c++) {
    bias[c] = (int32_t)(next_random() % 4001) - 2000;
    scale[c] = 0.004f + 0.0003f * (float)(per_channel ? next_random() % 17 : 5);
    bias_scale[c] = image_scale * scale[c];
  }
  char a[64], b[64], in[192];
  const int64_t one[1] = {dims[0]};
  int scales = per_channel ? 1 : 0;
  size_t scale_bytes = per_channel ? channels * sizeof(float) : sizeof(float);
  constant(graph, word(a, "%s_w", name), ONNX_INT8, rank, dims, data, count);
  constant(graph, word(a, "%s_ws", name), ONNX_FLOAT, scales, one, scale, scale_bytes);
  constant(graph, word(a, "%s_b", name), ONNX_INT32, 1, one, bias, channels * sizeof *bias);
  constant(graph, word(a, "%s_bs", name), ONNX_FLOAT, scales, one, bias_scale, scale_bytes);
  for (int k = 0; k < 2; k++) {
    snprintf(in, sizeof in, "%s_%s,%s_%ss", name, k ? "b" : "w", name, k ? "b" : "w");
    struct msg m = node_msg("", "DequantizeLinear", "", in, word(b, k ? "%s_bf" : "%s_wf", name));
    node_attr_int(&m, "axis", 0);
    put_msg(graph, GRAPH_NODE, &m);
  }
}

static void conv(struct msg *graph, const char *name, const char *image, int kernel, int stride, int groups) {
  char in[192];
  snprintf(in, sizeof in, "%s_f,%s_wf,%s_bf", image, name, name);
  struct msg m = node_msg("", "Conv", name, in, name);
  int64_t pad = kernel / 2;
  node_attr_ints(&m, "kernel_shape", 2, (int64_t[]){kernel, kernel});
  node_attr_ints(&m, "strides", 2, (int64_t[]){stride, stride});
  node_attr_ints(&m, "pads", 4, (int64_t[]){pad, pad, pad, pad});
  node_attr_int(&m, "group", groups);
  put_msg(graph, GRAPH_NODE, &m);
}

int main(int argc, char **argv) {
  static struct msg graph;
  if (argc != 2) {
    fprintf(stderr, "usage: make_int8 FILE.onnx\n");
    return 2;
  }
  struct msg image = info_msg("image", ONNX_INT8, "1,5,11,11"),
             features = info_msg("features", ONNX_UINT8, "1,23,6,6"),
             scores = info_msg("scores", ONNX_INT8, "1,10");
  put_text(&graph, 2, "int8");
  put_msg(&graph, GRAPH_INPUT, &image);
  put_msg(&graph, GRAPH_OUTPUT, &features);
  put_msg(&graph, GRAPH_OUTPUT, &scores);

  quantization(&graph, "image", NULL, 0.021f, ONNX_INT8, -3);
  weights(&graph, "first", 4, (int64_t[]){WIDE, IMAGE, 3, 3}, 0.021f, true);
  conv(&graph, "first", "image", 3, 1, 1);
  node(&graph, "Relu", "first", "first_relu");
  quantization(&graph, "wide", "first_relu", 0.073f, ONNX_UINT8, 0);
  weights(&graph, "depth", 4, (int64_t[]){WIDE, 1, 3, 3}, 0.073f, true);
  conv(&graph, "depth", "wide", 3, 2, WIDE);
  quantization(&graph, "deep", "depth", 0.093f, ONNX_INT8, 11);
  weights(&graph, "point", 4, (int64_t[]){FEATURES, WIDE, 1, 1}, 0.093f, true);
  conv(&graph, "point", "deep", 1, 1, 1);
  node(&graph, "Relu", "point", "point_relu");
  quantization(&graph, "features", "point_relu", 0.083f, ONNX_UINT8, 7);
  node(&graph, "GlobalAveragePool", "features_f", "mean");
  node(&graph, "Flatten", "mean", "flat");
  quantization(&graph, "pooled", "flat", 0.029f, ONNX_UINT8, 2);
  weights(&graph, "last", 2, (int64_t[]){SCORES, FEATURES}, 0.029f, false);
  struct msg last = node_msg("", "Gemm", "last", "pooled_f,last_wf,last_bf", "last");
  node_attr_int(&last, "transB", 1);
  put_msg(&graph, GRAPH_NODE, &last);
  const float scale = 0.17f;
  constant(&graph, "scores_scale", ONNX_FLOAT, 0, NULL, &scale, sizeof scale);
  constant(&graph, "scores_zero", ONNX_INT8, 0, NULL, &(int8_t){-5}, 1);
  node(&graph, "QuantizeLinear", "last,scores_scale,scores_zero", "scores");

  struct msg model = model_msg(&graph);
  if (model.size == sizeof model.at) {
    fprintf(stderr, "make_int8: the model is larger than a message holds\n");
    return 1;
  }
  FILE *f = fopen(argv[1], "wb");
  return f && fwrite(model.at, 1, model.size, f) == model.size && fclose(f) == 0 ? 0 : 1;
}
