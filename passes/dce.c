/* Dead code elimination.  No op has an effect beside its results, so a node without users may go, loops too. */
#include "passes/passes.h"

bool tn_pass_dce(struct tn_pass *pass, struct tn_module *module) {
  tn_remove_dead(pass, module);
  return true;
}
