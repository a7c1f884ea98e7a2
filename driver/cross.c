/* verify --target --runner: the object linked with a generic program by the target's own C compiler, run by the
 * runner (an emulator), inputs and outputs in files. */
#include "driver/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads the inputs from files 0.in, 1.in, ... and writes 0.out, ... in the folder that argv[1] names. */
static const char program_text[] =
    "#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include \"model.h\"\n"
    "static void *room(int64_t n) { return aligned_alloc(64, (size_t)((n + 127) / 64 * 64)); }\n"
    "static FILE *open_file(const char *dir, int i, const char *kind, const char *mode) {\n"
    "  char path[4096];\n  snprintf(path, sizeof path, \"%%s/%%d.%%s\", dir, i, kind);\n  return fopen(path, "
    "mode);\n}\n"
    "int main(int argc, char **argv) {\n"
    "  const struct tenon_model *m = &%s_model;\n"
    "  const void *in[256];\n  void *out[256];\n"
    "  if (argc != 2 || m->input_count > 256 || m->output_count > 256) return 2;\n"
    "  for (int i = 0; i < m->input_count; i++) {\n"
    "    void *p = room(m->inputs[i].bytes);\n    FILE *f = open_file(argv[1], i, \"in\", \"rb\");\n"
    "    if (!p || !f || fread(p, 1, (size_t)m->inputs[i].bytes, f) != (size_t)m->inputs[i].bytes) return 3;\n"
    "    fclose(f);\n    in[i] = p;\n  }\n"
    "  for (int i = 0; i < m->output_count; i++)\n    if (!(out[i] = room(m->outputs[i].bytes))) return 4;\n"
    "  int status = m->run(in, out, room(m->arena_bytes));\n  if (status) return 5;\n"
    "  for (int i = 0; i < m->output_count; i++) {\n"
    "    FILE *f = open_file(argv[1], i, \"out\", \"wb\");\n"
    "    if (!f || fwrite(out[i], 1, (size_t)m->outputs[i].bytes, f) != (size_t)m->outputs[i].bytes || "
    "fclose(f)) return 6;\n"
    "  }\n  return 0;\n}\n";

/* The C compiler that Debian and others name after the target: aarch64-linux-gnu-gcc for
 * aarch64-unknown-linux-gnu. */
static const char *cross_compiler(tn_arena *arena, const char *triple) {
  const char *dash = strchr(triple, '-'), *os = strstr(triple, "linux");
  if (!dash || !os)
    return NULL;
  char *arch = tn_strndup(arena, triple, (size_t)(dash - triple));
  if (!strncmp(arch, "armv", 4) || !strncmp(arch, "thumbv", 6))
    arch = tn_strdup(arena, "arm");
  return tn_printf(arena, "%s-%s-gcc", arch, os);
}

bool tn_run_foreign(tn_ctx *ctx, const struct tn_options *o, struct tn_built *built,
                    const struct tn_tensor *inputs, struct tn_tensor **outputs, size_t *output_count) {
  tn_arena *arena = tn_ctx_arena(ctx);
  struct tn_graph *g = built->module->main;
  const char *triple = tn_codegen_triple(built->cg), *cc = cross_compiler(arena, triple);
  struct tn_where where = {.file = o->model};
  if (!cc) {
    tn_report(ctx, TN_ERROR, where, "verify runs programs of Linux targets; %s is none", triple);
    return false;
  }
  const char *temp = getenv("TMPDIR");
  char *folder = tn_printf(arena, "%s/tenon-verify-XXXXXX", temp ? temp : "/tmp");
  if (!mkdtemp(folder)) {
    tn_report(ctx, TN_ERROR, where, "no temporary folder can be made in %s", temp ? temp : "/tmp");
    return false;
  }
  struct tn_bytes object;
  const char *text = tn_printf(arena, program_text, built->module->name);
  const char *header = tn_codegen_header(built->cg, arena);
  bool ok = tn_codegen_emit(built->cg, TN_EMIT_OBJECT, &object) &&
            tn_file_write(ctx, tn_printf(arena, "%s/model.o", folder), object.at, object.size) &&
            tn_file_write(ctx, tn_printf(arena, "%s/model.h", folder), header, strlen(header)) &&
            tn_file_write(ctx, tn_printf(arena, "%s/main.c", folder), text, strlen(text));
  for (size_t i = 0; ok && i < g->inputs.count; i++) {
    const struct tn_tensor *t = &inputs[built->live.at[i]];
    ok = tn_file_write(ctx, tn_printf(arena, "%s/%zu.in", folder, i), t->data, t->bytes);
  }
  if (ok && system(tn_printf(arena, "%s -static -O1 -o '%s/program' '%s/main.c' '%s/model.o'", cc, folder,
                             folder, folder)) != 0) {
    tn_report(ctx, TN_ERROR, where,
              "%s could not link the program; is the package of that cross compiler installed?", cc);
    ok = false;
  }
  if (ok) {
    int status = system(tn_printf(arena, "%s '%s/program' '%s'", o->runner, folder, folder));
    if (status != 0) {
      const char *kind = WIFSIGNALED(status) ? "signal" : "exit status";
      tn_report(ctx, TN_ERROR, where, "the runner '%s' ended with %s %d%s", o->runner, kind,
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                WIFEXITED(status) && WEXITSTATUS(status) == 5 ? ": the model's run failed" : "");
      ok = false;
    }
  }
  struct tn_tensor *result = TN_NEW_ARRAY(arena, struct tn_tensor, g->outputs.count + 1);
  for (size_t i = 0; ok && i < g->outputs.count; i++) {
    struct tn_bytes bytes;
    int64_t expected;
    ok = tn_file_map(ctx, tn_printf(arena, "%s/%zu.out", folder, i), &bytes);
    tn_type_bytes(&g->outputs.at[i]->type, &expected);
    if (ok && (int64_t)bytes.size != expected) {
      tn_report(ctx, TN_ERROR, where, "the program wrote %zu bytes for output %zu instead of its own size",
                bytes.size, i);
      ok = false;
    }
    if (ok)
      result[i] = (struct tn_tensor){.type = g->outputs.at[i]->type, .data = bytes.at, .bytes = bytes.size};
  }
  int ignored = system(tn_printf(arena, "rm -rf '%s'", folder));
  (void)ignored;
  *outputs = result;
  *output_count = g->outputs.count;
  return ok;
}
