/* The parts of the simulator, each its own file: tissue, genes, spreading, dealing out. Arrays over cells are row-major
 * over the lattice (not slide order), replicated on all ranks. */
#ifndef SIMULATE_PARTS_H
#define SIMULATE_PARTS_H

#include "monge/rng.h"
#include "monge/simulate.h"

/* ---- tissue (simulate_tissue.c) ---- */
enum { N_DOMAINS = 5 };
struct sim_tissue {
    int64_t n, rows, cols;
    bool hex;
    double *x, *y; /* n: position, pitches */
    uint8_t *kind; /* n: enum site_kind */
    int64_t n_tissue;
    int64_t *tissue;        /* n_tissue: cells, ascending */
    int8_t *domain;         /* n: 0 .. N_DOMAINS - 1; -1 outside tissue */
    double *size_factor;    /* n */
    double *efficiency;     /* n: share of arriving molecules that is captured, <= 1 */
    double mean_efficiency; /* over tissue */
    double side;            /* sqrt(rows x cols) */
};
status sim_tissue_new(struct sim_tissue *tissue, const struct simulate_options *options);
void sim_tissue_free(struct sim_tissue *tissue);
/* A grey picture of the tissue; spatial coordinates are micrometres, `um_per_pitch` of them per pitch. */
status sim_tissue_image(const struct sim_tissue *tissue, uint64_t seed, double um_per_pitch, struct slide_image *image);

/* ---- genes (simulate_gene.c) ---- */
struct sim_gene {
    int64_t index;
    enum gene_kind kind;
    int marker_domain; /* -1: none */
    double base;       /* expected count per spot, depth included */
    double sigma, beta, uniform_weight;
};
struct sim_gene sim_gene_draw(const struct simulate_options *options, int64_t index);

/* truth [n cells] <- counts at their origin. `work`: n doubles. */
status sim_gene_truth(const struct sim_gene *gene, const struct sim_tissue *tissue, const struct simulate_options *options, double *work,
                      int32_t *truth);

/* ---- spreading (simulate_spread.c) ---- */
/* Offsets on the lattice with probabilities, drawn by Walker's alias method. */
struct sim_offsets {
    int n;
    int32_t *row, *col[2]; /* col: for even and for odd rows */
    double *threshold;
    int32_t *alias;
};
typedef double (*offset_weight)(double dx, double dy, const void *parameters);
status sim_offsets_new(struct sim_offsets *offsets, bool hex, double radius, offset_weight weight, const void *parameters);
void sim_offsets_free(struct sim_offsets *offsets);

/* seen [n cells] <- where the molecules of truth are captured. `tail`: offsets of the exponential part, shared by all genes. */
status sim_spread_tail(struct sim_offsets *tail, const struct sim_tissue *tissue, const struct simulate_options *options);
status sim_gene_spread(const struct sim_gene *gene, const struct sim_tissue *tissue, const struct simulate_options *options,
                       const struct sim_offsets *tail, const int32_t *truth, int32_t *seen);

/* ---- dealing out (simulate_deal.c) ---- */
/* Columns come in gene by gene, round by round: in a round every rank has DEAL_GENES genes (fewer in the last), rank 0 the lowest. */
enum { DEAL_GENES = 8 };
struct sim_entry {
    int32_t site; /* global while collected, local to the receiver when sent */
    float count;
};
struct sim_deal {
    const struct partition *sites;
    int64_t n_genes;
    struct sim_entry *out; /* this round's entries: by own gene, then by site */
    int64_t out_start[DEAL_GENES + 1], out_capacity;
    int out_genes;
    int64_t n_rounds, rounds_capacity;
    struct sim_round {
        struct sim_entry *entry; /* by gene, then by site */
        int64_t *start;          /* size x DEAL_GENES + 1 */
    } * rounds;
};
void sim_deal_start(struct sim_deal *deal, const struct partition *sites, int64_t n_genes);
/* Adds a gene of this rank to the present round: count [n cells], cell [n sites]. */
status sim_deal_add(struct sim_deal *deal, const int32_t *count, const int64_t *cell);
/* Collective over sites->comm: exchanges the round. `mine`: this rank's state so far; all ranks get the first error. */
status sim_deal_round(struct sim_deal *deal, status mine);
/* All rounds become rows of own sites. */
status sim_deal_rows(struct sim_deal *deal, struct sparse_rows *rows);
void sim_deal_free(struct sim_deal *deal);

#endif
