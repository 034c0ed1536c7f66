/* align: lay consecutive sections on each other by fused Gromov-Wasserstein transport.
 *
 *     min over plans T   (1 - alpha) <M, T> + alpha sum_ijkl (|x_i - x_j| - |y_k - y_l|)^2 T_ik T_jl
 *
 * M dissimilarity of expression, x and y places. The plan says which spot goes where; the rigid motion that fits it best moves the
 * section. Modes: pairwise (section k + 1 on section k), center (all on one consensus section W H), partial (sections that overlap in
 * part). Steps: which genes and spots take part; the plans; what they are worth; the stack. docs/align.md. */
#include "monge/align.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/log.h"

#define OPTION(name, type, member, fallback, min, max, choices, unit, help)                                                                \
    {                                                                                                                                      \
        name, type, offsetof(struct align_options, member), fallback, min, max, choices, unit, help                                        \
    }

static const char *const modes[] = {"pairwise", "center", "partial", NULL}, *const solvers[] = {"auto", "dense", "scalable", NULL};
static const char *const dissimilarities[] = {"kl", "gkl", "euclidean", "pca", "glmpca", NULL};
static const char *const gw_costs[] = {"euclidean", "sq", NULL};
static const char *const compats[] = {"none", "diffbio", NULL};
static const char *const starts[] = {"search", "uniform", "spatial", NULL}, *const polishes[] = {"auto", "yes", "no", NULL};

static const struct option options[] = {
    OPTION("mode", OPTION_CHOICE, mode, "pairwise", 0, 0, modes, NULL,
           "pairwise: each section on the one before; center: all on one consensus section; partial: sections that overlap in part"),
    OPTION("alpha", OPTION_REAL, alpha, "0.1", 0, 1, NULL, NULL, "weight of geometry against expression"),
    OPTION(
        "gw-cost", OPTION_CHOICE, gw_cost, "euclidean", 0, 0, gw_costs, NULL,
        "geometry compares distances (euclidean), or their squares (sq, as moscot does; divided by twice the root mean square distance)"),
    OPTION("overlap", OPTION_REAL, overlap, NULL, 1e-3, 1, NULL, NULL,
           "partial: share of the mass that is transported; unset (auto): chosen from the patchiness of the mapped spots"),
    OPTION("dissimilarity", OPTION_CHOICE, dissimilarity, "kl", 0, 0, dissimilarities, NULL,
           "of expression: Kullback-Leibler (kl, and unnormalised gkl), squared Euclidean, distance of principal components or GLM-PCA "
           "factors"),
    OPTION("pseudocount", OPTION_REAL, pseudocount, "0.01", 1e-9, 1e6, NULL, "counts", "added to every count before kl and gkl"),
    OPTION("histology", OPTION_REAL, histology, "0", 0, 1, NULL, NULL,
           "weight of the image's colours under the spots against expression (PASTE2: 0.5); needs sections with images"),
    OPTION("allow-reflection", OPTION_BOOL, allow_reflection, "false", 0, 0, NULL, NULL, "let sections be mirrored"),
    OPTION("solver", OPTION_CHOICE, solver, "auto", 0, 0, solvers, NULL,
           "dense: all pairs of spots, exact; scalable: candidate pairs; auto: dense up to 1500 spots"),
    OPTION("start", OPTION_CHOICE, start, "search", 0, 0, starts, NULL,
           "search: 26 starts of pooled slices; uniform: p q'; spatial: by position without rotation"),
    OPTION("min-gene-counts", OPTION_REAL, min_gene_counts, "15", 0, 1e12, NULL, "counts", "that a gene needs in every section"),
    OPTION("min-spot-counts", OPTION_REAL, min_spot_counts, "100", 0, 1e12, NULL, "counts", "that a spot needs in these genes"),
    OPTION("unit", OPTION_REAL, unit, NULL, 1e-12, 1e12, NULL, "coordinates",
           "length that counts as 1 in distances; unset: the median nearest-neighbour distance"),
    OPTION("radius", OPTION_REAL, radius, "4", 1, 64, NULL, "pitches",
           "scalable: reach of candidate pairs at first; grows where mass presses against it"),
    OPTION("eps", OPTION_REAL, eps, NULL, 1e-9, 1e9, NULL, NULL,
           "scalable: length of proximal steps, in units of the dissimilarity; unset: from its spread"),
    OPTION("tol", OPTION_REAL, tol, "1e-4", 1e-12, 1e-1, NULL, NULL, "scalable: relative marginal error of a step"),
    OPTION("landmark-rank", OPTION_INTEGER, landmark_rank, "32", 2, 256, NULL, NULL, "scalable: rank of the distances"),
    OPTION("landmarks", OPTION_INTEGER, landmarks, "128", 4, 4096, NULL, NULL, "scalable: landmarks they are computed from"),
    OPTION("max-outer", OPTION_INTEGER, max_outer, "50", 1, 100000, NULL, NULL, "scalable: steps at full resolution at most"),
    OPTION("polish", OPTION_CHOICE, polish, "auto", 0, 0, polishes, NULL, "scalable: exact steps at the end; auto: below 3e4 spots"),
    OPTION("center", OPTION_INTEGER, center, "0", 0, 100000, NULL, NULL, "center: section whose spots the consensus has, counted from 0"),
    OPTION("center-rank", OPTION_INTEGER, center_rank, "15", 1, 1000, NULL, NULL, "center: rank of the consensus"),
    OPTION("center-rounds", OPTION_INTEGER, center_rounds, "10", 1, 1000, NULL, NULL, "center: rounds at most"),
    OPTION("labels", OPTION_TEXT, labels, NULL, 0, 0, NULL, NULL, "column of obs whose agreement is scored"),
    OPTION("truth", OPTION_TEXT, truth, NULL, 0, 0, NULL, NULL,
           "column of obs with the true partner: the row of the spot in the section before"),
    OPTION("compat", OPTION_CHOICE, compat, "none", 0, 0, compats, NULL,
           "diffbio: print the published table of that operator for two small slices, or its example file; nothing is written"),
    OPTION("seed", OPTION_INTEGER, seed, "1", 0, 0, NULL, NULL, "seed of all random numbers"),
};

