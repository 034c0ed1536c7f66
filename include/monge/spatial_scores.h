/* Scores of a map of labels in space, without a truth. Low disorder is no merit by itself (one single domain scores best): read them beside the same
 * scores of a reference, and beside `coherence_chance`.
 *
 *   coherence   mean over spots and their k nearest others of [same label]
 *   CHAOS       z-scored coordinates; sum of distances to the nearest spot of the same label, over N; lower is smoother (Shang & Zhou 2022)
 *   PAS         share of spots of whose k nearest others more than half have another label; lower is smoother (same source)
 *   Moran's I   of the indicator of each label, weights 1 on the directed graph of k nearest others: (N / W) sum w_ij z_i z_j / sum z_i^2
 *
 * All but CHAOS are ratios of counts; CHAOS is an exact sum: the same bits on any number of ranks. */
#ifndef MONGE_SPATIAL_SCORES_H
#define MONGE_SPATIAL_SCORES_H

#include <stdint.h>

#include "monge/error.h"
#include "monge/nearest_spots.h"

struct spatial_scores_options {
    int coherence_k; /* 6 */
    int pas_k;       /* 10 */
    int moran_k;     /* 6 */
};
struct spatial_scores_options spatial_scores_defaults(void);
int spatial_scores_reach(const struct spatial_scores_options *options); /* the longest list that is needed */

struct spatial_scores {
    int64_t n;    /* spots with a label */
    int n_labels; /* labels in use */
    double coherence;
    double coherence_chance; /* sum_k (n_k / N)^2: what the same numbers of spots have if strewn at random */
    double chaos;
    double pas;
    double moran_mean; /* over labels in use that are not all spots; NAN without one */
};

/* Collective over spots->rows->comm. x, y, part: as for nearest_spots_new, as is `spots` for lists of length spatial_scores_reach() or more among the labelled
 * rows. label: own rows, 0 .. k - 1, negative: not scored (must be the rows that `spots` leaves out). moran [k] or NULL: NAN for a label that no or every
 * spot has. CHAOS scales each part by itself. */
status spatial_scores(const struct nearest_spots *spots, const double *x, const double *y, const int32_t *part, int k, const int32_t *label,
                      const struct spatial_scores_options *options, struct spatial_scores *scores, double *moran);

/* The same with lists made for the occasion: rows with a negative label are removed first. */
status spatial_scores_of(const struct partition *rows, const double *x, const double *y, const int32_t *part, int k, const int32_t *label,
                         const struct spatial_scores_options *options, struct spatial_scores *scores, double *moran);

#endif
