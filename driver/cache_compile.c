/* The compile cache: whole compilations, so that what was compiled before needs neither import nor passes.
 *
 * An entry `.tnc` is found by the hash of the model's bytes, of the options and of the compiler.  It holds what
 * else was read (external data, values that are bound), each with its hash: it counts only while they are what
 * they were.  Then the messages, the facts, the header, and the hashes under which the cache has object and
 * weights.
 *
 * Paths are in the key and in the entry as they were given: messages and -MD repeat them.  Whatever a relative
 * path means now, the hashes decide. */
#include "driver/driver.h"

/* A field that is added to the options belongs in the key when it changes what is made: then here, and in this
 * sum.
 */
_Static_assert(sizeof(void *) != 8 || sizeof(struct tn_options) == 328, "see tn_product_key");

static void add_pairs(struct tn_str *s, const char *what, const struct tn_pair *pairs, size_t count) {
  for (size_t i = 0; i < count; i++)
    tn_str_add(s, "%s '%s' '%s'\n", what, pairs[i].name, pairs[i].value);
}

static void add_text(struct tn_str *s, const char *what, const char *value) {
  if (value)
    tn_str_add(s, "%s '%s'\n", what, value);
}

bool tn_product_key(struct tn_cache *c, const struct tn_options *o, struct tn_hash *key,
                    struct tn_hash *model) {
  struct tn_stamp stamp;
  if (!c || o->print_after.count || o->stop_after || o->time_passes || o->verify_each ||
      !tn_file_hash(c->ctx, c, o->model, &stamp, model))
    return false;
  tn_arena *arena = tn_ctx_arena(c->ctx);
  struct tn_str s;
  tn_str_init(&s, arena);
  tn_str_add(&s, "compiler %s on %s\n", tn_hash_hex(arena, c->objects.compiler), tn_host_text(c->ctx));
  tn_str_add(&s, "model %s '%s' as %s\n", tn_hash_hex(arena, *model), o->model, tn_model_prefix(c->ctx, o));
  add_text(&s, "target", o->target);
  add_text(&s, "cpu", o->cpu);
  add_text(&s, "features", o->features);
  add_text(&s, "section", o->weights_section);
  tn_str_add(&s, "opt %d small %d threads %d apart %d\n", o->opt, o->small, o->threads,
             o->weights_file != NULL);
  add_pairs(&s, "dim", o->dims.at, o->dims.count);
  add_pairs(&s, "shape", o->shapes.at, o->shapes.count);
  add_pairs(&s, "bind", o->binds.at, o->binds.count);
  for (size_t i = 0; i < o->disable.count; i++)
    add_text(&s, "disable", o->disable.at[i]);
  *key = tn_hash_bytes(s.at, s.count);
  return true;
}

/* ---- the entry: numbers are 8 bytes, texts end with a zero
 * ------------------------------------------------------
 */

static void put_number(struct tn_str *s, uint64_t v) {
  tn_str_addn(s, (const char *)&v, sizeof v);
}

static void put_text(struct tn_str *s, const char *text) {
  put_number(s, text != NULL);
  if (text)
    tn_str_addn(s, text, strlen(text) + 1);
}

static void put_hash(struct tn_str *s, struct tn_hash hash) {
  tn_str_addn(s, (const char *)&hash, sizeof hash);
}

static bool take_number(struct tn_bytes *from, uint64_t *v) {
  return tn_take(from, v, sizeof *v);
}

/* NULL where NULL was put. */
static bool take_text(struct tn_bytes *from, const char **text) {
  uint64_t there;
  *text = NULL;
  return take_number(from, &there) && (!there || tn_take_text(from, text));
}

/* ---- what was read
 * ---------------------------------------------------------------------------------------------
 */

/* All files with their hashes; false when one may have changed since it was read. */
static bool put_read(struct tn_cache *c, const struct tn_options *o, struct tn_hash model, struct tn_str *s) {
  size_t count;
  const struct tn_file_read *read = tn_files_read(c->ctx, &count);
  put_number(s, count);
  for (size_t i = 0; i < count; i++) {
    struct tn_stamp stamp;
    struct tn_hash hash;
    if (!tn_file_hash(c->ctx, c, read[i].path, &stamp, &hash) || !tn_stamp_equal(&stamp, &read[i].stamp) ||
        (!strcmp(read[i].path, o->model) && !tn_hash_equal(hash, model)))
      return false;
    put_text(s, read[i].path);
    put_hash(s, hash);
  }
  return true;
}

