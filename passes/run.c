/* The pass runner: reads passes.def, checks it against itself, and runs the steps.
 *
 * Every pass runs under a guard of its own, so that a failure deep inside can be told with the pass and the
 * node. */
#include "passes/passes.h"

#include <time.h>

enum pass_id {
#define PASS(id, ...) PASS_##id,
#define STEP(...)
#define ORDER(...)
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER
  PASS_COUNT
};

static const struct tn_pass_info pass_infos[] = {
#define PASS(id, name, needs, makes, breaks, doc) {name, needs, makes, breaks, doc},
#define STEP(...)
#define ORDER(...)
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER
};

typedef bool (*pass_function)(struct tn_pass *pass, struct tn_module *module);
static const pass_function pass_functions[] = {
#define PASS(id, ...) tn_pass_##id,
#define STEP(...)
#define ORDER(...)
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER
};

static const struct {
  enum pass_id id;
  int level;
} pipeline[] = {
#define PASS(...)
#define STEP(id, level) {PASS_##id, level},
#define ORDER(...)
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER
};

static const struct {
  enum pass_id before, after;
  const char *because;
} orders[] = {
#define PASS(...)
#define STEP(...)
#define ORDER(before, after, because) {PASS_##before, PASS_##after, because},
#include "passes/passes.def"
#undef PASS
#undef STEP
#undef ORDER
};

