/* tenon run: compiles in memory for this machine and runs once. */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *find_pair(const struct tn_pair *pairs, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(pairs[i].name, name))
      return pairs[i].value;
  return NULL;
}

bool tn_read_inputs(tn_ctx *ctx, const struct tn_options *o, bool optional, struct tn_given *out) {
  const struct tn_onnx_port *ports;
  size_t count;
  if (!tn_model_inputs(ctx, o, &ports, &count))
    return false;
  for (size_t k = 0; k < o->inputs.count; k++) {
    bool known = false;
    for (size_t i = 0; i < count; i++)
      known |= !strcmp(o->inputs.at[k].name, ports[i].name);
    if (!known) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model}, "it has no input '%s'; see tenon inspect",
                o->inputs.at[k].name);
      return false;
    }
  }
  struct tn_tensor *t = TN_NEW_ARRAY(tn_ctx_arena(ctx), struct tn_tensor, count + 1);
  for (size_t i = 0; i < count; i++) {
    const char *name = ports[i].name, *file = find_pair(o->inputs.at, o->inputs.count, name);
    file = file ? file : find_pair(o->binds.at, o->binds.count, name);
    if (file ? !tn_npy_read(ctx, file, &t[i])
             : o->inputs_dir && !tn_vector_read(ctx, o->inputs_dir, "input", (int)i, &t[i]))
      return false;
    if (!file && !o->inputs_dir && !optional) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model},
                "input '%s' (%s %s) has no value: --input %s=FILE.npy", name, ports[i].dtype, ports[i].shape,
                name);
      return false;
    }
  }
  *out = (struct tn_given){t, count};
  return true;
}

static void print_tensor(const char *name, const struct tn_tensor *t) {
  int64_t count;
  tn_type_count(&t->type, &count);
  printf("%s: %s[", name, tn_dtype_name(t->type.dtype));
  for (int d = 0; d < t->type.rank; d++)
    printf("%s%" PRId64, d ? "," : "", t->type.dim[d]);
  printf("]");
  for (int64_t i = 0; i < count && i < 16; i++)
    if (tn_dtype_is_float(t->type.dtype))
      printf(" %.6g", tn_tensor_float(t, i));
    else
      printf(" %" PRId64, tn_tensor_int(t, i));
  printf(count > 16 ? " ... (%" PRId64 " elements)\n" : "\n", count);
}

bool tn_command_run(tn_ctx *ctx, const struct tn_options *o) {
  struct tn_tensor *outputs;
  size_t output_count;
  struct tn_given given;
  if (!tn_read_inputs(ctx, o, false, &given))
    return false;
  struct tn_built built;
  if (!tn_build_model(ctx, o, &given, tn_cache_open(ctx, o), false, &built))
    return false;
  struct tn_program program;
  if (!tn_program_load(ctx, o, built.cg, NULL, &program) ||
      !tn_execute(ctx, &built, given.inputs, &program, &outputs, &output_count))
    return false;
  if (o->output_dir && mkdir(o->output_dir, 0777) != 0) {
    struct stat s;
    if (stat(o->output_dir, &s) != 0 || !S_ISDIR(s.st_mode)) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->output_dir}, "this folder cannot be made");
      return false;
    }
  }
  for (size_t i = 0; i < output_count; i++) {
    print_tensor(built.module->main->outputs.at[i]->name, &outputs[i]);
    if (o->output_dir &&
        !tn_npy_write(ctx, tn_printf(tn_ctx_arena(ctx), "%s/output_%zu.npy", o->output_dir, i), &outputs[i]))
      return false;
  }
  return true;
}
