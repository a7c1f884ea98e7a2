/* The report of a build: one self-contained HTML page with what takes flash and RAM, and the arena over time.
 */
#include "driver/driver.h"

#include <inttypes.h>

static void add_escaped(struct tn_str *s, const char *text) {
  for (const char *c = text; *c; c++)
    tn_str_add(s,
               *c == '<'   ? "&lt;"
               : *c == '>' ? "&gt;"
               : *c == '&' ? "&amp;"
               : *c == '"' ? "&quot;"
                           : "%c",
               *c);
}

struct life {
  const struct tn_value *value;
  int first, last;
};

/* Values in the arena of the main graph with the steps between which they are needed. */
static size_t find_lives(tn_arena *arena, struct tn_graph *g, struct life **out, int *steps) {
  TN_VEC(struct life) lives = {0};
  int step = 0;
  for (struct tn_node *n = g->first; n; n = n->next, step++) {
    for (int i = 0; i < n->in_count; i++)
      for (size_t k = 0; n->in[i] && k < lives.count; k++)
        if (lives.at[k].value == n->in[i])
          lives.at[k].last = step;
    for (int i = 0; i < n->out_count; i++)
      if (n->out[i]->storage.place == TN_IN_ARENA && !n->out[i]->storage.window) {
        struct life l = {n->out[i], step, step};
        TN_PUSH(arena, &lives, l);
      }
  }
  *out = lives.at;
  *steps = step;
  return lives.count;
}

static void draw_arena(struct tn_str *s, tn_ctx *ctx, struct tn_built *built) {
  struct life *lives;
  int steps;
  size_t count = find_lives(tn_ctx_arena(ctx), built->module->main, &lives, &steps);
  double total = (double)built->module->arena_bytes;
  if (!count || total <= 0)
    return;
  tn_str_add(
      s,
      "<h2>The arena over time</h2><p>Across: nodes in order. Up: bytes of the arena. A box is one tensor.</p>"
      "<svg viewBox='0 0 1000 400' preserveAspectRatio='none'>");
  for (size_t i = 0; i < count; i++) {
    int64_t bytes;
    tn_type_bytes(&lives[i].value->type, &bytes);
    double x = 1000.0 * lives[i].first / steps, w = 1000.0 * (lives[i].last - lives[i].first + 1) / steps;
    double h = 400.0 * (double)bytes / total,
           y = 400 - 400.0 * (double)lives[i].value->storage.index / total - h;
    tn_str_add(s,
               "<rect x='%.2f' y='%.2f' width='%.2f' height='%.2f' fill='hsl(%zu 55%% 62%%)' stroke='#fff' "
               "stroke-width='.5'><title>",
               x, y, w, h, i * 47 % 360);
    add_escaped(s, lives[i].value->name);
    tn_str_add(s, ": %" PRId64 " bytes at %" PRId64 "</title></rect>", bytes, lives[i].value->storage.index);
  }
  tn_str_add(s, "</svg>");
}

static void bar(struct tn_str *s, const char *label, double share, const char *text) {
  tn_str_add(s, "<tr><td>");
  add_escaped(s, label);
  tn_str_add(s, "</td><td class='b'><div style='width:%.2f%%'></div></td><td>%s</td></tr>", share * 100, text);
}

char *tn_report_html(tn_ctx *ctx, struct tn_built *built) {
  tn_arena *arena = tn_ctx_arena(ctx);
  const struct tn_build_facts *f = tn_codegen_facts(built->cg);
  struct tn_str s;
  tn_str_init(&s, arena);
  tn_str_add(&s, "<!doctype html><meta charset='utf-8'><title>");
  add_escaped(&s, built->module->name);
  tn_str_add(
      &s,
      "</title><style>body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;"
      "color:#222}h1,h2{font-weight:600}table{width:100%%;border-collapse:collapse}td{padding:.15rem .5rem;"
      "white-space:nowrap}td.b{width:60%%}td.b "
      "div{background:#4a7fb5;height:.9em;min-width:1px}svg{width:100%%;"
      "height:400px;background:#f4f4f4}</style><h1>");
  add_escaped(&s, built->module->name);
  tn_str_add(&s, "</h1><p>for ");
  add_escaped(&s, tn_codegen_triple(built->cg));
  tn_str_add(&s, ", model %s, %" PRId64 " multiply-accumulates a run</p><h2>Flash and RAM</h2><table>",
             tn_hash_hex(arena, f->model_hash), f->macs);
  double most = (double)(f->code_bytes + f->weight_bytes);
  most = (double)(f->arena_bytes + f->stack_bytes) > most ? (double)(f->arena_bytes + f->stack_bytes) : most;
  const struct {
    const char *name;
    int64_t bytes;
  } part[] = {{"code (flash)", f->code_bytes},
              {"weights (flash)", f->weight_bytes},
              {"arena (RAM)", f->arena_bytes},
              {"lower bound of the arena", f->arena_low_bound},
              {"stack (RAM)", f->stack_bytes}};
  for (size_t i = 0; i < TN_COUNT(part); i++)
    bar(&s, part[i].name, most > 0 ? (double)part[i].bytes / most : 0, tn_human_bytes(arena, part[i].bytes));
  tn_str_add(&s, "</table>");
  draw_arena(&s, ctx, built);
  tn_str_add(&s, "<h2>Kernels</h2><p>Bars: share of the arithmetic.</p><table>");
  for (int i = 0; i < f->kernel_count; i++) {
    const struct tn_build_kernel *k = &f->kernels[i];
    bar(&s, k->node, f->flops ? (double)(k->flops * k->calls) / (double)f->flops : 0,
        tn_printf(arena, "%" PRId64 " FLOP, %s", k->flops * k->calls, tn_human_bytes(arena, k->bytes)));
  }
  tn_str_add(&s, "</table>\n");
  return s.at;
}
