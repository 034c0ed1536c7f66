/* From counts to log-normalised values: y_ig = log(1 + target x_ig / sum_g x_ig), sums over all genes (also those that a selection leaves out).
 *
 * A row without counts stays without values. Sparse stays sparse; values are float, computed in double. */
#ifndef MONGE_NORMALISE_H
#define MONGE_NORMALISE_H

#include "monge/section.h"

enum { NORMALISE_TARGET = 10000 }; /* the usual target */

/* total [n_rows]: sum of each row. No communication. */
void normalise_totals(const struct sparse_rows *counts, double *total);

/* rows (to be freed with sparse_rows_free): the columns gene[0 .. n_selected), ascending, as columns 0 .. n_selected - 1; gene NULL: the first
 * n_selected columns. total [n_rows]; target may be any positive number. No communication; only memory can fail. */
status normalise_log(const struct sparse_rows *counts, const double *total, double target, int n_selected, const int32_t *gene,
                     struct sparse_rows *rows);

#endif
