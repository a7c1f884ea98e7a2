/* The generated C header: C99, C++-safe, nothing but <stdint.h> and <stddef.h>.
 *
 * The descriptor's types are those of runtime/tenon.h, under the same guard, so that either may come first. */
#include "codegen/internal.h"

#include <ctype.h>
#include <inttypes.h>

static const char descriptor_text[] =
    "#ifndef TENON_MODEL_ABI\n"
    "#define TENON_MODEL_ABI 3\n"
    "enum tenon_dtype {\n"
    "  TENON_F32 = 1, TENON_F64, TENON_F16, TENON_BF16, TENON_I8, TENON_I16, TENON_I32, TENON_I64, TENON_U8,\n"
    "  TENON_U16, TENON_U32, TENON_U64, TENON_BOOL\n"
    "};\n"
    "enum tenon_status {\n"
    "  TENON_OK = 0, TENON_NULL_POINTER = -1, TENON_ARENA_MISALIGNED = -2, TENON_WEIGHTS_MISALIGNED = -3,\n"
    "  TENON_WEIGHTS_WRONG_SIZE = -4, TENON_WEIGHTS_WRONG_HASH = -5\n"
    "};\n"
    "struct tenon_tensor {\n"
    "  const char *name;\n"
    "  int32_t dtype, rank;\n"
    "  const int64_t *dims;\n"
    "  int64_t bytes, quant_count;\n"
    "  const float *scale;\n"
    "  const int32_t *zero_point;\n"
    "};\n"
    "struct tenon_parallel {\n"
    "  void (*run)(struct tenon_parallel *self, int64_t count,\n"
    "              void (*body)(void *context, int64_t begin, int64_t end), void *context);\n"
    "};\n"
    "struct tenon_model {\n"
    "  int32_t abi, arena_align;\n"
    "  const char *name, *hash;\n"
    "  int64_t arena_bytes, weight_bytes, macs;\n"
    "  int32_t input_count, output_count;\n"
    "  const struct tenon_tensor *inputs, *outputs;\n"
    "  int (*run)(const void *const *inputs, void *const *outputs, void *arena);\n"
    "  int (*run_parallel)(const void *const *inputs, void *const *outputs, void *arena,\n"
    "                      struct tenon_parallel *parallel);\n"
    "  const char *weights_hash;\n"
    "};\n"
    "#endif\n\n";

static const char *c_type(enum tn_dtype dtype) {
  switch (dtype) {
  case TN_F32:
    return "float";
  case TN_F64:
    return "double";
  case TN_I8:
    return "int8_t";
  case TN_I16:
    return "int16_t";
  case TN_I32:
    return "int32_t";
  case TN_I64:
    return "int64_t";
  case TN_U8:
  case TN_BOOL: /* 0 or 1 */
    return "uint8_t";
  case TN_U16:
  case TN_F16: /* the bits */
  case TN_BF16:
    return "uint16_t";
  case TN_U32:
    return "uint32_t";
  case TN_U64:
    return "uint64_t";
  default:
    return "void";
  }
}

static char *upper(tn_arena *arena, const char *name) {
  char *s = tn_strdup(arena, name);
  for (char *c = s; *c; c++)
    *c = (char)toupper((unsigned char)*c);
  return s;
}

/* C identifiers of the tensors' names: unique, no keyword of C or C++, no macro or type that the header's
 * includes or a compiler's GNU mode define. */
static const char **field_names(tn_arena *arena, struct tn_value *const *values, size_t count, bool weights) {
  static const char reserved[] =
      "NULL alignas alignof and and_eq asm auto bitand bitor bool break case catch char class "
      "compl const const_cast constexpr continue decltype default delete do double dynamic_cast "
      "else enum explicit export extern false float for friend goto i386 if inline int int16_t "
      "int32_t int64_t int8_t linux long mutable namespace new noexcept not not_eq nullptr "
      "offsetof operator or or_eq private protected public register reinterpret_cast restrict "
      "return short signed sizeof static static_assert static_cast struct switch template this "
      "thread_local throw true try typedef typeid typename typeof uint16_t uint32_t uint64_t "
      "uint8_t union unix unsigned using virtual void volatile wchar_t while xor xor_eq";
  struct tn_map taken;
  tn_map_init(&taken, arena);
  char *rest = NULL;
  for (char *word = strtok_r(tn_strdup(arena, reserved), " ", &rest); word; word = strtok_r(NULL, " ", &rest))
    tn_map_set(&taken, word, NULL);
  if (weights)
    tn_map_set(&taken, "weights", NULL);
  const char **names = TN_NEW_ARRAY(arena, const char *, count + 1);
  for (size_t i = 0; i < count; i++) {
    const char *base = tn_c_name(arena, values[i]->name);
    names[i] = base;
    for (int k = 1; tn_map_has(&taken, names[i]); k++)
      names[i] = tn_printf(arena, "%s_%d", base, k);
    tn_map_set(&taken, names[i], NULL);
  }
  return names;
}

