/* The schedule: how a nest's loops are ordered, tiled, vectorized and unrolled for a target. */
#include "codegen/internal.h"

void tn_schedule(const struct tn_target *target, struct tn_nest *nest) {
  (void)target;
  (void)nest;
}
