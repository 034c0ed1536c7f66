/* Lateral-diffusion correction: the options of the step (docs/correct.md). */
#ifndef MONGE_CORRECT_H
#define MONGE_CORRECT_H

#include "monge/step.h"

enum { FORMULATION_MAP, FORMULATION_SEED };
enum { STRENGTH_AUTO, STRENGTH_FULL, STRENGTH_CAUTIOUS };
enum { SWITCH_AUTO, SWITCH_YES, SWITCH_NO };
enum { PRECISION_AUTO, PRECISION_SINGLE, PRECISION_DOUBLE };
enum { READOUT_PLAN, READOUT_EXPOSURE };

#define OPTION_UNSET INT64_MIN /* an integer option that is chosen from the data */

struct correct_options {
    int formulation;
    char *kernel; /* "mixture", "mlp" or a file */
    int64_t rank;
    double alpha, gene_weights, rho;
    double prior_trend; /* pitches; 0: off, NaN: chosen */
    int gene_length;    /* SWITCH_AUTO: by thinning */
    int64_t sweeps;
    int64_t seed;
    int strength;
    double beta_scale;
    double capture_sd;
    int64_t steps;
    double min_total;
    int readout;
    double radius;
    struct option_reals kernel_dictionary;
    int64_t selection_genes;
    int64_t calibration_sites;
    int mean_layer;
    int precision;
    char *grid; /* "GxS" */
    int64_t pca;
    char *reference;
    double reference_omega;
    int seed_sources;      /* seed formulation: all spots or tissue */
    int64_t seed_training; /* seed formulation: Adam steps */
};

extern const struct option_table correct_options;

#endif
