/* ONNX models for the command-line tests: make_model WHAT FOLDER; and what a program takes of memory. */
#include "unit/onnx_writer.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_file(const char *folder, const char *name, const void *bytes, size_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  return f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0 ? 0 : 1;
}

/* y[n,2] = x[n,2] + w[2], with w in w.bin; newer: of an opset that Tenon does not know. */
static int external(const char *folder, bool newer) {
  const float w[] = {0.5f, -1};
  struct msg graph = {0}, entry = {0};
  struct msg node = node_msg("", "Add", "shift", "x,w", "y"), x = info_msg("x", ONNX_FLOAT, "n,2"),
             y = info_msg("y", ONNX_FLOAT, "n,2"),
             tensor = tensor_msg("w", ONNX_FLOAT, 1, (int64_t[]){2}, NULL, 0);
  put_text(&entry, 1, "location");
  put_text(&entry, 2, "w.bin");
  put_msg(&tensor, 13, &entry);
  put_int(&tensor, 14, 1);
  put_msg(&graph, GRAPH_NODE, &node);
  put_text(&graph, 2, "external");
  put_msg(&graph, GRAPH_INITIALIZER, &tensor);
  put_msg(&graph, GRAPH_INPUT, &x);
  put_msg(&graph, GRAPH_OUTPUT, &y);
  struct msg model = model_msg(&graph), opset = {0};
  put_int(&opset, 2, 99);
  if (newer)
    put_msg(&model, 8, &opset);
  return write_file(folder, newer ? "newer.onnx" : "external.onnx", model.at, model.size) ||
         write_file(folder, "w.bin", w, sizeof w);
}

/* y = NoSuchOp(x), z = com.example.Other(y). */
static int unsupported(const char *folder) {
  struct msg graph = {0};
  struct msg first = node_msg("", "NoSuchOp", "first", "x", "y"),
             second = node_msg("com.example", "Other", "second", "y", "z"), x = info_msg("x", ONNX_FLOAT, "2"),
             z = info_msg("z", ONNX_FLOAT, "2");
  put_msg(&graph, GRAPH_NODE, &first);
  put_msg(&graph, GRAPH_NODE, &second);
  put_text(&graph, 2, "unsupported");
  put_msg(&graph, GRAPH_INPUT, &x);
  put_msg(&graph, GRAPH_OUTPUT, &z);
  struct msg model = model_msg(&graph), other = {0};
  put_text(&other, 1, "com.example");
  put_int(&other, 2, 1);
  put_msg(&model, 8, &other);
  return write_file(folder, "unsupported.onnx", model.at, model.size);
}

/* Four products with NxN weights: more than a struct msg holds, so the weights are written as they come. */
static int large(const char *folder, const char *file, int64_t n) {
  enum { LAYERS = 4 };
  const size_t count = (size_t)(n * n), bytes = count * sizeof(float);
  struct msg small = {0}, head[LAYERS] = {{0}}, x = info_msg("x", ONNX_FLOAT, "1,k"),
             y = info_msg("v4", ONNX_FLOAT, "1,k");
  size_t graph_size = 0;
  for (int i = 0; i < LAYERS; i++) {
    char name[8], in[16], out[8];
    snprintf(name, sizeof name, "w%d", i);
    snprintf(in, sizeof in, "%s,%s", i ? (char[]){'v', (char)('0' + i), 0} : "x", name);
    snprintf(out, sizeof out, "v%d", i + 1);
    struct msg node = node_msg("", "Gemm", out, in, out);
    node_attr_int(&node, "transB", 1);
    put_msg(&small, GRAPH_NODE, &node);
    struct msg tensor = tensor_msg(name, ONNX_FLOAT, 2, (int64_t[]){n, n}, NULL, 0);
    put_varint(&tensor, 9 << 3 | 2);
    put_varint(&tensor, bytes);
    put_varint(&head[i], GRAPH_INITIALIZER << 3 | 2);
    put_varint(&head[i], tensor.size + bytes);
    put_raw(&head[i], tensor.at, tensor.size);
    graph_size += head[i].size + bytes;
  }
  put_text(&small, 2, "large");
  put_msg(&small, GRAPH_INPUT, &x);
  put_msg(&small, GRAPH_OUTPUT, &y);
  graph_size += small.size;
  struct msg model = {0}, opset = {0};
  put_int(&model, 1, 8);
  put_int(&opset, 2, 17);
  put_msg(&model, 8, &opset);
  put_varint(&model, 7 << 3 | 2);
  put_varint(&model, graph_size);
  put_raw(&model, small.at, small.size);
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, file);
  FILE *f = fopen(path, "wb");
  bool good = f && fwrite(model.at, 1, model.size, f) == model.size;
  uint32_t seed = 1;
  for (int i = 0; i < LAYERS && good; i++) {
    good = fwrite(head[i].at, 1, head[i].size, f) == head[i].size;
    for (size_t k = 0; k < count && good; k++) {
      float value = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
      good = fwrite(&value, sizeof value, 1, f) == 1;
    }
  }
  return good && fclose(f) == 0 ? 0 : 1;
}

/* Runs the program; says how many KiB of memory it held at most. */
static int measure(char **argv) {
  pid_t child = fork();
  if (child == 0) {
    execvp(argv[0], argv);
    _exit(127);
  }
  int status = -1;
  struct rusage usage;
  if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status))
    return 1;
  printf("%ld KiB\n", usage.ru_maxrss);
  return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "external"))
    return external(argv[2], false);
  if (argc == 3 && !strcmp(argv[1], "newer"))
    return external(argv[2], true);
  if (argc == 3 && !strcmp(argv[1], "unsupported"))
    return unsupported(argv[2]);
  if (argc == 3 && !strcmp(argv[1], "large"))
    return large(argv[2], "large.onnx", 2048); /* 64 MiB */
  if (argc == 3 && !strcmp(argv[1], "medium"))
    return large(argv[2], "medium.onnx", 512); /* 4 MiB */
  if (argc > 2 && !strcmp(argv[1], "measure"))
    return measure(argv + 2);
  fprintf(stderr, "usage: make_model external|newer|unsupported|large|medium FOLDER, or measure PROGRAM...\n");
  return 2;
}
