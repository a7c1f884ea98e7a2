/* The lexical half of the parser: words, numbers, dims, types and tensors.  Private to ir/.
 *
 * Each function skips blanks and comments, reads its thing and moves on; it leaves to the guard, after a
 * diagnostic with line and column, when something else is there. */
#ifndef TENON_IR_PARSE_H
#define TENON_IR_PARSE_H

#include "ir/shape.h"
#include "ir/text.h"

enum {
  TN_PARSE_DEPTH = 64,      /* graphs in graphs */
  TN_PARSE_DIM_DEPTH = 256, /* expressions in expressions */
  TN_PARSE_REGIONS = 2      /* graphs of one node */
};

struct parser {
  tn_ctx *ctx;
  tn_arena *scratch;
  struct tn_module *module; /* NULL before its name is read */
  const char *file;
  const char *text, *at, *end;
  struct tn_map scope;   /* name -> the value, where it may be used */
  TN_VEC(tn_dim) labels; /* of $0, $1, ... */
  int depth, dim_depth;
};

TN_NORETURN void tn_parse_fail(struct parser *p, const char *at, const char *format, ...) TN_PRINTF(3, 4);
void tn_parse_note(struct parser *p, const char *at, const char *text);

/* Where the next thing starts, for errors. */
const char *tn_parse_here(struct parser *p);
bool tn_parse_at(struct parser *p, const char *mark);
bool tn_parse_at_digit(struct parser *p);
bool tn_parse_at_word(struct parser *p, const char *word);
bool tn_parse_accept(struct parser *p, const char *mark);
bool tn_parse_accept_word(struct parser *p, const char *word);
void tn_parse_expect(struct parser *p, const char *mark);
void tn_parse_expect_word(struct parser *p, const char *word);

char *tn_parse_word(struct parser *p, const char *what); /* [A-Za-z_][A-Za-z0-9_]*, in the scratch arena */
char *tn_parse_string(struct parser *p);                 /* "...", kept as long as the module */
char *tn_parse_value_name(struct parser *p);             /* %name or %"name" */
int64_t tn_parse_int(struct parser *p);
double tn_parse_double(struct parser *p);
struct tn_ints tn_parse_ints(struct parser *p, bool dims); /* [1, 2], in the scratch arena */
tn_dim tn_parse_dim(struct parser *p);
struct tn_type tn_parse_type(struct parser *p);
struct tn_storage tn_parse_storage(struct parser *p);
const struct tn_tensor *tn_parse_tensor(struct parser *p);

#endif
