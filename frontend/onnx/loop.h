/* Loops of tensor IR for the mappings that iterate (Loop, Scan, LSTM, TreeEnsemble, ...). */
#ifndef TENON_FRONTEND_ONNX_LOOP_H
#define TENON_FRONTEND_ONNX_LOOP_H

#include "frontend/onnx/common.h"

struct tn_onnx_loop {
  struct tn_node *node;  /* not in the graph before the loop is closed */
  struct tn_graph *body; /* inputs: iteration, condition, carried... */
  struct tn_build b;     /* where the body's nodes go */
  val iteration;         /* i64, rank 0 */
  val cond;              /* bool, rank 0 */
};

/* Opens a loop that carries `carried` values, starting with initial[], and stacks `scanned` ones.  trip: i64 of
 * rank 0; cond: bool of rank 0; inside[carried] receives what stands for the carried values in the body. */
void tn_onnx_loop_open(struct tn_onnx_node *n, val trip, val cond, int carried, val *initial, int scanned,
                       struct tn_onnx_loop *loop, val *inside);
/* The same for a trip count that is known and no condition. */
void tn_onnx_loop_count(struct tn_onnx_node *n, int64_t trip, int carried, val *initial, int scanned,
                        struct tn_onnx_loop *loop, val *inside);
/* Ends the body: cond NULL is what the body was given, next[carried] are the carried values of the next
 * iteration, scans[scanned] what is stacked along a new dim 0, whose extent is `trip` (-1: not known, then
 * nothing is stacked).  results[carried + scanned], or leaves. */
void tn_onnx_loop_close(struct tn_onnx_node *n, struct tn_onnx_loop *loop, int64_t trip, val cond, int carried,
                        val *next, int scanned, val *scans, val *results);

/* Takes back a region of a node that was not inserted: the values around it that its nodes use forget them. */
void tn_onnx_abandon(struct tn_onnx_node *n, struct tn_graph *region);

/* The element of dim `axis` at a position, which leaves the shape; at: integer of rank 0, in -extent..extent-1.
 */
val tn_onnx_element(struct tn_build *b, val x, val at, int axis);
/* xs[count] along a new dim `axis`. */
val tn_onnx_stack(struct tn_build *b, int axis, size_t count, val *xs);
/* The order of dim `axis` reversed. */
val tn_onnx_reverse(struct tn_onnx_node *n, val x, int axis);

#endif
