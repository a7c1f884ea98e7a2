/* Test vectors: folders of numbered tensors, and the comparison with what was expected. */
#include "driver/driver.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const char *vector_path(tn_ctx *ctx, const char *folder, const char *kind, int number,
                               const char *suffix) {
  return tn_printf(tn_ctx_arena(ctx), "%s/%s_%d.%s", folder, kind, number, suffix);
}

bool tn_vector_exists(tn_ctx *ctx, const char *folder, const char *kind, int number) {
  return access(vector_path(ctx, folder, kind, number, "npy"), R_OK) == 0 ||
         access(vector_path(ctx, folder, kind, number, "pb"), R_OK) == 0;
}

bool tn_vector_read(tn_ctx *ctx, const char *folder, const char *kind, int number, struct tn_tensor *out) {
  const char *npy = vector_path(ctx, folder, kind, number, "npy"),
             *pb = vector_path(ctx, folder, kind, number, "pb");
  if (access(npy, R_OK) == 0)
    return tn_npy_read(ctx, npy, out);
  if (access(pb, R_OK) == 0)
    return tn_onnx_read_tensor(ctx, pb, out, NULL);
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = folder}, "it has no %s_%d.npy or %s_%d.pb", kind, number,
            kind, number);
  return false;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t tn_vector_folders(tn_ctx *ctx, const char *path, const char ***out) {
  tn_arena *arena = tn_ctx_arena(ctx);
  TN_VEC(const char *) found = {0};
  DIR *dir = opendir(path);
  if (!dir) {
    tn_report(ctx, TN_ERROR, (struct tn_where){.file = path}, "this folder of test vectors cannot be opened");
    return 0;
  }
  bool itself = tn_vector_exists(ctx, path, "input", 0) || tn_vector_exists(ctx, path, "output", 0);
  for (struct dirent *e; !itself && (e = readdir(dir));) {
    const char *inside = tn_printf(arena, "%s/%s", path, e->d_name);
    if (e->d_name[0] != '.' &&
        (tn_vector_exists(ctx, inside, "input", 0) || tn_vector_exists(ctx, inside, "output", 0)))
      TN_PUSH(arena, &found, inside);
  }
  closedir(dir);
  if (itself)
    TN_PUSH(arena, &found, path);
  if (found.count > 1)
    qsort(found.at, found.count, sizeof *found.at, by_name);
  if (!found.count)
    tn_report(
        ctx, TN_ERROR, (struct tn_where){.file = path},
        "it holds no test vectors: files input_N.npy or .pb and output_N.npy or .pb, here or one folder down");
  *out = found.at;
  return found.count;
}

/* ---- comparison --------------------------------------------------------------------------------------------
 */

const char *tn_type_text(tn_arena *arena, const struct tn_type *t) {
  struct tn_str s;
  tn_str_init(&s, arena);
  tn_str_add(&s, "%s[", tn_dtype_name(t->dtype));
  for (int d = 0; d < t->rank; d++)
    tn_str_add(&s, "%s%" PRId64, d ? "," : "", t->dim[d]);
  tn_str_add(&s, "]");
  return s.at;
}

static char *compare_exact(tn_arena *arena, const char *name, const struct tn_tensor *got,
                           const struct tn_tensor *expected, int64_t count, double allowed) {
  int64_t wrong = 0, first = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t a = tn_tensor_int(got, i), b = tn_tensor_int(expected, i);
    if (a != b && fabs((double)a - (double)b) > allowed && wrong++ == 0)
      first = i;
  }
  if (!wrong)
    return NULL;
  return tn_printf(arena,
                   "output '%s': %" PRId64 " of %" PRId64 " elements differ; element %" PRId64 " is %" PRId64
                   ", expected %" PRId64,
                   name, wrong, count, first, tn_tensor_int(got, first), tn_tensor_int(expected, first));
}

char *tn_compare(tn_arena *arena, const char *name, const struct tn_tensor *got,
                 const struct tn_tensor *expected, struct tn_tolerance tolerance) {
  enum tn_dtype dtype = got->type.dtype;
  if (dtype != expected->type.dtype || !tn_shape_equal(&got->type, &expected->type))
    return tn_printf(arena, "output '%s' is %s, expected %s", name, tn_type_text(arena, &got->type),
                     tn_type_text(arena, &expected->type));
  int64_t count;
  tn_type_count(&got->type, &count);
  if (!tn_dtype_is_float(dtype))
    return compare_exact(arena, name, got, expected, count, tolerance.atol > 0 ? tolerance.atol : 0);
  bool narrow = dtype == TN_F16 || dtype == TN_BF16;
  double largest = 0;
  for (int64_t i = 0; i < count; i++) {
    double b = fabs(tn_tensor_float(expected, i));
    largest = b > largest && !isinf(b) ? b : largest;
  }
  double rtol = tolerance.rtol >= 0 ? tolerance.rtol : narrow ? 2e-2 : 1e-3;
  double atol = tolerance.atol >= 0 ? tolerance.atol : fmax((narrow ? 2e-2 : 1e-4) * largest, 1e-7);
  int64_t wrong = 0, worst = 0;
  double most = 0;
  for (int64_t i = 0; i < count; i++) {
    double a = tn_tensor_float(got, i), b = tn_tensor_float(expected, i);
    if ((isnan(a) && isnan(b)) || a == b)
      continue;
    double excess = fabs(a - b) - (atol + rtol * fabs(b));
    if (!(excess > 0) && !isnan(excess))
      continue;
    wrong++;
    if (wrong == 1 || !(excess <= most)) {
      most = excess;
      worst = i;
    }
  }
  if (!wrong)
    return NULL;
  return tn_printf(arena,
                   "output '%s': %" PRId64 " of %" PRId64 " elements differ, most element %" PRId64
                   ": %.9g, expected %.9g (rtol %g, atol %g)",
                   name, wrong, count, worst, tn_tensor_float(got, worst), tn_tensor_float(expected, worst),
                   rtol, atol);
}