const struct tn_pass_info *tn_pass_info(size_t index) {
  return index < PASS_COUNT ? &pass_infos[index] : NULL;
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* "simplify" fits every run, "simplify.2" the second. */
static bool name_fits(const char *asked, enum pass_id id, int occurrence) {
  const char *name = pass_infos[id].name;
  size_t length = strlen(name);
  if (strncmp(asked, name, length) != 0)
    return false;
  if (asked[length] == '\0')
    return true;
  if (asked[length] != '.')
    return false;
  int number = 0;
  for (const char *c = asked + length + 1; *c; c++) {
    if (*c < '0' || *c > '9' || number > 99)
      return false;
    number = number * 10 + (*c - '0');
  }
  return number == occurrence;
}

static int count_before(size_t step) {
  int count = 0;
  for (size_t i = 0; i <= step; i++)
    count += pipeline[i].id == pipeline[step].id;
  return count;
}

static bool name_known(const char *asked) {
  for (size_t i = 0; i < TN_COUNT(pipeline); i++)
    if (name_fits(asked, pipeline[i].id, count_before(i)))
      return true;
  return false;
}

static bool listed(const char *const *names, size_t count, enum pass_id id, int occurrence) {
  for (size_t i = 0; i < count; i++)
    if (name_fits(names[i], id, occurrence))
      return true;
  return false;
}

static bool check_name(struct tn_module *module, const char *option, const char *name) {
  if (name_known(name))
    return true;
  struct tn_str all;
  tn_str_init(&all, module->arena);
  for (size_t i = 0; i < PASS_COUNT; i++)
    tn_str_add(&all, "%s%s", i ? ", " : "", pass_infos[i].name);
  tn_report(module->ctx, TN_ERROR, (struct tn_where){0}, "%s: there is no pass '%s'; the passes are %s", option,
            name, all.at);
  return false;
}

static bool check_names(struct tn_module *module, const struct tn_pass_options *options) {
  bool good = true;
  for (size_t i = 0; i < options->print_after_count; i++)
    if (strcmp(options->print_after[i], "all") != 0)
      good &= check_name(module, "--print-after", options->print_after[i]);
  for (size_t i = 0; i < options->disable_count; i++)
    good &= check_name(module, "--disable", options->disable[i]);
  if (options->stop_after)
    good &= check_name(module, "--stop-after", options->stop_after);
  return good;
}

/* ---- the list against itself --------------------------------------------------------------------------- */

static bool step_runs(size_t step, const struct tn_pass_options *options) {
  return pipeline[step].level <= options->level &&
         !listed(options->disable, options->disable_count, pipeline[step].id, count_before(step));
}

static const char *fact_name(unsigned fact) {
  switch (fact) {
  case TN_FACT_CORE:
    return "that no composite op is left";
  case TN_FACT_KERNELS:
    return "that every node is in a kernel";
  case TN_FACT_PLANNED:
    return "that every value has its storage";
  default:
    return "nothing";
  }
}

static size_t first_run(enum pass_id id) {
  for (size_t i = 0; i < TN_COUNT(pipeline); i++)
    if (pipeline[i].id == id)
      return i;
  return SIZE_MAX;
}

static bool check_list(struct tn_module *module, const struct tn_pass_options *options) {
  for (size_t i = 0; i < TN_COUNT(orders); i++)
    if (first_run(orders[i].before) > first_run(orders[i].after)) {
      tn_report(module->ctx, TN_BUG, (struct tn_where){0}, "passes.def: '%s' must come before '%s': %s",
                pass_infos[orders[i].before].name, pass_infos[orders[i].after].name, orders[i].because);
      return false;
    }
  unsigned facts = 0;
  for (size_t i = 0; i < TN_COUNT(pipeline); i++) {
    if (!step_runs(i, options))
      continue;
    const struct tn_pass_info *info = &pass_infos[pipeline[i].id];
    unsigned missing = info->needs & ~facts;
    if (missing) {
      bool users = options->disable_count > 0;
      tn_report(module->ctx, users ? TN_ERROR : TN_BUG, (struct tn_where){0},
                "pass '%s' needs %s, and no pass before it sees to that%s", info->name,
                fact_name(missing & -missing), users ? "; disable fewer passes, or stop before it" : "");
      return false;
    }
    facts = (facts & ~info->breaks) | info->makes;
    if (options->stop_after && name_fits(options->stop_after, pipeline[i].id, count_before(i)))
      break;
  }
  return true;
}

/* ---- running ------------------------------------------------------------------------------------------- */

struct step {
  struct tn_pass pass;
  struct tn_module *module;
  pass_function function;
};

static bool step_body(void *user) {
  struct step *step = user;
  return step->function(&step->pass, step->module);
}

void tn_pass_at(struct tn_pass *pass, const struct tn_node *node) {
  pass->node = node;
  if (pass->options->progress)
    pass->options->progress->node = node ? node->name : NULL;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool run_step(struct tn_module *module, enum pass_id id, const char *name,
                     const struct tn_pass_options *options) {
  struct step step = {.module = module, .function = pass_functions[id]};
  step.pass = (struct tn_pass){.name = name, .scratch = tn_arena_create(module->ctx), .options = options};
  if (options->progress)
    *options->progress = (struct tn_pass_progress){.pass = name};
  double start = seconds_now();
  bool good = tn_guard(module->ctx, step_body, &step);
  double seconds = seconds_now() - start;
  if (good && options->verify_each)
    good = tn_verify(module, name);
  if (!good) {
    const struct tn_node *node = step.pass.node;
    tn_report(module->ctx, TN_NOTE,
              (struct tn_where){module->file, node ? node->name : NULL, node ? node->origin : NULL},
              "while pass '%s' ran%s%s%s", name, node ? " at a '" : "", node ? tn_op_info(node->op)->name : "",
              node ? "' node" : "");
  }
  tn_arena_destroy(step.pass.scratch);
  if (options->progress)
    *options->progress = (struct tn_pass_progress){0};
  if (good && options->timed)
    options->timed(options->user, name, seconds, step.pass.changes);
  return good;
}

bool tn_run_passes(struct tn_module *module, const struct tn_pass_options *options) {
  if (!check_names(module, options) || !check_list(module, options))
    return false;
  for (size_t i = 0; i < TN_COUNT(pipeline); i++) {
    if (!step_runs(i, options))
      continue;
    enum pass_id id = pipeline[i].id;
    int occurrence = count_before(i);
    const char *name = pass_infos[id].name;
    if (occurrence > 1)
      name = tn_printf(module->arena, "%s.%d", name, occurrence);
    if (!run_step(module, id, name, options))
      return false;
    bool wanted = listed(options->print_after, options->print_after_count, id, occurrence);
    for (size_t k = 0; k < options->print_after_count; k++)
      wanted |= strcmp(options->print_after[k], "all") == 0;
    if (wanted && options->print)
      options->print(options->user, name, tn_print(module->arena, module));
    if (options->stop_after && name_fits(options->stop_after, id, occurrence))
      break;
  }
  return true;
}

bool tn_run_pass(struct tn_module *module, const char *name, const struct tn_pass_options *options) {
  for (size_t i = 0; i < PASS_COUNT; i++)
    if (strcmp(pass_infos[i].name, name) == 0)
      return run_step(module, (enum pass_id)i, pass_infos[i].name, options);
  return check_name(module, "tn_run_pass", name);
}
