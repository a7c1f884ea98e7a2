/* Options: one table gives the parsing and the help. */
#include "driver/driver.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_THREADS 1024
#define BUILDS (TN_COMPILE | TN_RUN | TN_VERIFY | TN_BENCH)

enum kind { TEXT, PAIR, LIST, NUMBER, REAL, FLAG, LEVEL, LATER, HELP };

/* `--name=VALUE` or `--name VALUE`. */
static const struct option {
  const char *name;
  enum kind kind;
  size_t offset;
  unsigned commands;
  const char *value, *doc;
} table[] = {
#define AT(field) offsetof(struct tn_options, field)
    {"-o", TEXT, AT(output), TN_COMPILE, "FILE", "where the first output goes; its suffix chooses the kind"},
    {"--emit", TEXT, AT(emit), TN_COMPILE, "LIST",
     "obj,header,static-lib,shared-lib,asm,llvm,ir,nest,report (default: by FILE's suffix)"},
    {"--target", TEXT, AT(target), BUILDS, "TRIPLE", "LLVM target triple (default: this machine)"},
    {"--cpu", TEXT, AT(cpu), BUILDS, "NAME", "LLVM cpu name, or native (default: native here, else generic)"},
    {"--features", TEXT, AT(features), BUILDS, "+x,-y", "target features added to the cpu's"},
    {"--name", TEXT, AT(name), TN_COMPILE, "PREFIX", "C prefix of symbols and macros (default: from the file)"},
    {"--dim", PAIR, AT(dims), BUILDS | TN_INSPECT, "NAME=N", "bind a symbolic dimension"},
    {"--shape", PAIR, AT(shapes), BUILDS | TN_INSPECT, "INPUT=1x3x224x224", "set an input's shape"},
    {"--bind", PAIR, AT(binds), BUILDS | TN_INSPECT, "INPUT=FILE.npy",
     "make an input a constant, as when its value decides a shape"},
    {"-O0", LEVEL, 0, BUILDS, NULL, "no optimization"},
    {"-O1", LEVEL, 1, BUILDS, NULL, "little optimization"},
    {"-O2", LEVEL, 2, BUILDS, NULL, "most optimization"},
    {"-O3", LEVEL, 3, BUILDS, NULL, "all optimization, also where it takes memory (default)"},
    {"-Os", LEVEL, 4, BUILDS, NULL, "as -O2, prefer fewer bytes"},
    {"--threads", NUMBER, AT(threads), BUILDS, "N",
     "share loops between N threads (default 1: none is ever started)"},
    {"-MD", FLAG, AT(depfile), TN_COMPILE, NULL, "write FILE.d for make and ninja: every file that was read"},
    {"--weights-section", TEXT, AT(weights_section), TN_COMPILE, "NAME", "section of the weights"},
    {"--weights-file", TEXT, AT(weights_file), TN_COMPILE, "FILE",
     "weights in a file of their own, which every run is given"},
    {"--cache", TEXT, AT(cache), BUILDS, "DIR|off",
     "where objects are kept (default: $TENON_CACHE_DIR, $XDG_CACHE_HOME/tenon, ~/.cache/tenon)"},
    {"--quantize", LATER, 0, BUILDS, "KIND", "not supported yet"},
    {"--calibrate", LATER, 0, BUILDS, "DIR", "not supported yet"},
    {"--prune", LATER, 0, BUILDS, "SHARE", "not supported yet"},
    {"--prune-channels", LATER, 0, BUILDS, "SHARE", "not supported yet"},
    {"--low-rank", LATER, 0, BUILDS, "SHARE", "not supported yet"},
    {"--input", PAIR, AT(inputs), TN_RUN | TN_BENCH, "NAME=FILE.npy", "value of an input"},
    {"--inputs", TEXT, AT(inputs_dir), TN_RUN | TN_BENCH, "DIR", "folder with input_N.npy or input_N.pb"},
    {"--output-dir", TEXT, AT(output_dir), TN_RUN, "DIR", "where output_N.npy go (default: only printed)"},
    {"--rtol", REAL, AT(rtol), TN_VERIFY, "X", "relative tolerance (default 1e-3; 16-bit floats 2e-2)"},
    {"--atol", REAL, AT(atol), TN_VERIFY, "X", "absolute tolerance (default: 1e-4 of the largest magnitude)"},
    {"--per-node", FLAG, AT(per_node), TN_VERIFY, NULL,
     "compare every kernel with its definition; name the first that differs"},
    {"--runner", TEXT, AT(runner), TN_VERIFY, "COMMAND",
     "runs the program that --target made: 'qemu-aarch64 -L /usr/aarch64-linux-gnu'"},
    {"--runs", NUMBER, AT(runs), TN_BENCH, "N", "timed runs (default: for about a second)"},
    {"--json", FLAG, AT(json), TN_COMPILE | TN_BENCH | TN_INSPECT, NULL, "print one JSON object"},
    {"--print-after", LIST, AT(print_after), BUILDS, "PASS,..", "print the IR after passes (or: all)"},
    {"--stop-after", TEXT, AT(stop_after), TN_COMPILE, "PASS", "stop after a pass; use with --emit=ir"},
    {"--disable", LIST, AT(disable), BUILDS, "PASS,..", "leave passes out"},
    {"--time-passes", FLAG, AT(time_passes), BUILDS, NULL, "print what each pass took"},
    {"--verify-each", FLAG, AT(verify_each), BUILDS, NULL, "check the IR after each pass"},
    {"--help", HELP, 0, BUILDS | TN_INSPECT, NULL, "this text"},
#undef AT
};

