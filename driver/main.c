/* The tenon command: parses, dispatches, prints diagnostics, turns what went wrong into an exit status. */
#include "driver/driver.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void put(const char *text) {
  ssize_t n = write(2, text, strlen(text));
  (void)n;
}

/* Async-signal-safe: says where Tenon was. */
static void on_crash(int signal) {
  (void)signal;
  put("\ntenon: internal error: a crash in ");
  put(tn_progress.pass ? tn_progress.pass : "start-up");
  if (tn_progress.node) {
    put(" at node '");
    put(tn_progress.node);
    put("'");
  }
  put("; this is a bug in Tenon\n");
  _exit(TN_EXIT_BUG);
}

struct call {
  tn_ctx *ctx;
  const struct tn_options *options;
};

static bool dispatch(void *user) {
  struct call *c = user;
  switch (c->options->command) {
  case TN_COMPILE:
    return tn_command_compile(c->ctx, c->options);
  case TN_RUN:
    return tn_command_run(c->ctx, c->options);
  case TN_VERIFY:
    return tn_command_verify(c->ctx, c->options);
  case TN_BENCH:
    return tn_command_bench(c->ctx, c->options);
  case TN_INSPECT:
    return tn_command_inspect(c->ctx, c->options);
  }
  return false;
}

struct parse {
  tn_ctx *ctx;
  int argc, status;
  char **argv;
  struct tn_options options;
};

static bool parse(void *user) {
  struct parse *p = user;
  p->status = tn_options_parse(p->ctx, p->argc, p->argv, &p->options);
  return true;
}

int main(int argc, char **argv) {
  signal(SIGSEGV, on_crash);
  signal(SIGBUS, on_crash);
  signal(SIGABRT, on_crash);
  signal(SIGFPE, on_crash);
  signal(SIGILL, on_crash);
  signal(SIGXFSZ, SIG_IGN); /* a file that gets too large is an error of write() */
  tn_ctx *ctx = tn_ctx_create(NULL);
  if (!ctx) {
    put("tenon: error: out of memory\n");
    return TN_EXIT_INPUT;
  }
  struct parse p = {.ctx = ctx, .argc = argc, .argv = argv};
  int status = tn_guard(ctx, parse, &p) ? p.status : TN_EXIT_INPUT;
  if (status < 0) {
    struct call c = {ctx, &p.options};
    status = tn_guard(ctx, dispatch, &c) ? TN_EXIT_OK : TN_EXIT_INPUT;
  }
  tn_print_diags(ctx, 0);
  if (tn_diag_count(ctx, TN_BUG))
    status = TN_EXIT_BUG;
  tn_ctx_destroy(ctx);
  if (fflush(stdout) != 0 || ferror(stdout)) {
    put("tenon: error: standard output cannot be written\n");
    status = status ? status : TN_EXIT_INPUT;
  }
  return status;
}
