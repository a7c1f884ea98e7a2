/* Any bytes as a NumPy file: a tensor that is whole and can be used, or a diagnostic that is no bug. */
#include "driver/driver.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tn_ctx *ctx = tn_ctx_create(NULL);
  fuzz_want(ctx != NULL, "a context");
  struct tn_tensor t;
  if (tn_npy_parse(ctx, "fuzz.npy", (struct tn_bytes){data, size}, &t)) {
    int64_t count = 0, bytes = 0;
    fuzz_want(tn_type_count(&t.type, &count) && tn_type_bytes(&t.type, &bytes), "the type is static");
    fuzz_want((int64_t)t.bytes == bytes && t.bytes <= size, "as many bytes as the type has");
    fuzz_want(t.type.rank <= TN_MAX_RANK && t.type.dtype != TN_NONE, "a type that Tenon has");
    double sum = 0;
    for (int64_t i = 0; i < count && i < 1 << 16; i++) {
      sum += tn_tensor_float(&t, i);
      fuzz_want(t.type.dtype != TN_BOOL || tn_tensor_int(&t, i) == 0 || tn_tensor_int(&t, i) == 1,
                "bools are 0 or 1");
    }
    fuzz_want(sum == sum || tn_dtype_is_float(t.type.dtype), "integers are numbers");
  } else {
    fuzz_want(tn_diag_count(ctx, TN_ERROR) > 0, "a refusal says why");
  }
  fuzz_end(ctx);
  return 0;
}
