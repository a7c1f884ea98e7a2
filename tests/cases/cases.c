/* Reading case lists, and making modules and tensors of their lines. */
#include "tests/cases/cases.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char *name;
  int min, max; /* fields */
} kinds[] = {
    [CASE_NUMERIC] = {"numeric", 3, 3}, [CASE_SHAPE] = {"shape", 2, 2},   [CASE_REJECT] = {"reject", 3, 3},
    [CASE_ONNX] = {"onnx", 3, 4},       [CASE_REFUSE] = {"refuse", 4, 4}, [CASE_VECTOR] = {"vector", 2, 2},
};

void tn_case_wrong(tn_ctx *ctx, const struct op_line *line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = tn_vprintf(tn_ctx_arena(ctx), format, args);
  va_end(args);
  tn_report(ctx, TN_ERROR, (struct tn_where){.file = line->file}, "line %d: %s", line->number, text);
  tn_fail_now(ctx);
}

/* ---- lines ---------------------------------------------------------------------------------------------- */

/* Without spaces around; a line's end and the spaces behind it are one space. */
static char *trimmed(tn_arena *arena, const char *at, size_t size) {
  while (size && isspace((unsigned char)at[size - 1]))
    size--;
  while (size && isspace((unsigned char)*at))
    at++, size--;
  char *text = tn_strndup(arena, at, size), *to = text;
  for (const char *from = text; *from; from++)
    if (*from != '\n')
      *to++ = *from;
    else
      for (*to++ = ' '; from[1] == ' ';)
        from++;
  *to = 0;
  return text;
}

static void read_kind(tn_ctx *ctx, struct op_line *line, char *text) {
  char *save = NULL, *word = strtok_r(text, " ", &save);
  size_t kind = 0;
  while (kind < TN_COUNT(kinds) && (!word || strcmp(word, kinds[kind].name) != 0))
    kind++;
  if (kind == TN_COUNT(kinds))
    tn_case_wrong(ctx, line, "expected numeric, shape, reject, onnx, refuse or vector, found '%s'",
                  word ? word : "");
  line->kind = (enum case_kind)kind;
  while ((word = strtok_r(NULL, " ", &save))) {
    char *end = word;
    double *number = strncmp(word, "rtol=", 5) == 0   ? &line->rtol
                     : strncmp(word, "atol=", 5) == 0 ? &line->atol
                                                      : NULL;
    if (number)
      *number = strtod(word + 5, &end);
    else if (strcmp(word, "bench") == 0)
      line->bench = true, end = word + 5;
    if (*end || end == word)
      tn_case_wrong(ctx, line, "expected rtol=, atol= or bench, found '%s'", word);
  }
}

static void read_line(tn_ctx *ctx, struct op_line line, const char *text, size_t size, struct op_lines *out) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const char *at = text, *end = text + size;
  int fields = -1;
  while (at <= end) {
    const char *bar = memchr(at, '|', (size_t)(end - at));
    char *field = trimmed(arena, at, (size_t)((bar ? bar : end) - at));
    if (fields < 0)
      read_kind(ctx, &line, field);
    else if (fields < CASE_FIELDS)
      line.field[fields] = field;
    fields++;
    at = bar ? bar + 1 : end + 1;
  }
  if (fields < kinds[line.kind].min || fields > kinds[line.kind].max)
    tn_case_wrong(ctx, &line, "%s has %d to %d fields, found %d", kinds[line.kind].name, kinds[line.kind].min,
                  kinds[line.kind].max, fields);
  TN_PUSH(arena, out, line);
}