const struct option_table align_options = {
    .verb = "align",
    .summary = "lay consecutive sections on each other",
    .usage = "A B [C ...] -o STACK.h5ad [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct align_options),
};

static void alignment_free(struct alignment *al)
{
    for (int k = 0; k < al->n_pairs && al->pairs; k++)
        align_pair_free(&al->pairs[k]);
    for (int k = 0; k < al->n_slices && al->slices; k++) {
        free(al->slices[k].site);
        free(al->slices[k].position);
        free(al->slices[k].weight);
    }
    for (int k = 0; k < al->n_slices && al->embedding.place; k++)
        free(al->embedding.place[k]);
    free(al->embedding.place);
    free(al->center.w);
    free(al->center.h);
    free(al->center.objective);
    free(al->pairs);
    free(al->slices);
    fgw_search_free(&al->resumed);
    free(al->gene_column);
    free(al->map);
}

/* Which pairs there are: section k + 1 on section k, or every section on the centre. */
static status list_pairs(struct alignment *al)
{
    const struct align_options *o = al->options;
    bool center = o->mode == ALIGN_CENTER;
    if (center && o->center >= al->n_slices)
        return error_set(MONGE_USAGE, "--center: there is no section %lld; there are %d, counted from 0", (long long)o->center,
                         al->n_slices);
    al->n_pairs = al->n_slices - !center;
    al->pairs = calloc((size_t)al->n_pairs, sizeof *al->pairs);
    al->map = calloc((size_t)al->n_slices, sizeof *al->map);
    if (!al->pairs || !al->map)
        return error_memory("pairs", 512.0 * al->n_pairs);
    for (int k = 0; k < al->n_pairs; k++) {
        al->pairs[k].a = center ? (int)o->center : k;
        al->pairs[k].b = center ? k : k + 1;
    }
    return MONGE_OK;
}

