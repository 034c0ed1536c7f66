/* Scores of a correction that need a gene's whole field at once (docs/correct.md, "Simulator"); they join those of score_correction.h.
 *
 *   auc   of a marker gene: chance that a tissue spot of its domain holds more than one outside it, ties half (Mann & Whitney 1947)
 *   l2fc  of a marker gene: log2 of mean + .01 in its domain over mean + .01 in the rest of the tissue
 *   sw1   of every 4th gene: sliced 1-Wasserstein distance of its histogram to the truth's, whole slide, in pitches, mean over 8
 *         directions (Rabin et al. 2011)
 *
 * NaN where not given. A lane at a time goes to one rank, which sums in site order: same bits on any number of ranks. */
#ifndef MONGE_WHOLE_SCORE_H
#define MONGE_WHOLE_SCORE_H

#include "monge/partition.h"
#include "monge/score_correction.h"
#include "monge/slide.h"

enum { SCORE_DIRECTIONS = 8, SCORE_EVERY = 4, SCORE_FIELDS = 3 };

struct ranked_site {
    double value;
    int32_t tag;
};

struct whole_score {
    const struct slide *slide;
    const struct partition *sites;
    int lanes; /* of a batch, at most */
    int64_t n_genes;
    const double *marker_domain;       /* n_genes: domain, negative: no marker; NULL: no domains */
    double *domain;                    /* n_sites; NULL: no domains */
    int64_t n_placed;                  /* sites with a spot */
    int32_t *order[SCORE_DIRECTIONS];  /* n_placed: sites along a direction; NULL on ranks that get no such gene */
    float *gap[SCORE_DIRECTIONS];      /* n_placed: from this site to the next along it, pitches */
    struct ranked_site *ranked;        /* n_sites, scratch */
    double *leaving, *whole, *outcome; /* own sites x lanes; SCORE_FIELDS x n_sites; results of a batch */
    int *count;                        /* 4 x ranks: sent, to, received, from */
    int *wanted;                       /* lanes */
};

/* Collective over sites->comm. slide, sites and marker_domain must outlive the scorer. own_domain [own sites] and marker_domain
 * [n_genes]: both or neither. */
status whole_score_new(struct whole_score *whole, const struct slide *slide, const struct partition *sites, int lanes, int64_t n_genes,
                       const double *own_domain, const double *marker_domain);
void whole_score_free(struct whole_score *whole);

/* Collective. Fields of genes [first, first + lanes) as score_genes takes them (no counts below zero); fills auc, l2fc, sw1 of score
 * [lanes], same on all ranks. Lanes beyond n_genes are left as they are. */
void whole_score_genes(const struct whole_score *whole, int64_t first, int lanes, const double *truth, const double *raw,
                       const double *corrected, struct gene_score *score);

#endif
