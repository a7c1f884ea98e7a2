/* What the printer and the parser of the text form agree on.  Private to ir/.
 *
 *   // a comment
 *   module "digits"
 *   symbol N = 1..64                      a named dim and its bounds; without: 0 or more
 *   symbol $0 = (N / 2)                   a derived dim: with a label when its text would be long
 *   memory {arena = 4096, arena_low_bound = 4000, weights = 256}
 *   meta "producer" = "pytorch"
 *   graph(%x: f32[N,3,8,8] @input 0) {
 *     %c = constant {value = f32[2] [1.5, nan]} : f32[2] @weights+0
 *     %v, %i = topk(%x) {axis = 1, k = 2} : f32[N,2,8,8], i64[N,2,8,8] loc("TopK_3", "TopK")
 *     %r = if(%p) graph() { return %v } graph() { return %"my value" } : f32[N,2,8,8]
 *     return %r, %i
 *   }
 *
 * Names print bare when all their characters are in [A-Za-z0-9_.$/-], else in quotes with the escapes \" \\ \n
 * \t
 * \xHH.  An absent operand is `_`.  Attributes that have their default value are left out.  A tensor of up to
 * TN_TEXT_LONG elements is a list, a larger one (or one that a list cannot tell: other nans, bools above 1) is
 * hex"...", its little-endian bytes.  A quantized type is followed by quant(axis, [scales], [zero points]), a
 * placed value's type by its storage: @input N, @output N, @arena+N, @weights+N, and where it lies within a
 * larger buffer "window(offset, [strides])".  loc(name, origin) gives the
 * node's name when it is not its first result's, and the front end's operator. */
#ifndef TENON_IR_TEXT_H
#define TENON_IR_TEXT_H

#include "ir/ir.h"

#define TN_TEXT_LONG 64

/* Bits of the nan that is written "nan". */
static inline uint64_t tn_text_nan(enum tn_dtype dtype) {
  switch (dtype) {
  case TN_F64:
    return 0x7ff8000000000000u;
  case TN_F32:
    return 0x7fc00000u;
  case TN_F16:
    return 0x7e00u;
  default:
    return 0x7fc0u;
  }
}

static inline bool tn_text_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '$' || c == '/' || c == '-';
}
/* A symbol's name may stand bare in an expression. */
static inline bool tn_text_bare_symbol(const char *name) {
  bool word = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || *name == '_';
  for (const char *c = name; word && *c; c++)
    word = tn_text_bare(*c) && *c != '$' && *c != '/' && *c != '-';
  return word && strcmp(name, "max") != 0 && strcmp(name, "min") != 0;
}

/* An INTS attribute whose elements are dims, and so may be symbols. */
static inline bool tn_text_dims(enum tn_attr_id id) {
  return id == TN_RESHAPE_shape || id == TN_EXPAND_shape || id == TN_IOTA_shape || id == TN_SLICE_starts ||
         id == TN_SLICE_sizes;
}

#endif
