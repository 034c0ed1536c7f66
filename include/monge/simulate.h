/* Simulated sections with known truth (docs/correct.md, "Simulator"): what every accuracy figure of monge is measured on.
 *
 * A wobbly ellipse of tissue on a hexagonal or square lattice, five domains, genes of four kinds (of every eight: five markers of a
 * domain, one gradient, one of small foci, one housekeeping gene), Gamma(4)-Poisson counts; each molecule then moves by the
 * diffusion kernel of include/monge/kernel.h and may be lost to capture noise. */
#ifndef MONGE_SIMULATE_H
#define MONGE_SIMULATE_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/options.h"
#include "monge/section.h"

enum simulate_lattice { SIMULATE_HEX, SIMULATE_SQUARE };
enum simulate_spread { SPREAD_GAUSSIAN, SPREAD_STUDENT };
enum simulate_region { REGION_ALL, REGION_TISSUE, REGION_BACKGROUND };
enum gene_kind { GENE_MARKER, GENE_GRADIENT, GENE_FOCI, GENE_HOUSEKEEPING };

struct simulate_options {
    int lattice; /* enum simulate_lattice */
    int64_t rows, cols, genes, seed;
    double depth;
    bool domains;
    bool null;
    double beta, sigma, sigma_spread, tail_weight, tail_length, uniform_weight, permeability;
    int spread; /* enum simulate_spread */
    double student_df, anisotropy;
    double gene_beta_spread, gene_uniform_spread;
    double capture_sd;
    int capture_region; /* enum simulate_region */
    double capture_smooth;
    double gene_noise;
    char *slice_of; /* NULL: a section of its own; else a second slice of that file (simulate_slice.h), and only the members below serve */
    double rotate, shift_x, shift_y;
    int64_t bends;
    double bend, bend_width, jitter, drop, pseudocount;
    bool snap;
};
extern const struct option_table simulate_options; /* of struct simulate_options */

/* Collective over comm. Fills an empty section: counts as seen; `layers/truth`: counts where they came from; obs in_tissue, array_row,
 * array_col, domain (-1 outside tissue), capture (share of arriving molecules kept); var kind, marker_domain (-1: none), sigma, beta,
 * uniform_weight; uns/monge/simulate: options, mean_efficiency (mean share kept over tissue; expected counts without
 * diffusion are truth x mean_efficiency), molecules, outside_share; a grey image. The same bits on any number of ranks. On error the section is
 * empty. */
status simulate_section(struct section *section, MPI_Comm comm, const void *options);

/* Local. The size of the section that simulate_section makes, about: every second entry is taken as above zero. */
struct section_size simulate_size(const void *options);

#endif