static const struct {
  const char *name;
  enum tn_command command;
  const char *usage, *doc;
} commands[] = {
    {"compile", TN_COMPILE, "tenon compile MODEL -o FILE [options]",
     "Writes the object and, beside it, the C header; prints what they take of flash and RAM."},
    {"run", TN_RUN, "tenon run MODEL --input NAME=FILE.npy ... [--output-dir DIR]",
     "Compiles in memory for this machine and runs once."},
    {"verify", TN_VERIFY, "tenon verify MODEL DIR... [options]",
     "Runs each test vector folder and compares; exits with 1 on a mismatch."},
    {"bench", TN_BENCH, "tenon bench MODEL [--runs N] [--json]",
     "Times the compiled model on this machine, as a whole and kernel by kernel."},
    {"inspect", TN_INSPECT, "tenon inspect MODEL [--json]",
     "Tells inputs, outputs, operators, parameters, and everything that is not supported."},
};

void tn_print_help(enum tn_command command) {
  if (!command) {
    printf("tenon %s: compiles a neural network (ONNX) to one object file and a C header (LLVM %s)\n\n",
           TENON_VERSION, tn_llvm_version());
    for (size_t i = 0; i < TN_COUNT(commands); i++)
      printf("  %-62s\n      %s\n", commands[i].usage, commands[i].doc);
    printf("\ntenon COMMAND --help lists the options of a command.\n"
           "Exit status: 0 good; 1 the input or the options are at fault; 2 bad usage; 70 a bug in Tenon.\n");
    return;
  }
  for (size_t i = 0; i < TN_COUNT(commands); i++)
    if (commands[i].command == command)
      printf("usage: %s\n\n%s\n\n", commands[i].usage, commands[i].doc);
  for (size_t i = 0; i < TN_COUNT(table); i++)
    if (table[i].commands & command) {
      char left[64];
      snprintf(left, sizeof left, "%s%s%s", table[i].name,
               table[i].value ? table[i].name[1] == '-' ? "=" : " " : "", table[i].value ? table[i].value : "");
      printf("  %-28s %s\n", left, table[i].doc);
    }
}

static int usage_error(tn_ctx *ctx, const char *format, const char *what) {
  fprintf(stderr, "tenon: ");
  fprintf(stderr, "%s", tn_printf(tn_ctx_arena(ctx), "%s '%s'", format, what));
  fprintf(stderr, "; see tenon --help\n");
  return TN_EXIT_USAGE;
}

static void add_list(tn_arena *arena, void *field, const char *text) {
  TN_VEC(const char *) *list = field;
  char *copy = tn_strdup(arena, text), *save = NULL;
  for (char *t = strtok_r(copy, ",", &save); t; t = strtok_r(NULL, ",", &save))
    TN_PUSH(arena, list, t);
}

