/* What the files of a nest's expressions share. */
#ifndef TENON_CODEGEN_EXPR_H
#define TENON_CODEGEN_EXPR_H

#include "codegen/nest.h"

#define TN_EX_BOUND ((int64_t)1 << 60) /* of what is known of a position, on both sides */

/* The one expression equal to *probe; copied into the nest's arena when it is new. */
struct tn_expr *tn_ex_intern(struct tn_nest *n, const struct tn_expr *probe);

#endif
