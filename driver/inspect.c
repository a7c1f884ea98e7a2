/* tenon inspect: what a model is, whether Tenon can compile it or not. */
#include "driver/driver.h"

#include <inttypes.h>
#include <stdio.h>

void tn_json_string(struct tn_str *s, const char *text) {
  tn_str_add(s, "\"");
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
    if (*c == '"' || *c == '\\')
      tn_str_add(s, "\\%c", *c);
    else if (*c < 0x20)
      tn_str_add(s, "\\u%04x", *c);
    else
      tn_str_add(s, "%c", *c);
  }
  tn_str_add(s, "\"");
}

static void json_ports(struct tn_str *s, const char *key, const struct tn_onnx_port *p, size_t count) {
  tn_str_add(s, "\"%s\": [", key);
  for (size_t i = 0; i < count; i++) {
    tn_str_add(s, "%s{\"name\": ", i ? ", " : "");
    tn_json_string(s, p[i].name);
    tn_str_add(s, ", \"dtype\": ");
    tn_json_string(s, p[i].dtype);
    tn_str_add(s, ", \"shape\": ");
    tn_json_string(s, p[i].shape);
    tn_str_add(s, "}");
  }
  tn_str_add(s, "], ");
}

static void print_json(tn_ctx *ctx, const struct tn_onnx_summary *m) {
  struct tn_str s;
  tn_str_init(&s, tn_ctx_arena(ctx));
  tn_str_add(&s, "{");
  json_ports(&s, "inputs", m->inputs, m->input_count);
  json_ports(&s, "outputs", m->outputs, m->output_count);
  tn_str_add(&s, "\"ops\": {");
  for (size_t i = 0; i < m->op_count; i++) {
    tn_str_add(&s, i ? ", " : "");
    tn_json_string(&s, m->ops[i].name);
    tn_str_add(&s, ": %" PRId64, m->ops[i].count);
  }
  tn_str_add(&s, "}, \"opsets\": {");
  for (size_t i = 0; i < m->opset_count; i++) {
    tn_str_add(&s, i ? ", " : "");
    tn_json_string(&s, m->opsets[i].name);
    tn_str_add(&s, ": %" PRId64, m->opsets[i].count);
  }
  tn_str_add(&s,
             "}, \"nodes\": %" PRId64 ", \"parameters\": %" PRId64 ", \"parameter_bytes\": %" PRId64
             ", \"unsupported\": [",
             m->node_count, m->parameters, m->parameter_bytes);
  for (size_t i = 0; i < m->outcome.gap_count; i++) {
    tn_str_add(&s, "%s{\"node\": ", i ? ", " : "");
    tn_json_string(&s, m->outcome.gaps[i].node);
    tn_str_add(&s, ", \"op\": ");
    tn_json_string(&s, m->outcome.gaps[i].op);
    tn_str_add(&s, ", \"reason\": ");
    tn_json_string(&s, m->outcome.gaps[i].reason);
    tn_str_add(&s, "}");
  }
  tn_str_add(&s, "]}");
  puts(s.at);
}

bool tn_command_inspect(tn_ctx *ctx, const struct tn_options *o) {
  struct tn_onnx_summary m;
  if (!tn_inspect_model(ctx, o, &m))
    return false;
  /* What the import had to say of gaps is in the summary; what else is wrong is not. */
  bool good = m.module || m.outcome.gap_count || m.outcome.needed_count;
  if (good)
    tn_diag_truncate(ctx, 0);
  if (o->json) {
    print_json(ctx, &m);
    return good;
  }
  if (m.ir_version)
    printf("%s: IR version %" PRId64 ", by %s\n", o->model, m.ir_version,
           *m.producer ? m.producer : "an unnamed producer");
  else
    printf("%s: %s\n", o->model, *m.producer ? m.producer : "no IR version");
  for (size_t i = 0; i < m.opset_count; i++)
    printf("  opset  %s %" PRId64 "\n", m.opsets[i].name, m.opsets[i].count);
  for (size_t i = 0; i < m.input_count; i++)
    printf("  input  %s: %s %s\n", m.inputs[i].name, m.inputs[i].dtype, m.inputs[i].shape);
  for (size_t i = 0; i < m.output_count; i++)
    printf("  output %s: %s %s\n", m.outputs[i].name, m.outputs[i].dtype, m.outputs[i].shape);
  printf("  %" PRId64 " nodes, %" PRId64 " parameters in %s\n ", m.node_count, m.parameters,
         tn_human_bytes(tn_ctx_arena(ctx), m.parameter_bytes));
  for (size_t i = 0; i < m.op_count; i++)
    printf(" %s x%" PRId64, m.ops[i].name, m.ops[i].count);
  printf("\n");
  for (size_t i = 0; i < m.outcome.gap_count; i++)
    printf("  unsupported: node '%s' (%s): %s\n", m.outcome.gaps[i].node, m.outcome.gaps[i].op,
           m.outcome.gaps[i].reason);
  for (size_t i = 0; i < m.outcome.needed_count; i++)
    printf("  input '%s' decides a shape: bind it with --bind %s=FILE.npy\n", m.outcome.needed[i],
           m.outcome.needed[i]);
  return good;
}