static int set_option(tn_ctx *ctx, struct tn_options *o, const struct option *row, const char *value) {
  tn_arena *arena = tn_ctx_arena(ctx);
  void *field = (char *)o + row->offset;
  char *end = NULL;
  switch (row->kind) {
  case TEXT:
    *(const char **)field = value;
    break;
  case LIST:
    add_list(arena, field, value);
    break;
  case PAIR: {
    const char *equals = strrchr(value, '='); /* names may hold '=', values do not */
    if (!equals || equals == value || !equals[1])
      return usage_error(ctx, tn_printf(arena, "%s wants %s, not", row->name, row->value), value);
    TN_VEC(struct tn_pair) *list = field;
    struct tn_pair pair = {tn_strndup(arena, value, (size_t)(equals - value)), equals + 1};
    for (size_t i = 0; i < list->count; i++)
      if (!strcmp(list->at[i].name, pair.name))
        return usage_error(ctx, tn_printf(arena, "%s is given twice for", row->name), pair.name);
    TN_PUSH(arena, list, pair);
    break;
  }
  case NUMBER: {
    long n = strtol(value, &end, 10);
    if (*end || n < 1 || n > 1000000000)
      return usage_error(ctx, tn_printf(arena, "%s wants a number from 1 up, not", row->name), value);
    *(int *)field = (int)n;
    break;
  }
  case REAL:
    *(double *)field = strtod(value, &end);
    if (*end || !(*(double *)field >= 0))
      return usage_error(ctx, tn_printf(arena, "%s wants a number >= 0, not", row->name), value);
    break;
  case FLAG:
    *(bool *)field = true;
    break;
  case LEVEL:
    o->small = row->offset == 4;
    o->opt = row->offset == 4 ? 2 : (int)row->offset;
    break;
  case LATER:
    tn_report(ctx, TN_ERROR, (struct tn_where){0}, "%s is not supported yet; leave it out", row->name);
    return TN_EXIT_INPUT;
  case HELP:
    o->help = true;
    break;
  }
  return -1;
}

/* The row that the argument names; *value is set for --name=VALUE. */
static const struct option *find_option(const char *arg, unsigned command, const char **value) {
  const char *equals = arg[1] == '-' ? strchr(arg, '=') : NULL;
  size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
  *value = equals ? equals + 1 : NULL;
  for (size_t i = 0; i < TN_COUNT(table); i++)
    if ((table[i].commands & command) && strlen(table[i].name) == length &&
        !strncmp(table[i].name, arg, length))
      return &table[i];
  return NULL;
}

static bool is_identifier(const char *name) {
  const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
  return *name && strchr(letters, *name) && !name[length];
}

int tn_options_parse(tn_ctx *ctx, int argc, char **argv, struct tn_options *o) {
  tn_arena *arena = tn_ctx_arena(ctx);
  *o = (struct tn_options){.opt = 3, .threads = 1, .rtol = -1, .atol = -1};
  if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
    tn_print_help(0);
    return argc < 2 ? TN_EXIT_USAGE : TN_EXIT_OK;
  }
  if (!strcmp(argv[1], "--version")) {
    printf("tenon %s (LLVM %s)\n", TENON_VERSION, tn_llvm_version());
    return TN_EXIT_OK;
  }
  for (size_t i = 0; i < TN_COUNT(commands); i++)
    if (!strcmp(argv[1], commands[i].name))
      o->command = commands[i].command;
  if (!o->command)
    return usage_error(ctx, "there is no command", argv[1]);
  for (int i = 2; i < argc; i++) {
    if (argv[i][0] != '-' || !argv[i][1]) {
      if (!o->model)
        o->model = argv[i];
      else if (o->command == TN_VERIFY)
        TN_PUSH(arena, &o->folders, argv[i]);
      else
        return usage_error(ctx, "one model is compiled at a time; what is", argv[i]);
      continue;
    }
    const char *value;
    const struct option *row = find_option(argv[i], o->command, &value);
    if (!row)
      return usage_error(ctx, "this command has no option", argv[i]);
    if (row->value && !value) {
      if (i + 1 == argc)
        return usage_error(ctx, tn_printf(arena, "%s wants a value after", row->value), argv[i]);
      value = argv[++i];
    } else if (!row->value && value) {
      return usage_error(ctx, "no value belongs after", row->name);
    }
    int status = set_option(ctx, o, row, value);
    if (status >= 0)
      return status;
  }
  if (o->help) {
    tn_print_help(o->command);
    return TN_EXIT_OK;
  }
  if (!o->model)
    return usage_error(ctx, "which model? A file name belongs after", argv[1]);
  if (o->command == TN_VERIFY && !o->folders.count)
    return usage_error(ctx, "which test vectors? Folders belong after", o->model);
  if (o->weights_file && o->weights_section)
    return usage_error(ctx, "--weights-section has no meaning with --weights-file, which puts them in",
                       o->weights_file);
  if (o->name && !is_identifier(o->name))
    return usage_error(ctx, "--name wants a C identifier, not", o->name);
  if (o->threads > MAX_THREADS)
    return usage_error(ctx, tn_printf(arena, "--threads is at most %d, not", MAX_THREADS),
                       tn_printf(arena, "%d", o->threads));
  return -1;
}