static status align_pairs(struct alignment *al)
{
    status fault = MONGE_OK;
    for (int k = 0; k < al->n_pairs && !fault; k++) {
        fault = align_take_up(al, k);
        if (!fault && al->pairs[k].plan.n == 0)
            fault = align_solve_pair(al, &al->pairs[k], NULL);
        if (!fault)
            fault = align_judge(al, &al->pairs[k]);
        if (!fault)
            fault = align_safe_point(al);
    }
    return fault;
}

/* ---- estimates ---- */

/* Of two sections that share the spots evenly; more sections are smaller and come one pair after the other. */
static struct step_cost align_cost(const struct section_size *size, int n_ranks, const void *values)
{
    const double DENSE_SPOTS = 1500.0, CANDIDATES = 45.0, PAIR_BYTES = 90.0, SECONDS_PER_SPOT = 4e-3;
    const struct align_options *o = values;
    double spots = 0.5 * (double)size->n_spots, ranks = n_ranks;
    bool dense = o->mode == ALIGN_PARTIAL || o->solver == ALIGN_SOLVER_DENSE || spots <= DENSE_SPOTS;
    double bytes = CANDIDATES * PAIR_BYTES * spots / ranks + 300.0 * spots + 16.0 * (double)size->n_entries / ranks;
    double seconds = SECONDS_PER_SPOT * spots / ranks;
    if (dense) {
        bytes += (32.0 / ranks + 16.0) * spots * spots;
        seconds += 5e-7 * spots * spots * (o->mode == ALIGN_PARTIAL ? 20.0 : 1.0);
    }
    return (struct step_cost){bytes, seconds};
}

static status align_plan(const struct section *section, const void *values)
{
    int n_ranks, rank;
    MPI_Comm_size(section->comm, &n_ranks);
    MPI_Comm_rank(section->comm, &rank);
    const struct section_size size = section_size(section);
    const struct step_cost cost = align_cost(&size, n_ranks, values);
    if (rank == 0) {
        printf("align\n");
        printf("  memory     about %.0f MB per rank for a pair\n", cost.bytes / 1e6);
        printf("  time       about %.0f s for a pair on these %d ranks (rough)\n", cost.seconds, n_ranks);
        fflush(stdout);
    }
    return MONGE_OK;
}

/* ---- the step ---- */

static status align_run(struct section *section, const void *values)
{
    struct alignment al = {.section = section, .options = values};
    if (align_wants_compat(values))
        return error_set(MONGE_USAGE, "align: --compat prints a table on the command line; it is no step of a job");
    int n_ranks;
    MPI_Comm_size(section->comm, &n_ranks);
    const struct section_size size = section_size(section);
    log_info("align: about %.0f MB on each rank for a pair", align_cost(&size, n_ranks, values).bytes / 1e6);
    phase_begin("slices");
    status fault = align_take_slices(&al);
    if (!fault)
        fault = agree(section->comm, list_pairs(&al));
    if (!fault)
        fault = align_embed(&al);
    phase_begin("plans");
    if (!fault)
        fault = al.options->mode == ALIGN_CENTER ? align_solve_center(&al) : align_pairs(&al);
    phase_begin("record");
    if (!fault) {
        align_stack(&al);
        fault = align_record(&al);
    }
    phase_begin(NULL);
    alignment_free(&al);
    return fault;
}

static const char *const results[] = {"obs/align_mass",  "obsm/align_center_W", "obsm/spatial_aligned",
                                      "uns/monge/align", "varm/align_center_H", NULL};

const struct step step_align = {.options = &align_options,
                                .results = results,
                                .run = align_run,
                                .plan = align_plan,
                                .cost = align_cost,
                                .least_inputs = 2,
                                .most_inputs = 1000,
                                .wants_table = align_wants_compat,
                                .table = align_compat_table};