static void add_c_string(struct tn_str *s, const char *text) {
  tn_str_add(s, "\"");
  for (const unsigned char *c = (const unsigned char *)text; *c; c++)
    if (*c == '"' || *c == '\\')
      tn_str_add(s, "\\%c", *c);
    else if (*c < 0x20 || *c >= 0x7F || *c == '?')
      tn_str_add(s, "\\%03o", *c);
    else
      tn_str_add(s, "%c", *c);
  tn_str_add(s, "\"");
}

/* A literal of type float: digits with a point or an exponent, and the suffix. */
static const char *float_literal(tn_arena *arena, float value) {
  const char *text = tn_float_text(arena, value);
  return tn_printf(arena, strpbrk(text, ".e") ? "%sf" : "%s.0f", text);
}

static void add_quant(struct tn_str *s, const char *p, const struct tn_quant *quant) {
  if (!quant)
    return;
  if (quant->axis < 0) {
    tn_str_add(s, "#define %s_SCALE %s\n#define %s_ZERO_POINT %d\n", p,
               float_literal(s->arena, quant->scale[0]), p, (int)quant->zero_point[0]);
    return;
  }
  tn_str_add(s, "#define %s_QUANT_AXIS %d\n#define %s_SCALES {", p, quant->axis, p);
  for (int64_t i = 0; i < quant->count; i++)
    tn_str_add(s, "%s%s", i ? ", " : "", float_literal(s->arena, quant->scale[i]));
  tn_str_add(s, "}\n#define %s_ZERO_POINTS {", p);
  for (int64_t i = 0; i < quant->count; i++)
    tn_str_add(s, "%s%d", i ? ", " : "", (int)quant->zero_point[i]);
  tn_str_add(s, "}\n");
}

static void add_macros(struct tn_str *s, const char *prefix, const char *kind, size_t i,
                       const struct tn_value *v) {
  tn_arena *arena = s->arena;
  const char *p = tn_printf(arena, "%s_%s%zu", prefix, kind, i);
  int64_t bytes = 0;
  tn_type_bytes(&v->type, &bytes);
  tn_str_add(s, "#define %s_NAME ", p);
  add_c_string(s, v->name);
  tn_str_add(s, "\n#define %s_DTYPE TENON_%s\n#define %s_RANK %d\n#define %s_DIMS {", p,
             upper(arena, tn_dtype_name(v->type.dtype)), p, v->type.rank, p);
  for (int d = 0; d < v->type.rank; d++)
    tn_str_add(s, "%s%" PRId64, d ? ", " : "", v->type.dim[d]);
  tn_str_add(s, v->type.rank ? "}\n" : "0}\n");
  tn_str_add(s, "#define %s_BYTES %" PRId64 "\n", p, bytes);
  add_quant(s, p, v->type.quant);
}

static void add_pointers(struct tn_str *s, const char *name, const char *kind, struct tn_value *const *values,
                         size_t count, bool input, bool weights) {
  const char **names = field_names(s->arena, values, count, weights);
  tn_str_add(s, "struct %s_%s {\n", name, kind);
  for (size_t i = 0; i < count; i++) {
    const struct tn_type *t = &values[i]->type;
    tn_str_add(s, "  %s%s *%s; /* [", input ? "const " : "", c_type(t->dtype), names[i]);
    for (int d = 0; d < t->rank; d++)
      tn_str_add(s, "%s%" PRId64, d ? ", " : "", t->dim[d]);
    tn_str_add(s, "]%s */\n",
               t->dtype == TN_F16    ? ", bits of float16"
               : t->dtype == TN_BF16 ? ", bits of bfloat16"
                                     : "");
  }
  if (weights)
    tn_str_add(s, "  const void *weights; /* the file of weights, see above */\n");
  tn_str_add(s, count || weights ? "};\n" : "  const void *none;\n};\n");
}

