/* Runs any model from its shared library: everything it knows comes from the descriptor.
 *
 *   tenon compile MODEL -o net.so
 *   cc -I../../runtime -o loader loader.c -ldl
 *   ./loader ./net.so net [INPUT0.bin INPUT1.bin ...]       (raw little-endian elements; zeros where none is given)
 */
#include "tenon.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtype_names[] = {"?",   "f32", "f64", "f16", "bf16", "i8",  "i16",
                                          "i32", "i64", "u8",  "u16", "u32",  "u64", "bool"};

static void *room(int64_t bytes) {
  void *p = aligned_alloc(64, (size_t)((bytes + 127) / 64 * 64));
  if (!p) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  memset(p, 0, (size_t)bytes);
  return p;
}

static void read_file(const char *path, void *to, int64_t bytes) {
  FILE *f = fopen(path, "rb");
  if (!f || fread(to, 1, (size_t)bytes, f) != (size_t)bytes) {
    fprintf(stderr, "%s: expected %" PRId64 " bytes\n", path, bytes);
    exit(1);
  }
  fclose(f);
}

static void describe(const char *kind, const struct tenon_tensor *t) {
  int i;
  printf("%s %s: %s[", kind, t->name, t->dtype >= 1 && t->dtype <= TENON_BOOL ? dtype_names[t->dtype] : "?");
  for (i = 0; i < t->rank; i++)
    printf("%s%" PRId64, i ? "," : "", t->dims[i]);
  printf("]");
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: loader LIBRARY.so PREFIX [INPUT.bin ...]\n");
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW);
  char symbol[256];
  snprintf(symbol, sizeof symbol, "%s_model", argv[2]);
  const struct tenon_model *m = library ? (const struct tenon_model *)dlsym(library, symbol) : NULL;
  if (!m || m->abi != TENON_MODEL_ABI) {
    fprintf(stderr, "%s: no model '%s' of ABI %d: %s\n", argv[1], argv[2], TENON_MODEL_ABI, library ? "" : dlerror());
    return 1;
  }
  printf("%s: arena %" PRId64 " bytes, weights %" PRId64 " bytes, %" PRId64 " multiply-accumulates\n", m->name,
         m->arena_bytes, m->weight_bytes, m->macs);
  const void **in = room(((int64_t)m->input_count + 1) * (int64_t)sizeof *in);
  void **out = room(((int64_t)m->output_count + 1) * (int64_t)sizeof *out);
  for (int i = 0; i < m->input_count; i++) {
    void *data = room(m->inputs[i].bytes);
    if (3 + i < argc)
      read_file(argv[3 + i], data, m->inputs[i].bytes);
    in[i] = data;
    describe("input", &m->inputs[i]);
    printf("\n");
  }
  for (int i = 0; i < m->output_count; i++)
    out[i] = room(m->outputs[i].bytes);
  int status = m->run(in, out, room(m->arena_bytes));
  if (status != 0) {
    fprintf(stderr, "the run returned %d\n", status);
    return 1;
  }
  for (int i = 0; i < m->output_count; i++) {
    const struct tenon_tensor *t = &m->outputs[i];
    describe("output", t);
    for (int k = 0; t->dtype == TENON_F32 && k < 8 && (int64_t)(k + 1) * 4 <= t->bytes; k++)
      printf(" %g", (double)((const float *)out[i])[k]);
    printf("\n");
  }
  return 0;
}
