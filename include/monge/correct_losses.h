/* The losses of lateral-diffusion correction and their adjoints (docs/correct.md, "Losses"), on corrected fields x-hat dealt over the
 * process grid:
 *
 *   total = w_image L_image + w_out L_out + w_moran L_moran + w_fit L_fit
 *   L_image  of E = log1p(sum_g x-hat_g) / s_E on the raster against the grey stain, or the mean over genes of the same per gene
 *   L_out    share of sum x-hat outside tissue
 *   L_moran  - mean_g I_g, or one of the guarded forms below
 *   L_fit    mean_g KL(a_g || f_g / sum f_g), a_g = x_g / T_g the observed histogram, f the forward field
 *
 * Use: losses_new; for every evaluation losses_begin, losses_add for each own batch, losses_finish; then losses_adjoint per batch. Sums
 * have the same bits on any grid. */
#ifndef MONGE_CORRECT_LOSSES_H
#define MONGE_CORRECT_LOSSES_H

#include "monge/exact_sum.h"
#include "monge/gene_counts.h"
#include "monge/image_loss.h"
#include "monge/moran.h"

enum moran_form {
    MORAN_REWARD, /* - I_g: the seed's; rewards blur */
    MORAN_LIMIT,  /* - min(I_g, I_g of the input): no reward above the input's own */
    MORAN_TARGET  /* (I_g - I_g of a reference)^2; in this and the one above a gene whose reference is NaN counts nothing */
};

struct loss_weights {
    double image, out, moran, fit;
    enum moran_form moran_form;
    bool image_per_gene;
};

struct correct_losses {
    double image, ssim, gradient, tv; /* NaN without a stain */
    double out, out_raw;              /* share and counts outside tissue */
    double moran, mean_index;         /* the term, and mean_g I_g */
    double fit;
    double total;
};

enum { LOSS_SCALARS = 4 }; /* sums over genes: Moran's term, index, fit, image */

struct losses {
    const struct slide *slide;
    const struct partition *sites; /* over the spot communicator */
    MPI_Comm gene_comm;
    struct loss_weights weights;
    struct moran_graph moran;
    int64_t n_genes; /* in all gene groups */
    struct raster raster;
    double *stain;        /* rows x cols, or NULL */
    double log_scale;     /* s_E */
    double *outside;      /* own sites: 1 background, 0 elsewhere */
    struct array_sum sum; /* total field of this evaluation, own sites */
    double *total_field;  /* own sites */
    double *total_bar;    /* own sites: d (w_image L_image) / d total field */
    double mass, out;     /* sum x-hat, and the share of it outside tissue */
    struct exact scalar[LOSS_SCALARS];
    double bound;  /* of a batch's field, for the exact sum */
    double *whole; /* scratch: 2 whole fields and 2 rasters */
};

/* Collective over sites->comm and gene_comm. stain [n_sites] replicated (raster_stain), or NULL: no image term. input_total [own
 * sites]: counts of all genes, gives s_E. n_genes: genes of all groups. */
status losses_new(struct losses *losses, const struct slide *slide, const struct partition *sites, MPI_Comm gene_comm, int64_t n_genes,
                  const struct loss_weights *weights, const double *stain, const double *input_total);
void losses_free(struct losses *losses);

/* What a batch brings besides x-hat; members may be NULL where the weights do not need them. */
struct loss_batch {
    int lanes, n_genes;            /* lanes >= n_genes are padding, ignored */
    const double *corrected;       /* own sites x lanes */
    const double *observed;        /* own sites x lanes, x: L_fit */
    const double *forward;         /* own sites x lanes, f: L_fit */
    const double *moran_reference; /* n_genes: input's or reference's index; NULL for MORAN_REWARD */
    const double *log_scale;       /* n_genes: s_E of each gene; image_per_gene only */
};

status losses_begin(struct losses *losses);

/* Collective over sites->comm (every gene group adds its own batches, in any order). */
status losses_add(struct losses *losses, const struct loss_batch *batch);

/* Collective over sites->comm and gene_comm. */
status losses_finish(struct losses *losses, struct correct_losses *result);

/* Collective over sites->comm, after losses_finish: d total / d corrected and d total / d forward (own sites x lanes, overwritten;
 * forward_bar may be NULL). */
status losses_adjoint(struct losses *losses, const struct loss_batch *batch, double *corrected_bar, double *forward_bar);

#endif