char *tn_codegen_header(struct tn_codegen *cg, tn_arena *arena) {
  const struct tn_build_facts *f = tn_codegen_facts(cg);
  const char *name = cg->module->name, *prefix = upper(arena, name);
  struct tn_graph *g = cg->module->main;
  struct tn_str s;
  tn_str_init(&s, arena);
  tn_str_add(&s,
             "/* %s: a compiled model, made by tenon %s for %s.\n *\n"
             " *   flash  %" PRId64 " bytes: code %" PRId64 ", weights %" PRId64 "%s\n"
             " *   RAM    %" PRId64 " bytes of arena, at most about %" PRId64 " of stack\n"
             " *   work   %" PRId64 " multiply-accumulates a run\n"
             " *   model  %s */\n",
             name, TENON_VERSION, cg->target.triple, f->code_bytes + (f->weights_hash ? 0 : f->weight_bytes),
             f->code_bytes, f->weight_bytes, f->weights_hash ? " in a file of their own" : "", f->arena_bytes,
             f->stack_bytes, f->macs, tn_hash_hex(arena, f->model_hash));
  tn_str_add(&s, "#ifndef %s_H\n#define %s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n", prefix, prefix);
  tn_str_add(&s, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n%s", descriptor_text);
  tn_str_add(&s, "#define %s_ARENA_BYTES %" PRId64 "\n#define %s_ARENA_ALIGN %d\n", prefix, f->arena_bytes,
             prefix, f->arena_align);
  tn_str_add(&s, "#define %s_INPUTS %zu\n#define %s_OUTPUTS %zu\n", prefix, g->inputs.count, prefix,
             g->outputs.count);
  if (f->weights_hash)
    tn_str_add(
        &s,
        "\n/* The weights are a file of this size and XXH3-128 hash.  Every run is given it in memory that is "
        "aligned so, as\n"
        " * mapped files are; tenon_check_weights (tenon_weights.h) checks that it is the right one. */\n"
        "#define %s_WEIGHTS_BYTES %" PRId64 "\n#define %s_WEIGHTS_ALIGN %d\n#define %s_WEIGHTS_HASH \"%s\"\n\n",
        prefix, f->weight_bytes, prefix, f->arena_align, prefix, f->weights_hash);
  for (size_t i = 0; i < g->inputs.count; i++)
    add_macros(&s, prefix, "INPUT", i, g->inputs.at[i]);
  for (size_t i = 0; i < g->outputs.count; i++)
    add_macros(&s, prefix, "OUTPUT", i, g->outputs.at[i]);
  tn_str_add(&s, "\n/* Row-major, without padding. */\n");
  add_pointers(&s, name, "inputs", g->inputs.at, g->inputs.count, true, f->weights_hash);
  add_pointers(&s, name, "outputs", g->outputs.at, g->outputs.count, false, false);
  tn_str_add(&s,
             "\n/* Runs the model once.  arena: %s_ARENA_BYTES, aligned to %s_ARENA_ALIGN; it keeps nothing "
             "between runs.\n"
             " * Re-entrant: two runs at a time need two arenas.  0, or an enum tenon_status. */\n"
             "int %s_run(const struct %s_inputs *inputs, const struct %s_outputs *outputs, void *arena);\n\n",
             prefix, prefix, name, name, name);
  if (cg->target.threads > 1)
    tn_str_add(
        &s,
        "/* The same, its loops shared by the threads of the parallel-for that the program gives; NULL: all "
        "on this\n"
        " * thread.  tenon_threads.h has a parallel-for.  The same bits for any number of threads. */\n"
        "int %s_run_parallel(const struct %s_inputs *inputs, const struct %s_outputs *outputs,\n"
        "                    void *arena, struct tenon_parallel *parallel);\n\n",
        name, name, name);
  tn_str_add(&s,
             "/* The same facts for programs that know nothing of the model. */\n"
             "extern const struct tenon_model %s_model;\n\n"
             "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
             name);
  return s.at;
}
