/* Runs any model from its shared library: everything it knows comes from the descriptor.
 *
 *   tenon compile MODEL -o net.so
 *   cc -I../../runtime -o loader loader.c ../../runtime/tenon_weights.c -ldl
 *   ./loader ./net.so net [--weights=FILE] [INPUT0.bin INPUT1.bin ...]
 *
 * Inputs are raw little-endian elements; zeros where none is given. */
#include "tenon_weights.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtype_names[] = {"?",   "f32", "f64", "f16", "bf16", "i8",  "i16",
                                          "i32", "i64", "u8",  "u16", "u32",  "u64", "bool"};

/* Zeros, aligned for any arena_align that a model of today asks for. */
static void *room(int64_t bytes) {
  void *p = aligned_alloc(64, (size_t)((bytes + 127) / 64 * 64));
  if (!p) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  memset(p, 0, (size_t)bytes);
  return p;
}

static void read_file(const char *path, void *to, const struct tenon_tensor *t) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(1);
  }
  if (fread(to, 1, (size_t)t->bytes, f) != (size_t)t->bytes || getc(f) != EOF) {
    fprintf(stderr, "%s: input '%s' takes exactly %" PRId64 " bytes\n", path, t->name, t->bytes);
    exit(1);
  }
  fclose(f);
}

/* The weights of a model that was compiled with --weights-file, read here; mapping them would do. */
static const void *read_weights(const char *path, const struct tenon_model *m) {
  void *weights = room(m->weight_bytes + 1);
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(1);
  }
  size_t size = fread(weights, 1, (size_t)m->weight_bytes + 1, f);
  fclose(f);
  int status = tenon_check_weights(m, weights, size);
  if (status != TENON_OK) {
    fprintf(stderr, "%s: these are not its weights (%d)\n", path, status);
    exit(1);
  }
  return weights;
}

static void describe(const char *kind, const struct tenon_tensor *t) {
  int i;
  printf("%s %s: %s[", kind, t->name, t->dtype >= 1 && t->dtype <= TENON_BOOL ? dtype_names[t->dtype] : "?");
  for (i = 0; i < t->rank; i++)
    printf("%s%" PRId64, i ? "," : "", t->dims[i]);
  printf("]");
}

/* Element `i` as a number; the 16-bit floats as their bits. */
static void print_element(const struct tenon_tensor *t, const void *data, int64_t i) {
  switch ((enum tenon_dtype)t->dtype) {
  case TENON_F32:
    printf(" %g", (double)((const float *)data)[i]);
    break;
  case TENON_F64:
    printf(" %g", ((const double *)data)[i]);
    break;
  case TENON_F16:
  case TENON_BF16:
    printf(" 0x%04x", (unsigned)((const uint16_t *)data)[i]);
    break;
  case TENON_I8:
    printf(" %d", ((const int8_t *)data)[i]);
    break;
  case TENON_I16:
    printf(" %d", ((const int16_t *)data)[i]);
    break;
  case TENON_I32:
    printf(" %" PRId32, ((const int32_t *)data)[i]);
    break;
  case TENON_I64:
    printf(" %" PRId64, ((const int64_t *)data)[i]);
    break;
  case TENON_U8:
  case TENON_BOOL:
    printf(" %u", (unsigned)((const uint8_t *)data)[i]);
    break;
  case TENON_U16:
    printf(" %u", (unsigned)((const uint16_t *)data)[i]);
    break;
  case TENON_U32:
    printf(" %" PRIu32, ((const uint32_t *)data)[i]);
    break;
  case TENON_U64:
    printf(" %" PRIu64, ((const uint64_t *)data)[i]);
    break;
  }
}

/* The first elements: what a person reads. */
static void print_values(const struct tenon_tensor *t, const void *data) {
  int64_t count = 1, i;
  for (i = 0; i < t->rank; i++)
    count *= t->dims[i];
  for (i = 0; i < count && i < 16; i++)
    print_element(t, data, i);
  printf(count > 16 ? " ...\n" : "\n");
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: loader LIBRARY.so PREFIX [--weights=FILE] [INPUT.bin ...]\n");
    return 2;
  }
  const char *weights = argc > 3 && !strncmp(argv[3], "--weights=", 10) ? argv[3] + 10 : NULL;
  char **files = argv + 3 + (weights != NULL);
  int file_count = argc - 3 - (weights != NULL);
  void *library = dlopen(argv[1], RTLD_NOW);
  char symbol[256];
  snprintf(symbol, sizeof symbol, "%s_model", argv[2]);
  const struct tenon_model *m = library ? (const struct tenon_model *)dlsym(library, symbol) : NULL;
  if (!m) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  if (m->abi != TENON_MODEL_ABI) {
    fprintf(stderr, "%s: its descriptor is of version %d, this program reads %d\n", argv[1], (int)m->abi,
            TENON_MODEL_ABI);
    return 1;
  }
  if (!weights != !m->weights_hash) {
    fprintf(stderr, "%s: its weights are in %s\n", argv[1], weights ? "the library" : "a file: --weights=FILE");
    return 1;
  }
  if (file_count > m->input_count) {
    fprintf(stderr, "%d input files are given, %s has %d inputs\n", file_count, m->name, (int)m->input_count);
    return 1;
  }
  printf("%s: arena %" PRId64 " bytes, weights %" PRId64 " bytes, %" PRId64 " multiply-accumulates\n", m->name,
         m->arena_bytes, m->weight_bytes, m->macs);
  const void **in = room(((int64_t)m->input_count + 1) * (int64_t)sizeof *in);
  void **out = room(((int64_t)m->output_count + 1) * (int64_t)sizeof *out);
  for (int i = 0; i < m->input_count; i++) {
    void *data = room(m->inputs[i].bytes);
    if (i < file_count)
      read_file(files[i], data, &m->inputs[i]);
    in[i] = data;
    describe("input", &m->inputs[i]);
    printf("\n");
  }
  if (weights)
    in[m->input_count] = read_weights(weights, m); /* behind the inputs */
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
    print_values(t, out[i]);
  }
  return 0;
}
