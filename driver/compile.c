/* tenon compile: writes what --emit or the output's suffix asks for; all of it or nothing.
 *
 * Object, header and libraries come from a product, which the cache gives or a build; all else is of a build.
 */
#include "driver/driver.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJ, HEADER, STATIC_LIB, SHARED_LIB, ASM, LLVM, IR, NEST, REPORT, KINDS };
static const struct {
  const char *name, *suffix;
} kinds[KINDS] = {{"obj", ".o"},   {"header", ".h"}, {"static-lib", ".a"}, {"shared-lib", ".so"}, {"asm", ".s"},
                  {"llvm", ".ll"}, {"ir", ".tir"},   {"nest", ".nest"},    {"report", ".html"}};

struct writing {
  tn_ctx *ctx;
  const struct tn_options *o;
  struct tn_cache *cache;
  struct tn_built built; /* without a module: the product is from the cache */
  struct tn_product product;
  const char *base; /* output path without suffix */
  TN_VEC(struct tn_file) files;
};

static const char *suffix_of(const char *path) {
  const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
  return dot && (!slash || dot > slash + 1) ? dot : "";
}

static bool choose(struct writing *w, bool *want) {
  tn_ctx *ctx = w->ctx;
  const char *suffix = w->o->output ? suffix_of(w->o->output) : ".o";
  if (!w->o->emit) {
    for (int k = 0; k < KINDS; k++)
      if (!strcmp(kinds[k].suffix, suffix)) {
        want[k] = true;
        want[HEADER] |= k == OBJ || k == STATIC_LIB || k == SHARED_LIB;
        return true;
      }
    tn_report(ctx, TN_ERROR, (struct tn_where){.file = w->o->output},
              "its suffix does not say what to write; use .o .a .so .s .ll .tir .nest .html, or --emit");
    return false;
  }
  char *list = tn_strdup(tn_ctx_arena(ctx), w->o->emit), *save = NULL;
  for (char *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
    int k = 0;
    while (k < KINDS && strcmp(kinds[k].name, t))
      k++;
    if (k == KINDS) {
      tn_report(ctx, TN_ERROR, (struct tn_where){0},
                "--emit=%s: expected some of obj,header,static-lib,shared-lib,asm,llvm,ir,nest,report", t);
      return false;
    }
    want[k] = true;
  }
  return true;
}

/* All files are written at the end: all of them or none. */
static bool put_file(struct writing *w, const char *path, const void *bytes, size_t size) {
  for (size_t i = 0; i < w->files.count; i++)
    if (!strcmp(w->files.at[i].path, path)) {
      tn_report(w->ctx, TN_ERROR, (struct tn_where){.file = path}, "two outputs would go to this file");
      return false;
    }
  struct tn_file file = {.path = path, .bytes = {bytes, size}};
  TN_PUSH(tn_ctx_arena(w->ctx), &w->files, file);
  return true;
}

