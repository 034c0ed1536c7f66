/* Slice alignment by fused Gromov-Wasserstein transport: the options of the step (docs/align.md).
 *
 * The step works on a stack (section.h: several sections read into one). It leaves, for every spot, the coordinates in the common frame
 * (obsm/spatial_aligned, in units of the first section's obsm/spatial) and the mass that the plans gave it (obs/align_mass), and for every
 * pair the plan, the transform, the objective and what it is worth (uns/monge/align/pair_K). Zeira et al. 2022 (PASTE); Liu et al. 2023
 * (PASTE2). */
#ifndef MONGE_ALIGN_H
#define MONGE_ALIGN_H

#include "monge/step.h"

enum { ALIGN_PAIRWISE, ALIGN_CENTER, ALIGN_PARTIAL };
enum { ALIGN_KL, ALIGN_GKL, ALIGN_EUCLIDEAN, ALIGN_PCA, ALIGN_GLMPCA };
enum { ALIGN_SOLVER_AUTO, ALIGN_SOLVER_DENSE, ALIGN_SOLVER_SCALABLE };
enum { ALIGN_COMPAT_NONE, ALIGN_COMPAT_DIFFBIO };
enum { ALIGN_GW_EUCLIDEAN, ALIGN_GW_SQUARED };
enum { ALIGN_START_SEARCH, ALIGN_START_UNIFORM, ALIGN_START_SPATIAL };

struct align_options {
    int mode;
    double alpha;
    int gw_cost;
    double overlap; /* NAN: chosen */
    int dissimilarity;
    double pseudocount;
    double histology;
    bool allow_reflection;
    int solver, start;
    double min_gene_counts, min_spot_counts;
    double unit; /* length that counts as 1; NAN: the median nearest-neighbour distance */
    double radius, eps, tol;
    int64_t landmark_rank, landmarks, max_outer;
    int polish;
    int64_t center; /* section whose spots the centre has */
    int64_t center_rank, center_rounds;
    char *labels, *truth; /* obs columns */
    int compat;           /* another program's operator instead, for comparison */
    int64_t seed;
};

extern const struct option_table align_options;

#endif
