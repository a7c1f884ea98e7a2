/* Writes small ONNX models for the command-line tests: make_model WHAT FOLDER. */
#include "unit/onnx_writer.h"

#include <stdio.h>

static int write_file(const char *folder, const char *name, const void *bytes, size_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "wb");
  return f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0 ? 0 : 1;
}

/* y[n,2] = x[n,2] + w[2], with w in w.bin. */
static int external(const char *folder) {
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
  struct msg model = model_msg(&graph);
  return write_file(folder, "external.onnx", model.at, model.size) || write_file(folder, "w.bin", w, sizeof w);
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

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "external"))
    return external(argv[2]);
  if (argc == 3 && !strcmp(argv[1], "unsupported"))
    return unsupported(argv[2]);
  fprintf(stderr, "usage: make_model external|unsupported FOLDER\n");
  return 2;
}
