/* What the schedule and the emission need to know of the machine; one row of target.def a family. */
#ifndef TENON_CODEGEN_TARGET_H
#define TENON_CODEGEN_TARGET_H

#include "support/support.h"

/* Up to this stride a vector is picked from whole vectors by shuffles instead of gathered. */
#define TN_MOST_APART 4
/* Lanes are picked from up to so many vectors. */
#define TN_MOST_PICKED 4

struct tn_target {
  const char *family;     /* "x86-avx512", "aarch64-neon", "armv7em", ... */
  const char *triple;     /* LLVM's */
  const char *cpu;        /* LLVM's; "" is generic */
  const char *features;   /* "+avx2,+fma" */
  int pointer_bits;       /* 32 or 64 */
  bool elf;               /* objects are little-endian ELF */
  int vector_bytes;       /* of one register that does float arithmetic; 0: scalar only */
  int vector_regs;        /* how many of them */
  int int_vector_bytes;   /* of one register that does integer arithmetic; 0: none */
  int l1_bytes, l2_bytes; /* data caches of a core, the smallest of the family's usual ones; 0: none */
  bool fma, round;        /* instructions for fused multiply-add, for rounding to integer */
  bool half;              /* instructions that convert f16 */
  bool f32, f64;          /* float and double arithmetic in hardware */
  bool f64_lanes;         /* ... of doubles in vector registers too */
  bool dot;               /* an instruction adds products of 4 bytes to each i32 lane */
  bool dot_s, dot_u;      /* such sums are cheap, by whatever instructions: both signed; unsigned with signed */
  bool dot_w;             /* sums of two products of signed 16-bit words are */
  bool masked;            /* masked vector loads and stores are instructions */
  bool gathers;           /* so is loading each lane from a place of its own */
  bool by_lanes;          /* a factor for all lanes is had from one lane of a register, and from memory at plain
                             addresses only */
  bool picks;             /* and choosing each 32-bit lane from any of a register */
  int opt;                /* 0 to 3 */
  bool small;             /* prefer fewer bytes */
  int threads;            /* 1: no parallel loops */
  int fork_ns;            /* a loop is made parallel when it is estimated to take longer */
};

#endif