/* Runs a program that is found on PATH; its own messages go to stderr. */
static int run_program(const char *const *argv) {
  pid_t child = fork();
  if (child == 0) {
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Makes a library of the object, in a folder of its own beside it. */
static bool put_library(struct writing *w, const char *path, bool shared) {
  tn_ctx *ctx = w->ctx;
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_where where = {.file = path};
  const char *triple = w->product.triple;
  char *folder = tn_printf(arena, "%s.tmpXXXXXX", path);
  if (!mkdtemp(folder)) {
    tn_report(ctx, TN_ERROR, where, "cannot create: %s", strerror(errno));
    return false;
  }
  /* The member keeps a name that does not depend on the process: equal input, equal bytes. */
  const char *part = tn_printf(arena, "%s/%s.o", folder, tn_model_prefix(ctx, w->o));
  const char *made = tn_printf(arena, "%s/library", folder);
  bool ok = tn_file_write(ctx, part, w->product.object.at, w->product.object.size);
  const char *archive[][6] = {
      {"llvm-ar-22", "rcsD", made, part}, {"llvm-ar", "rcsD", made, part}, {"ar", "rcsD", made, part}};
  const char *link[][8] = {{"ld.lld-22", "-shared", "-o", made, part},
                           {"ld.lld", "-shared", "-o", made, part},
                           {"cc", "-shared", "-nostdlib", "-o", made, part}};
  int status = 127;
  for (size_t i = 0; ok && i < 3 && status == 127; i++)
    status = run_program(shared ? link[i] : archive[i]);
  struct tn_bytes bytes = {0};
  if (ok && status == 127)
    tn_report(ctx, TN_ERROR, where, "no %s was found on PATH for %s; install %s",
              shared ? "linker (ld.lld, cc)" : "archiver (llvm-ar, ar)", triple,
              shared ? "lld" : "llvm or binutils");
  else if (ok && status != 0)
    tn_report(ctx, TN_ERROR, where, "the %s failed with status %d", shared ? "linker" : "archiver", status);
  ok = ok && status == 0 && tn_file_map(ctx, made, &bytes) && put_file(w, path, bytes.at, bytes.size);
  unlink(part);
  unlink(made);
  rmdir(folder);
  return ok;
}

static bool make_kind(struct writing *w, int kind, const char *path) {
  tn_ctx *ctx = w->ctx;
  struct tn_bytes bytes = {0};
  const char *text = NULL;
  switch (kind) {
  case OBJ:
    return put_file(w, path, w->product.object.at, w->product.object.size);
  case STATIC_LIB:
  case SHARED_LIB:
    return put_library(w, path, kind == SHARED_LIB);
  case ASM:
  case LLVM:
  case NEST:
    if (!tn_codegen_emit(w->built.cg,
                         kind == ASM    ? TN_EMIT_ASM
                         : kind == LLVM ? TN_EMIT_LLVM
                                        : TN_EMIT_NEST,
                         &bytes))
      return false;
    return put_file(w, path, bytes.at, bytes.size);
  case HEADER:
    text = w->product.header;
    break;
  case IR:
    text = tn_print(tn_ctx_arena(ctx), w->built.module);
    break;
  case REPORT:
    text = tn_report_html(ctx, &w->built);
    break;
  }
  return text && put_file(w, path, text, strlen(text));
}

static void print_sizes(tn_ctx *ctx, struct writing *w) {
  const struct tn_build_facts *f = &w->product.facts;
  tn_arena *a = tn_ctx_arena(ctx);
  if (w->o->json) {
    printf("{\"code_bytes\": %" PRId64 ", \"weight_bytes\": %" PRId64 ", \"arena_bytes\": %" PRId64
           ", \"io_bytes\": %" PRId64 ", \"stack_bytes\": %" PRId64 ", \"macs\": %" PRId64
           ", \"arena_low_bound\": %" PRId64 ", \"kernels\": %d}\n",
           f->code_bytes, f->weight_bytes, f->arena_bytes, f->io_bytes, f->stack_bytes, f->macs,
           f->arena_low_bound, f->kernel_count);
    return;
  }
  printf("%s for %s\n", w->product.name, w->product.triple);
  int64_t inside = f->weights_hash ? 0 : f->weight_bytes;
  printf("  flash  %10s   code %s, weights %s%s%s\n", tn_human_bytes(a, f->code_bytes + inside),
         tn_human_bytes(a, f->code_bytes), tn_human_bytes(a, f->weight_bytes), f->weights_hash ? " in " : "",
         f->weights_hash ? w->o->weights_file : "");
  printf("  RAM    %10s   arena %s (no plan can be under %s), stack %s\n",
         tn_human_bytes(a, f->arena_bytes + f->stack_bytes), tn_human_bytes(a, f->arena_bytes),
         tn_human_bytes(a, f->arena_low_bound), tn_human_bytes(a, f->stack_bytes));
  printf("  inputs and outputs %s, %" PRId64 " multiply-accumulates, %d kernels (%d distinct)\n",
         tn_human_bytes(a, f->io_bytes), f->macs, f->kernel_count, f->kernel_distinct);
}

static const char *make_escape(tn_arena *arena, const char *path) {
  struct tn_str s;
  tn_str_init(&s, arena);
  for (const char *c = path; *c; c++)
    tn_str_add(&s, *c == ' ' || *c == '#' ? "\\%c" : *c == '$' ? "$%c" : "%c", *c);
  return s.count ? s.at : "";
}

/* Every output, FILE first as ninja wants it, then every file that was read: model, external data, values that
 * were bound. */
static bool put_depfile(struct writing *w, const char *first, const char *path) {
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(w->ctx));
  tn_str_add(&s, "%s", make_escape(s.arena, first));
  for (size_t i = 0; i < w->files.count; i++)
    if (strcmp(w->files.at[i].path, first) != 0)
      tn_str_add(&s, " %s", make_escape(s.arena, w->files.at[i].path));
  tn_str_add(&s, ":");
  for (size_t i = 0; i < w->product.read_count; i++)
    tn_str_add(&s, " %s", make_escape(s.arena, w->product.read[i]));
  tn_str_add(&s, "\n");
  return put_file(w, path, s.at, s.count);
}

static bool put_kinds(struct writing *w, const bool *want, const char *first) {
  for (int k = 0; k < KINDS; k++) {
    if (!want[k])
      continue;
    /* FILE itself for the kind that its suffix names, or for the only kind there is. */
    int others = 0;
    for (int i = 0; i < KINDS; i++)
      others += i != k && want[i];
    bool itself = w->o->output && (!strcmp(suffix_of(first), kinds[k].suffix) || !others);
    const char *path = itself ? first : tn_printf(tn_ctx_arena(w->ctx), "%s%s", w->base, kinds[k].suffix);
    if (!make_kind(w, k, path))
      return false;
  }
  return true;
}

/* What is to be written: the outputs with a file that holds their bytes, but for those that are there already.
 */
static bool write_files(struct writing *w) {
  tn_arena *arena = tn_ctx_arena(w->ctx);
  struct tn_file *changed = TN_NEW_ARRAY(arena, struct tn_file, w->files.count + 1);
  const struct tn_blob **blobs = TN_NEW_ARRAY(arena, const struct tn_blob *, w->files.count + 1);
  TN_VEC(struct tn_file) there = {0};
  size_t count = 0;
  for (size_t i = 0; i < w->files.count; i++) {
    struct tn_file *file = &w->files.at[i];
    const struct tn_blob *blob = w->cache ? tn_blob_find(w->cache, file->bytes) : NULL;
    if (blob && tn_output_is(w->cache, file->path, blob->hash)) {
      TN_PUSH(arena, &there, *file);
      continue;
    }
    file->same = blob ? blob->fd : 0;
    blobs[count] = blob;
    changed[count++] = *file;
  }
  if (!tn_files_write(w->ctx, changed, count))
    return false;
  for (size_t i = 0; i < count; i++)
    if (blobs[i])
      tn_cache_remember(w->cache, &changed[i].stamp, blobs[i]->hash);
  for (size_t i = 0; i < there.count; i++) /* last: they are as new as the others */
    if (!tn_output_touch(w->cache, there.at[i].path, tn_blob_find(w->cache, there.at[i].bytes)->hash) &&
        !tn_files_write(w->ctx, &there.at[i], 1))
      return false;
  return true;
}

/* "-" is standard output, for one kind of text. */
static bool check_stdout(tn_ctx *ctx, const struct tn_options *o, const bool *want) {
  int kinds_wanted = 0;
  for (int k = 0; k < KINDS; k++)
    kinds_wanted += want[k];
  if (kinds_wanted == 1 && !want[OBJ] && !want[STATIC_LIB] && !want[SHARED_LIB] && !o->depfile &&
      !o->weights_file)
    return true;
  tn_report(
      ctx, TN_ERROR, (struct tn_where){0},
      "-o - takes one kind of text, such as --emit=ir, and no -MD or --weights-file; name a file instead");
  return false;
}

/* Paths of all files that were read. */
static void list_read(struct writing *w) {
  const struct tn_file_read *read = tn_files_read(w->ctx, &w->product.read_count);
  const char **paths = TN_NEW_ARRAY(tn_ctx_arena(w->ctx), const char *, w->product.read_count + 1);
  for (size_t i = 0; i < w->product.read_count; i++)
    paths[i] = read[i].path;
  w->product.read = paths;
}

static bool make_product(struct writing *w, bool only_ir, bool only_products) {
  tn_ctx *ctx = w->ctx;
  struct tn_product *p = &w->product;
  struct tn_hash key, model;
  if (only_ir) {
    bool loaded = tn_load(ctx, w->o, NULL, &w->built);
    list_read(w);
    return loaded;
  }
  w->cache = tn_cache_open(ctx, w->o);
  bool kept = only_products && tn_product_key(w->cache, w->o, &key, &model);
  if (kept && tn_product_get(w->cache, w->o, key, p))
    return true;
  if (!tn_build_model(ctx, w->o, NULL, w->cache, false, &w->built) ||
      !tn_codegen_emit(w->built.cg, TN_EMIT_OBJECT, &p->object))
    return false;
  list_read(w);
  p->name = w->built.module->name;
  p->triple = tn_codegen_triple(w->built.cg);
  p->header = tn_codegen_header(w->built.cg, tn_ctx_arena(ctx));
  p->facts = *tn_codegen_facts(w->built.cg);
  p->weights = tn_codegen_weights(w->built.cg);
  if (kept)
    tn_product_put(w->cache, w->o, key, model, p);
  return true;
}

bool tn_command_compile(tn_ctx *ctx, const struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct writing w = {.ctx = ctx, .o = o};
  const char *first = o->output ? o->output : tn_printf(arena, "%s.o", tn_model_prefix(ctx, o));
  bool to_stdout = !strcmp(first, "-");
  w.base = tn_strndup(arena, first, strlen(first) - strlen(suffix_of(first)));
  bool want[KINDS] = {false};
  if (!choose(&w, want) || (to_stdout && !check_stdout(ctx, o, want)))
    return false;
  bool only_ir = want[IR], only_products = true;
  for (int k = 0; k < KINDS; k++) {
    only_ir &= k == IR || !want[k];
    only_products &= k <= SHARED_LIB || !want[k];
  }
  if (!only_ir && o->stop_after) {
    tn_report(ctx, TN_ERROR, (struct tn_where){0}, "--stop-after leaves only the IR to write: add --emit=ir");
    return false;
  }
  if (!make_product(&w, only_ir, only_products) || !put_kinds(&w, want, first) ||
      (o->weights_file && !only_ir &&
       !put_file(&w, o->weights_file, w.product.weights.at, w.product.weights.size)) ||
      (o->depfile && !put_depfile(&w, first, tn_printf(arena, "%s.d", w.base))))
    return false;
  if (to_stdout)
    fwrite(w.files.at[0].bytes.at, 1, w.files.at[0].bytes.size, stdout);
  else if (!write_files(&w))
    return false;
  if (!only_ir && !to_stdout)
    print_sizes(ctx, &w);
  return true;
}
