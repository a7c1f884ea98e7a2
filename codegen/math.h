/* Elementary functions as LLVM IR: what the emitter calls for exp, sin, pow and their like.
 *
 * No call to a math library is ever emitted, whatever the target: the object must link without libm.  Every
 * function is branch-free (selects), save fmod and mod, and sqrt without hardware, which call a helper with a
 * loop that is put into the module, and sin, cos, tan and pow, which begin new blocks and call one for rare
 * numbers. Scalars and vectors go through the same operations, so a lane of a vector has the same bits as the
 * scalar. Results for nan, infinities, signed zeros and subnormals are those of C99 Annex F, but for exp,
 * softplus and sigmoid, which have no subnormal results. The largest errors are in docs/math.md. Emission
 * depends on nothing but the arguments. */
#ifndef TENON_CODEGEN_MATH_H
#define TENON_CODEGEN_MATH_H

#include "ir/ir.h"
#include <llvm-c/Core.h>

/* exp is zero below: 2^-125 and 2^-1021, about. */
#define TN_EXP_ZERO_F32 (-86.64)
#define TN_EXP_ZERO_F64 (-707.7)

struct tn_math {
  LLVMBuilderRef b; /* positioned where the result is wanted */
  LLVMModuleRef module;
  LLVMContextRef c;
  bool hw_fma;   /* llvm.fma becomes an instruction; else a product and a sum are emitted */
  bool hw_round; /* llvm.floor, ceil, trunc, roundeven become instructions; else sums that round are emitted */
  unsigned
      picks; /* the i32 lanes of a register that vpermps can pick any of: 16 (AVX-512), 8 (AVX2), 0 (none) */
  /* The width has no floating-point unit (f64 on a Cortex-M4F): overrides the two above and emits sqrt in
   * integers. */
  bool soft_f32, soft_f64;
};

/* EXP LOG SIN COS TAN ASIN ACOS ATAN SINH COSH TANH ASINH ACOSH ATANH ERF SOFTPLUS SIGMOID SQRT FLOOR CEIL
 * TRUNC ROUND ABS of x: float, double or a vector of them.  NULL for any other op or type (compute f16 and bf16
 * in f32). */
LLVMValueRef tn_math_unary(struct tn_math *m, enum tn_op op, LLVMValueRef x);
/* POW FMOD MOD; x and y have one type. */
LLVMValueRef tn_math_binary(struct tn_math *m, enum tn_op op, LLVMValueRef x, LLVMValueRef y);

/* a * b + c: fused where the target has it, never by a library. */
LLVMValueRef tn_math_fma(struct tn_math *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);

#endif
