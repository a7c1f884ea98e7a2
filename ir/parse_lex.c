/* Words, numbers, dims, types and tensors of the text form; see parse.h. */
#include "ir/parse.h"

#include <limits.h>
#include <stdlib.h>

/* ---- errors -------------------------------------------------------------------------------------------- */

static struct tn_where position(struct parser *p, const char *at) {
  size_t line = 1, column = 1;
  for (const char *c = p->text; c < at; c++) {
    column++;
    if (*c == '\n') {
      line++;
      column = 1;
    }
  }
  tn_arena *arena = p->scratch;
  return (struct tn_where){.file = tn_printf(arena, "%s:%zu:%zu", p->file ? p->file : "<text>", line, column)};
}

void tn_parse_fail(struct parser *p, const char *at, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_vreport(p->ctx, TN_ERROR, position(p, at), format, args);
  va_end(args);
  tn_fail_now(p->ctx);
}

void tn_parse_note(struct parser *p, const char *at, const char *text) {
  tn_report(p->ctx, TN_NOTE, position(p, at), "%s", text);
}

/* ---- marks and words ----------------------------------------------------------------------------------- */

const char *tn_parse_here(struct parser *p) {
  while (p->at < p->end) {
    char c = *p->at;
    if (c == '/' && p->end - p->at >= 2 && p->at[1] == '/') {
      const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
      p->at = newline ? newline : p->end;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      p->at++;
    } else {
      break;
    }
  }
  return p->at;
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

bool tn_parse_at(struct parser *p, const char *mark) {
  size_t length = strlen(mark);
  tn_parse_here(p);
  return (size_t)(p->end - p->at) >= length && memcmp(p->at, mark, length) == 0;
}

bool tn_parse_at_digit(struct parser *p) {
  tn_parse_here(p);
  return p->at < p->end && is_digit(*p->at);
}

bool tn_parse_at_word(struct parser *p, const char *word) {
  size_t length = strlen(word);
  return tn_parse_at(p, word) && (p->at + length == p->end || !is_word(p->at[length]));
}

bool tn_parse_accept(struct parser *p, const char *mark) {
  if (!tn_parse_at(p, mark))
    return false;
  p->at += strlen(mark);
  return true;
}

bool tn_parse_accept_word(struct parser *p, const char *word) {
  if (!tn_parse_at_word(p, word))
    return false;
  p->at += strlen(word);
  return true;
}

/* What stands at `at`, for "expected ..., found ...". */
static const char *found(struct parser *p, const char *at) {
  if (at == p->end)
    return "the end of the text";
  size_t length = 0;
  while (at + length < p->end && is_word(at[length]) && length < 40)
    length++;
  if (length)
    return tn_printf(p->scratch, "'%.*s'", (int)length, at);
  if ((unsigned char)*at < 32 || (unsigned char)*at > 126)
    return tn_printf(p->scratch, "a byte 0x%02x", (unsigned char)*at);
  return tn_printf(p->scratch, "'%c'", *at);
}

void tn_parse_expect(struct parser *p, const char *mark) {
  if (!tn_parse_accept(p, mark))
    tn_parse_fail(p, p->at, "expected '%s', found %s", mark, found(p, p->at));
}

void tn_parse_expect_word(struct parser *p, const char *word) {
  if (!tn_parse_accept_word(p, word))
    tn_parse_fail(p, p->at, "expected '%s', found %s", word, found(p, p->at));
}

char *tn_parse_word(struct parser *p, const char *what) {
  const char *start = tn_parse_here(p);
  if (start < p->end && !is_digit(*start))
    while (p->at < p->end && is_word(*p->at))
      p->at++;
  if (p->at == start)
    tn_parse_fail(p, start, "expected %s, found %s", what, found(p, start));
  return tn_strndup(p->scratch, start, (size_t)(p->at - start));
}

static int hex_value(char c) {
  if (is_digit(c))
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that the escape at p->at (after the backslash) stands for. */
static char parse_escape(struct parser *p) {
  const char *at = p->at - 1;
  char c = p->at < p->end ? *p->at++ : '\0';
  if (c == 'n')
    return '\n';
  if (c == 't')
    return '\t';
  if (c == '"' || c == '\\')
    return c;
  if (c == 'x' && p->end - p->at >= 2) {
    int high = hex_value(p->at[0]), low = hex_value(p->at[1]);
    p->at += 2;
    if (high >= 0 && low >= 0 && (high || low))
      return (char)(high * 16 + low);
  }
  tn_parse_fail(p, at, "no such escape; there are \\\" \\\\ \\n \\t and \\x01 to \\xff");
}

char *tn_parse_string(struct parser *p) {
  const char *start = tn_parse_here(p);
  if (!tn_parse_accept(p, "\""))
    tn_parse_fail(p, start, "expected a string in quotes, found %s", found(p, start));
  struct tn_str s;
  tn_str_init(&s, p->scratch);
  tn_str_addn(&s, "", 0);
  for (;;) {
    if (p->at == p->end || *p->at == '\n')
      tn_parse_fail(p, start, "the string has no end");
    char c = *p->at++;
    if (c == '"')
      break;
    if (c == '\0')
      tn_parse_fail(p, p->at - 1, "a string holds no byte 0");
    if (c == '\\')
      c = parse_escape(p);
    tn_str_addn(&s, &c, 1);
  }
  return p->module ? tn_strndup(p->module->arena, s.at, s.count) : s.at;
}

char *tn_parse_value_name(struct parser *p) {
  tn_parse_expect(p, "%");
  if (p->at < p->end && *p->at == '"')
    return tn_parse_string(p);
  const char *start = p->at;
  while (p->at < p->end && tn_text_bare(*p->at))
    p->at++;
  if (p->at == start)
    tn_parse_fail(p, start, "expected a value's name after '%%', found %s", found(p, start));
  return tn_strndup(p->module->arena, start, (size_t)(p->at - start));
}

/* ---- numbers ------------------------------------------------------------------------------------------- */

/* Digits with a sign before them; false when they do not fit. */
static bool parse_magnitude(struct parser *p, bool *negative, uint64_t *out) {
  const char *start = tn_parse_here(p);
  *negative = tn_parse_accept(p, "-");
  if (p->at == p->end || !is_digit(*p->at))
    tn_parse_fail(p, start, "expected a whole number, found %s", found(p, start));
  bool fits = true;
  *out = 0;
  for (; p->at < p->end && is_digit(*p->at); p->at++)
    fits &= !__builtin_mul_overflow(*out, (uint64_t)10, out) &&
            !__builtin_add_overflow(*out, (uint64_t)(*p->at - '0'), out);
  return fits;
}

int64_t tn_parse_int(struct parser *p) {
  const char *start = tn_parse_here(p);
  bool negative;
  uint64_t magnitude;
  if (!parse_magnitude(p, &negative, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
    tn_parse_fail(p, start, "the number does not fit 64 bits");
  return negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
}

/* The characters of a number in `text`; its value as strtod gives it. */
static double parse_decimal(struct parser *p, char text[static 64]) {
  const char *start = tn_parse_here(p);
  size_t length = 0;
  while (p->at < p->end && length < 63 && (is_word(*p->at) || *p->at == '.' || *p->at == '-' || *p->at == '+'))
    text[length++] = *p->at++;
  text[length] = '\0';
  const char *digits = text + (text[0] == '-');
  if (is_digit(*digits) && digits[1] != 'x' && digits[1] != 'X') {
    char *rest;
    double value = strtod(text, &rest);
    if (*rest == '\0')
      return value;
  } else if (strcmp(digits, "inf") == 0 || strcmp(text, "nan") == 0) {
    return strtod(text, NULL);
  }
  tn_parse_fail(p, start, "expected a number, inf, -inf or nan, found %s", found(p, start));
}

double tn_parse_double(struct parser *p) {
  char text[64];
  return parse_decimal(p, text);
}

struct tn_ints tn_parse_ints(struct parser *p, bool dims) {
  TN_VEC(int64_t) ints = {0};
  tn_parse_expect(p, "[");
  if (!tn_parse_accept(p, "]")) {
    do
      TN_PUSH(p->scratch, &ints, dims ? tn_parse_dim(p) : tn_parse_int(p));
    while (tn_parse_accept(p, ","));
    tn_parse_expect(p, "]");
  }
  return (struct tn_ints){ints.at, ints.count};
}

/* ---- dims and types ------------------------------------------------------------------------------------ */

static tn_dim parse_named_dim(struct parser *p, const char *start) {
  if (tn_parse_at(p, "\""))
    return tn_symbol_named(p->module, tn_parse_string(p));
  if (tn_parse_accept(p, "$")) {
    int64_t label = tn_parse_int(p);
    if (label < 0 || (uint64_t)label >= p->labels.count)
      tn_parse_fail(p, start, "label $%lld is not declared above", (long long)label);
    return p->labels.at[label];
  }
  if (start < p->end && is_word(*start) && !is_digit(*start))
    while (p->at < p->end && (is_word(*p->at) || (*p->at == '.' && !tn_parse_at(p, ".."))))
      p->at++;
  if (p->at == start)
    tn_parse_fail(p, start, "expected a dimension, found %s", found(p, start));
  char *name = tn_strndup(p->module->arena, start, (size_t)(p->at - start));
  return tn_symbol_named(p->module, name);
}

static char parse_dim_operator(struct parser *p) {
  static const char operators[] = "+-*/%";
  const char *at = tn_parse_here(p);
  for (const char *o = operators; *o; o++)
    if (at < p->end && *at == *o) {
      p->at++;
      return *o;
    }
  tn_parse_fail(p, at, "expected + - * / or %% in the expression, found %s", found(p, at));
}

tn_dim tn_parse_dim(struct parser *p) {
  const char *start = tn_parse_here(p);
  if (tn_parse_at_digit(p) || tn_parse_at(p, "-"))
    return tn_dim_int(p->module, tn_parse_int(p));
  bool max = tn_parse_at_word(p, "max"), min = tn_parse_at_word(p, "min");
  if (!max && !min && !tn_parse_at(p, "("))
    return parse_named_dim(p, start);
  if (++p->dim_depth > TN_PARSE_DIM_DEPTH)
    tn_parse_fail(p, start, "expressions are nested more than %d deep", TN_PARSE_DIM_DEPTH);
  if (max || min)
    p->at += 3;
  tn_parse_expect(p, "(");
  tn_dim a = tn_parse_dim(p);
  char op = max ? 'M' : 'm';
  if (max || min)
    tn_parse_expect(p, ",");
  else
    op = parse_dim_operator(p);
  tn_dim b = tn_parse_dim(p);
  tn_parse_expect(p, ")");
  p->dim_depth--;
  return tn_dim_op(p->module, op, a, b);
}

static void parse_quant(struct parser *p, struct tn_type *type) {
  const char *start = tn_parse_here(p);
  tn_arena *arena = p->module->arena;
  struct tn_quant *quant = TN_NEW(arena, struct tn_quant);
  TN_VEC(float) scales = {0};
  TN_VEC(int32_t) zeros = {0};
  char text[64];
  tn_parse_expect(p, "(");
  int64_t axis = tn_parse_int(p);
  tn_parse_expect(p, ",");
  tn_parse_expect(p, "[");
  do {
    (void)parse_decimal(p, text);
    TN_PUSH(arena, &scales, strtof(text, NULL));
  } while (tn_parse_accept(p, ","));
  tn_parse_expect(p, "]");
  tn_parse_expect(p, ",");
  tn_parse_expect(p, "[");
  do {
    const char *at = tn_parse_here(p);
    int64_t zero = tn_parse_int(p);
    if (zero < INT32_MIN || zero > INT32_MAX)
      tn_parse_fail(p, at, "a zero point fits 32 bits");
    TN_PUSH(arena, &zeros, (int32_t)zero);
  } while (tn_parse_accept(p, ","));
  tn_parse_expect(p, "]");
  tn_parse_expect(p, ")");
  int64_t want = axis >= 0 && axis < type->rank ? type->dim[axis] : 1;
  if (axis < -1 || axis >= type->rank || scales.count != zeros.count || (int64_t)scales.count != want)
    tn_parse_fail(
        p, start,
        "quant(axis, [scales], [zero points]) has axis -1 and one of each, or an axis of the type and one "
        "of each for every element along it");
  *quant = (struct tn_quant){(int)axis, (int64_t)scales.count, scales.at, zeros.at};
  type->quant = quant;
}

struct tn_type tn_parse_type(struct parser *p) {
  const char *start = tn_parse_here(p);
  struct tn_type type = {0};
  char *word = tn_parse_word(p, "a type");
  if (!tn_dtype_parse(word, &type.dtype) || type.dtype == TN_NONE)
    tn_parse_fail(p, start, "there is no type '%s'", word);
  tn_parse_expect(p, "[");
  int64_t bytes = (int64_t)tn_dtype_size(type.dtype);
  if (!tn_parse_accept(p, "]")) {
    do {
      const char *at = tn_parse_here(p);
      if (type.rank == TN_MAX_RANK)
        tn_parse_fail(p, at, "a tensor has at most %d dimensions", TN_MAX_RANK);
      tn_dim dim = tn_parse_dim(p);
      if (!tn_dim_valid(p->module, dim))
        tn_parse_fail(p, at, "%s is no extent of a dimension", tn_dim_text(p->module, dim));
      if (dim > 0 && (!tn_mul_i64(bytes, dim, &bytes) || bytes > TN_MAX_TENSOR_BYTES))
        tn_parse_fail(p, at, "the tensor would have more than %lld bytes", (long long)TN_MAX_TENSOR_BYTES);
      type.dim[type.rank++] = dim;
    } while (tn_parse_accept(p, ","));
    tn_parse_expect(p, "]");
  }
  if (tn_parse_accept_word(p, "quant"))
    parse_quant(p, &type);
  return type;
}

static const struct tn_window *parse_window(struct parser *p) {
  struct tn_window *window = TN_NEW(p->module->arena, struct tn_window);
  int rank = 0;
  tn_parse_expect(p, "(");
  window->offset = tn_parse_int(p);
  tn_parse_expect(p, ",");
  tn_parse_expect(p, "[");
  if (!tn_parse_accept(p, "]")) {
    do {
      if (rank == TN_MAX_RANK)
        tn_parse_fail(p, tn_parse_here(p), "a window has at most %d strides", TN_MAX_RANK);
      window->stride[rank++] = tn_parse_int(p);
    } while (tn_parse_accept(p, ","));
    tn_parse_expect(p, "]");
  }
  tn_parse_expect(p, ")");
  return window;
}

struct tn_storage tn_parse_storage(struct parser *p) {
  struct tn_storage storage = {0};
  if (!tn_parse_accept(p, "@"))
    return storage;
  const char *at = tn_parse_here(p);
  if (tn_parse_accept_word(p, "input"))
    storage.place = TN_IN_INPUT;
  else if (tn_parse_accept_word(p, "output"))
    storage.place = TN_IN_OUTPUT;
  else if (tn_parse_accept(p, "arena+"))
    storage.place = TN_IN_ARENA;
  else if (tn_parse_accept(p, "weights+"))
    storage.place = TN_IN_WEIGHTS;
  else
    tn_parse_fail(p, at, "expected 'input N', 'output N', 'arena+N' or 'weights+N', found %s", found(p, at));
  at = tn_parse_here(p);
  storage.index = tn_parse_int(p);
  if (storage.index < 0)
    tn_parse_fail(p, at, "a place is not below 0");
  if (tn_parse_accept_word(p, "window"))
    storage.window = parse_window(p);
  return storage;
}

/* ---- tensors ------------------------------------------------------------------------------------------- */

static void parse_whole_element(struct parser *p, enum tn_dtype dtype, void *data, int64_t i) {
  const char *at = tn_parse_here(p);
  bool negative;
  uint64_t magnitude;
  unsigned bits = (unsigned)tn_dtype_size(dtype) * 8;
  bool fits = parse_magnitude(p, &negative, &magnitude);
  if (tn_dtype_is_signed(dtype))
    fits = fits && magnitude <= (uint64_t)(INT64_MAX >> (64 - bits)) + negative;
  else
    fits = fits && magnitude <= UINT64_MAX >> (64 - bits) && (!negative || magnitude == 0);
  if (!fits)
    tn_parse_fail(p, at, "the number does not fit %s", tn_dtype_name(dtype));
  tn_store_int(dtype, data, i, (int64_t)(negative ? 0 - magnitude : magnitude));
}

static void parse_float_element(struct parser *p, enum tn_dtype dtype, void *data, int64_t i) {
  char text[64];
  size_t size = tn_dtype_size(dtype);
  double value = parse_decimal(p, text);
  uint64_t bits = tn_text_nan(dtype);
  if (value != value) {
    memcpy((char *)data + (size_t)i * size, &bits, size); /* little-endian, as the host is */
    return;
  }
  /* What was the shortest text of a float is that only when it is read as one. */
  tn_store_float(dtype, data, i, dtype == TN_F32 || dtype == TN_BF16 ? (double)strtof(text, NULL) : value);
}

static void parse_element(struct parser *p, enum tn_dtype dtype, void *data, int64_t i) {
  const char *at = tn_parse_here(p);
  if (dtype == TN_BOOL) {
    bool one = tn_parse_accept_word(p, "true");
    if (!one && !tn_parse_accept_word(p, "false"))
      tn_parse_fail(p, at, "expected true or false, found %s", found(p, at));
    ((uint8_t *)data)[i] = one;
  } else if (tn_dtype_is_float(dtype)) {
    parse_float_element(p, dtype, data, i);
  } else {
    parse_whole_element(p, dtype, data, i);
  }
}

static void parse_hex(struct parser *p, const struct tn_tensor *tensor, uint8_t *bytes) {
  tn_parse_expect(p, "\"");
  const char *start = p->at;
  for (size_t i = 0; i < tensor->bytes; i++, p->at += 2) {
    int high = p->end - p->at >= 2 ? hex_value(p->at[0]) : -1;
    int low = high >= 0 ? hex_value(p->at[1]) : -1;
    if (low < 0)
      tn_parse_fail(p, p->at, "expected %zu hexadecimal digits, two a byte of %s", tensor->bytes * 2,
                    tn_dtype_name(tensor->type.dtype));
    bytes[i] = (uint8_t)(high * 16 + low);
  }
  if (p->at == p->end || *p->at != '"')
    tn_parse_fail(p, start, "expected no more than %zu hexadecimal digits", tensor->bytes * 2);
  p->at++;
}

const struct tn_tensor *tn_parse_tensor(struct parser *p) {
  const char *start = tn_parse_here(p);
  struct tn_tensor *tensor = TN_NEW(p->module->arena, struct tn_tensor);
  tensor->type = tn_parse_type(p);
  enum tn_dtype dtype = tensor->type.dtype;
  int64_t count, bytes;
  if (!tn_type_count(&tensor->type, &count) || !tn_type_bytes(&tensor->type, &bytes))
    tn_parse_fail(p, start, "a constant's dimensions are numbers");
  const char *data_at = tn_parse_here(p);
  if (tn_parse_at(p, "..."))
    tn_parse_fail(p, data_at, "the elements were left out when this text was printed");
  bool hex = tn_parse_accept_word(p, "hex");
  /* An element is two hexadecimal digits a byte, or a character and a separator. */
  if ((hex ? bytes : count) > (p->end - p->at) / 2)
    tn_parse_fail(p, data_at, "the text ends before the constant's %lld elements", (long long)count);
  tensor->bytes = (size_t)bytes;
  uint8_t *data = tn_alloc_raw(p->module->arena, tensor->bytes, tensor->bytes >= 65536 ? 64 : 16);
  tensor->data = data;
  if (hex) {
    parse_hex(p, tensor, data);
    return tensor;
  }
  tn_parse_expect(p, "[");
  for (int64_t i = 0; i < count; i++) {
    if (i)
      tn_parse_expect(p, ",");
    parse_element(p, dtype, data, i);
  }
  tn_parse_expect(p, "]");
  return tensor;
}