static bool take_read(struct tn_cache *c, const struct tn_options *o, struct tn_bytes *from,
                      struct tn_product *out) {
  uint64_t count;
  if (!take_number(from, &count) || count > from->size)
    return false;
  const char **read = TN_NEW_ARRAY(tn_ctx_arena(c->ctx), const char *, count + 1);
  for (uint64_t i = 0; i < count; i++) {
    struct tn_stamp stamp;
    struct tn_hash was, is;
    if (!take_text(from, &read[i]) || !read[i] || !tn_take(from, &was, sizeof was))
      return false;
    if (strcmp(read[i], o->model) != 0 && /* whose hash is in the key */
        !(tn_file_hash(c->ctx, c, read[i], &stamp, &is) && tn_hash_equal(was, is)))
      return false;
  }
  out->read = read;
  out->read_count = (size_t)count;
  return true;
}

/* ---- messages
 * --------------------------------------------------------------------------------------------------
 */

static void put_messages(struct tn_cache *c, struct tn_str *s) {
  size_t count;
  const struct tn_diag *d = tn_diags(c->ctx, &count);
  put_number(s, count);
  for (size_t i = 0; i < count; i++) {
    put_number(s, d[i].severity);
    put_text(s, d[i].file);
    put_text(s, d[i].node);
    put_text(s, d[i].op);
    put_text(s, d[i].text);
  }
}

static bool take_messages(struct tn_cache *c, struct tn_bytes *from) {
  uint64_t count, severity;
  if (!take_number(from, &count))
    return false;
  for (uint64_t i = 0; i < count; i++) {
    struct tn_where where;
    const char *text;
    if (!take_number(from, &severity) || severity > TN_WARNING || !take_text(from, &where.file) ||
        !take_text(from, &where.node) || !take_text(from, &where.op) || !take_text(from, &text) || !text)
      return false;
    tn_report(c->ctx, (enum tn_severity)severity, where, "%s", text);
  }
  return true;
}

/* ---- the whole
 * -------------------------------------------------------------------------------------------------
 */

/* False: there are such bytes, and the cache does not have them. */
static bool put_bytes(struct tn_cache *c, struct tn_str *s, struct tn_bytes bytes) {
  const struct tn_blob *blob = bytes.size ? tn_blob_put(c, bytes) : NULL;
  put_number(s, bytes.size);
  put_hash(s, blob ? blob->hash : (struct tn_hash){0, 0});
  return blob || !bytes.size;
}

static bool take_bytes(struct tn_cache *c, struct tn_bytes *from, struct tn_bytes *out) {
  uint64_t size;
  struct tn_hash hash;
  if (!take_number(from, &size) || !tn_take(from, &hash, sizeof hash))
    return false;
  const struct tn_blob *blob = size ? tn_blob_get(c, hash, size) : NULL;
  *out = blob ? blob->bytes : (struct tn_bytes){0};
  return blob || !size;
}

void tn_product_put(struct tn_cache *c, const struct tn_options *o, struct tn_hash key, struct tn_hash model,
                    const struct tn_product *product) {
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(c->ctx));
  if (tn_diag_count(c->ctx, TN_ERROR) || !tn_hash_equal(model, product->facts.model_hash) ||
      !put_read(c, o, model, &s) || !put_bytes(c, &s, product->object) || !put_bytes(c, &s, product->weights))
    return;
  put_text(&s, product->name);
  put_text(&s, product->triple);
  put_text(&s, product->header);
  put_text(&s, product->facts.weights_hash);
  put_messages(c, &s);
  tn_facts_put(&s, &product->facts);
  tn_entry_put(c, "tnc", key, s.at, s.count);
}

bool tn_product_get(struct tn_cache *c, const struct tn_options *o, struct tn_hash key,
                    struct tn_product *out) {
  struct tn_bytes from;
  const char *weights_hash;
  size_t before = tn_diag_count(c->ctx, TN_NOTE);
  *out = (struct tn_product){0};
  if (tn_entry_get(c, "tnc", key, &from) && take_read(c, o, &from, out) && take_bytes(c, &from, &out->object) &&
      take_bytes(c, &from, &out->weights) && take_text(&from, &out->name) && take_text(&from, &out->triple) &&
      take_text(&from, &out->header) && take_text(&from, &weights_hash) && take_messages(c, &from) &&
      tn_facts_take(tn_ctx_arena(c->ctx), &from, &out->facts) && !from.size) {
    out->facts.weights_hash = weights_hash;
    return true;
  }
  tn_diag_truncate(c->ctx, before);
  return false;
}
