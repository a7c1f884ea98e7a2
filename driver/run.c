/* tenon run: compiles in memory for this machine and runs once. */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

/* Every input's value: --input NAME=FILE, or numbered files of --inputs. */
static bool read_inputs(tn_ctx *ctx, const struct tn_options *o, struct tn_tensor **out, size_t *count) {
  struct tn_onnx_summary summary;
  size_t before = tn_diag_count(ctx, TN_NOTE);
  if (!tn_onnx_inspect(ctx, o->model, NULL, &summary))
    return false;
  tn_diag_truncate(ctx, before);
  struct tn_tensor *t = TN_NEW_ARRAY(tn_ctx_arena(ctx), struct tn_tensor, summary.input_count + 1);
  for (size_t i = 0; i < summary.input_count; i++) {
    const char *name = summary.inputs[i].name, *file = NULL;
    for (size_t k = 0; k < o->inputs.count; k++)
      if (!strcmp(o->inputs.at[k].name, name))
        file = o->inputs.at[k].value;
    if (file ? !tn_npy_read(ctx, file, &t[i])
             : o->inputs_dir && !tn_vector_read(ctx, o->inputs_dir, "input", (int)i, &t[i]))
      return false;
    if (!file && !o->inputs_dir) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model},
                "input '%s' (%s %s) has no value: --input %s=FILE.npy", name, summary.inputs[i].dtype,
                summary.inputs[i].shape, name);
      return false;
    }
  }
  for (size_t k = 0; k < o->inputs.count; k++) {
    bool known = false;
    for (size_t i = 0; i < summary.input_count; i++)
      known |= !strcmp(o->inputs.at[k].name, summary.inputs[i].name);
    if (!known) {
      tn_report(ctx, TN_ERROR, (struct tn_where){.file = o->model}, "it has no input '%s'; see tenon inspect",
                o->inputs.at[k].name);
      return false;
    }
  }
  *out = t;
  *count = summary.input_count;
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
  struct tn_tensor *inputs, *outputs;
  size_t count, output_count;
  if (!read_inputs(ctx, o, &inputs, &count))
    return false;
  struct tn_given given = {inputs, count};
  struct tn_built built;
  if (!tn_build_model(ctx, o, &given, false, &built))
    return false;
  struct tn_program program;
  if (!tn_program_load(ctx, o, built.cg, NULL, &program) ||
      !tn_execute(ctx, &built, inputs, &program, &outputs, &output_count))
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