bool tn_cases_read(tn_ctx *ctx, const char *path, struct op_lines *out) {
  struct tn_bytes bytes;
  if (!tn_file_map(ctx, path, &bytes))
    return false;
  const char *at = (const char *)bytes.at, *end = at + bytes.size;
  for (int number = 1; at < end;) {
    struct op_line line = {.file = path, .number = number};
    const char *start = at;
    do {
      const char *newline = memchr(at, '\n', (size_t)(end - at));
      at = newline ? newline + 1 : end;
      number++;
    } while (at < end && *at == ' ' && *start != '#');
    bool blank = *start == '#';
    for (const char *c = start; !blank && c < at && isspace((unsigned char)*c); c++)
      blank = c + 1 == at;
    if (!blank)
      read_line(ctx, line, start, (size_t)(at - start), out);
  }
  return true;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static double next_random(uint64_t *state) { /* 0 to 1 */
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 9007199254740992.0;
}

static void store(enum tn_dtype dtype, void *data, int64_t i, double value) {
  if (tn_dtype_is_float(dtype))
    tn_store_float(dtype, data, i, value);
  else
    tn_store_int(dtype, data, i, (int64_t)value);
}

static const char *spaces(const char *at) {
  return at + strspn(at, " ");
}

static const char *read_number(tn_ctx *ctx, const struct op_line *line, const char *at, enum tn_dtype dtype,
                               void *data, int64_t i) {
  char *end;
  if (tn_dtype_is_float(dtype))
    tn_store_float(dtype, data, i, strtod(at, &end));
  else if (*at == '-')
    tn_store_int(dtype, data, i, strtoll(at, &end, 0));
  else
    tn_store_int(dtype, data, i, (int64_t)strtoull(at, &end, 0));
  if (end == at)
    tn_case_wrong(ctx, line, "expected a number of %s at '%.20s'", tn_dtype_name(dtype), at);
  return spaces(end);
}

static const char *read_list(tn_ctx *ctx, const struct op_line *line, const char *at, char close,
                             const struct tn_type *type, int64_t count, void *data) {
  int64_t found = 0;
  for (at = spaces(at + 1); *at != close; found++) {
    if (found == count)
      tn_case_wrong(ctx, line, "more than %lld values", (long long)count);
    at = read_number(ctx, line, at, type->dtype, data, found);
    if (*at == ',')
      at = spaces(at + 1);
    else if (*at != close)
      tn_case_wrong(ctx, line, "expected ',' or '%c' at '%.20s'", close, at);
  }
  if (found != count)
    tn_case_wrong(ctx, line, "%lld values, the type has %lld", (long long)found, (long long)count);
  return at + 1;
}

void tn_case_values(tn_ctx *ctx, const struct op_line *line, const char **at, const struct tn_type *type,
                    uint32_t seed, struct tn_tensor *out) {
  int64_t count, bytes;
  if (!tn_type_count(type, &count) || !tn_type_bytes(type, &bytes))
    tn_case_wrong(ctx, line, "values of a type that is not static");
  void *data = tn_alloc(tn_ctx_arena(ctx), (size_t)bytes + 64);
  double a = 0, b = 0;
  int used = 0;
  *out = (struct tn_tensor){*type, data, (size_t)bytes};
  if (**at == '[' || **at == '{') {
    *at = read_list(ctx, line, *at, **at == '[' ? ']' : '}', type, count, data);
    return;
  }
  uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
  if (sscanf(*at, "count(%lf)%n", &a, &used) == 1 && used)
    for (int64_t i = 0; i < count; i++)
      store(type->dtype, data, i, a + (double)i);
  else if (sscanf(*at, "fill(%lf)%n", &a, &used) == 1 && used)
    for (int64_t i = 0; i < count; i++)
      store(type->dtype, data, i, a);
  else if (sscanf(*at, "random(%lf, %lf)%n", &a, &b, &used) == 2 && used)
    for (int64_t i = 0; i < count; i++) {
      bool whole = !tn_dtype_is_float(type->dtype);
      double low = whole ? 0 : a, span = whole ? b - a + 1 : b - a, value = low + next_random(&state) * span;
      store(type->dtype, data, i, whole ? a + (double)(int64_t)value : value);
    }
  else
    tn_case_wrong(ctx, line, "expected [..], count(), fill() or random() at '%.20s'", *at);
  *at += used;
}

/* ---- numeric cases -------------------------------------------------------------------------------------- */

/* The end of values in text: behind the bracket that closes. */
static const char *skip_values(const char *at) {
  at += strcspn(at, "[({");
  return at + strcspn(at, "])}") + 1;
}

/* "%x: f32[2] = [1, 2], %y: ..." without the values; at[i]: where those of input i are. */
static char *declarations(tn_ctx *ctx, const struct op_line *line, const char **values, size_t *count) {
  struct tn_str text;
  tn_str_init(&text, tn_ctx_arena(ctx));
  tn_str_add(&text, "%s", "");
  *count = 0;
  for (const char *at = line->field[0]; *at;) {
    const char *equal = strstr(at, " = ");
    if (!equal || *at != '%' || *count == TN_MAX_RANK)
      tn_case_wrong(ctx, line, "expected %%NAME: TYPE = VALUES at '%.20s'", at);
    tn_str_addn(&text, at, (size_t)(equal - at));
    values[(*count)++] = spaces(equal + 3);
    at = spaces(skip_values(equal + 3));
    if (*at == ',')
      tn_str_add(&text, ", "), at = spaces(at + 1);
    else if (*at)
      tn_case_wrong(ctx, line, "expected ',' at '%.20s'", at);
  }
  return text.at;
}

static struct tn_module *parsed(tn_ctx *ctx, const struct op_line *line, const char *text) {
  struct tn_module *m = tn_parse(ctx, line->file, text, strlen(text));
  if (!m || !tn_verify(m, "reading a case"))
    tn_case_wrong(ctx, line, "the nodes are refused:\n%s", text);
  return m;
}

static void expected(tn_ctx *ctx, const struct op_line *line, const struct tn_module *m, const char *at,
                     size_t i, struct op_case_run *run) {
  const struct tn_value *v = m->main->outputs.at[i];
  if (strncmp(at, "reference", 9) == 0) {
    const struct tn_node *node = v->def;
    const struct tn_tensor *in[16] = {NULL};
    for (int k = 0; node && k < node->in_count && k < 16; k++) {
      in[k] = node->in[k] ? tn_value_tensor(node->in[k]) : NULL;
      for (size_t n = 0; n < run->input_count; n++)
        if (m->main->inputs.at[n] == node->in[k])
          in[k] = &run->inputs[n];
      if (node->in[k] && !in[k])
        tn_case_wrong(ctx, line, "a reference is for one node alone; '%s' is another's", node->in[k]->name);
    }
    int64_t bytes = 0;
    tn_type_bytes(&v->type, &bytes);
    run->outputs[i] =
        (struct tn_tensor){v->type, tn_alloc(tn_ctx_arena(ctx), (size_t)bytes + 64), (size_t)bytes};
    if (!node || !tn_reference(ctx, node, in, &run->outputs[i]))
      tn_case_wrong(ctx, line, "%s has no reference; write the numbers", tn_op_info(node->op)->name);
  } else if (strncmp(at, "like %", 6) == 0) {
    size_t n = 0;
    while (n < run->input_count &&
           strcmp(m->main->inputs.at[n]->name, trimmed(m->arena, at + 6, strcspn(at + 6, ", "))))
      n++;
    if (n == run->input_count || run->inputs[n].bytes > 1 << 20)
      tn_case_wrong(ctx, line, "no input at '%.20s'", at);
    run->outputs[i] = run->inputs[n];
    run->outputs[i].type = v->type;
  } else {
    tn_case_values(ctx, line, &at, &v->type, 0, &run->outputs[i]);
  }
}

void tn_case_numeric(tn_ctx *ctx, const struct op_line *line, struct op_case_run *run) {
  const char *values[TN_MAX_RANK], *wanted[TN_MAX_RANK];
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_str returned;
  tn_str_init(&returned, arena);
  *run = (struct op_case_run){.text = NULL};
  char *inputs = declarations(ctx, line, values, &run->input_count);
  for (const char *at = line->field[2]; *at;) {
    const char *equal = strstr(at, " = ");
    if (*at != '%' || !equal || run->output_count == TN_MAX_RANK)
      tn_case_wrong(ctx, line, "expected %%NAME = VALUES at '%.20s'", at);
    tn_str_add(&returned, "%s%.*s", run->output_count ? ", " : "", (int)(equal - at), at);
    at = wanted[run->output_count++] = spaces(equal + 3);
    if (strncmp(at, "like ", 5) == 0 || strncmp(at, "reference", 9) == 0)
      at += strcspn(at, ",");
    else
      at = skip_values(at);
    at = spaces(at);
    at = *at == ',' ? spaces(at + 1) : at;
  }
  run->text = tn_printf(arena, "module \"case\"\ngraph(%s) {\n%s\nreturn %s }\n", inputs, line->field[1],
                        returned.at ? returned.at : "");
  struct tn_module *m = parsed(ctx, line, run->text);
  run->inputs = TN_NEW_ARRAY(arena, struct tn_tensor, run->input_count + 1);
  run->outputs = TN_NEW_ARRAY(arena, struct tn_tensor, run->output_count + 1);
  if (m->main->inputs.count != run->input_count || m->main->outputs.count != run->output_count)
    tn_case_wrong(ctx, line,
                  "the inputs or the results are not told apart; write each as %%NAME: TYPE = VALUES");
  for (size_t i = 0; i < run->input_count; i++)
    tn_case_values(ctx, line, &values[i], &m->main->inputs.at[i]->type,
                   (uint32_t)tn_hash_bytes(run->text, strlen(run->text)).low + (uint32_t)i, &run->inputs[i]);
  for (size_t i = 0; i < run->output_count; i++)
    expected(ctx, line, m, wanted[i], i, run);
}

const char *tn_case_text(tn_ctx *ctx, const struct op_line *line) {
  return tn_printf(tn_ctx_arena(ctx), "module \"case\"\ngraph(%s) {\n%s\nreturn }\n", line->field[0],
                   line->field[1]);
}
