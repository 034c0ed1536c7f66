/* How far the picture of expression is from the picture of the stain (docs/correct.md, "Losses"):
 *
 *   L = (1 - SSIM(E, I)) + mean(|dx(E - I)| + |dy(E - I)|) + |TV(E) - TV(I)|,   TV(A) = mean(|dx A| + |dy A|)
 *
 * SSIM after Wang et al. 2004: Gaussian window 7, sigma 1.5, valid region, C1 = 1e-4, C2 = 9e-4. Forward differences, zero at the far
 * edge. No communication; plain sums in pixel order. */
#ifndef MONGE_IMAGE_LOSS_H
#define MONGE_IMAGE_LOSS_H

#include "monge/raster.h"

enum { SSIM_WINDOW = 7 };

struct image_loss {
    double ssim, gradient, tv, total; /* total = (1 - ssim) + gradient + tv */
};

/* expression, stain: rows x cols. adjoint (rows x cols, overwritten; may be NULL): d total / d expression. MONGE_BAD_DATA if the
 * raster is smaller than the window. */
status image_loss_evaluate(struct raster raster, const double *expression, const double *stain, struct image_loss *loss, double *adjoint);

#endif
