/* The diffusion kernel: what all constructors share, and the two dense ones.
 *
 * Column j of component c is D_i w(d_ij) / n_j with n_j = sum_i D_i w(d_ij) over the whole slide. With a local operator S up to a
 * radius, n_j = (S' D)_j + F_j, F_j the mass beyond, which is spread as D / sum D: columns sum to 1 by construction. */
#include "monge/kernel.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_parts.h"
#include "kernel_stencil.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "radial.h"

void kernel_free(struct kernel *kernel)
{
    kernel_stencil_free(kernel->stencil);
    for (int c = 0; c < KERNEL_MAX_COMPONENTS; c++) {
        spot_operator_free(&kernel->local[c]);
        free(kernel->inverse_norm[c]);
        free(kernel->far_share[c]);
        free(kernel->profile[c]);
    }
    free(kernel->destination);
    free(kernel->source);
    free(kernel->spread);
    memset(kernel, 0, sizeof *kernel);
}

status kernel_check_parameters(const struct kernel_parameters *p)
{
    bool shares =
        p->beta >= 0.0 && p->beta <= 1.0 && p->tail_weight >= 0.0 && p->uniform_weight >= 0.0 && p->tail_weight + p->uniform_weight <= 1.0;
    bool lengths = p->sigma > 0.0 && isfinite(p->sigma) && p->tail_length > 0.0 && isfinite(p->tail_length);
    if (!shares || !lengths || !(p->permeability >= 0.0) || !isfinite(p->permeability))
        return error_set(MONGE_USAGE,
                         "kernel parameters out of range: beta %g (0 to 1), sigma %g and tail length %g (> 0), tail weight %g and uniform "
                         "weight %g (>= 0, sum <= 1), permeability %g (>= 0)",
                         p->beta, p->sigma, p->tail_length, p->tail_weight, p->uniform_weight, p->permeability);
    return MONGE_OK;
}

/* --- common steps ------------------------------------------------------------------------------------------------------- */

static status allocate_sites(struct kernel *kernel)
{
    size_t n = (size_t)kernel->sites->n_own + 1; /* a rank may own nothing */
    kernel->destination = calloc(n, sizeof *kernel->destination);
    kernel->source = calloc(n, sizeof *kernel->source);
    kernel->spread = calloc(n, sizeof *kernel->spread);
    bool complete = kernel->destination && kernel->source && kernel->spread;
    for (int c = 1; c < kernel->n_components - 1; c++) {
        kernel->inverse_norm[c] = calloc(n, sizeof *kernel->inverse_norm[c]);
        complete = complete && kernel->inverse_norm[c];
    }
    return complete ? MONGE_OK : error_memory("the kernel's normalisers", 8.0 * (double)n * (kernel->n_components + 1));
}

status kernel_begin(struct kernel *kernel, const struct slide *slide, const struct partition *sites, double permeability, int n_components)
{
    memset(kernel, 0, sizeof *kernel);
    kernel->slide = slide;
    kernel->sites = sites;
    kernel->n_components = n_components;
    status s = agree(sites->comm, allocate_sites(kernel));
    if (s == MONGE_OK && slide_count(slide, SITE_TISSUE) == 0)
        s = error_set(MONGE_BAD_DATA, "no spot of the slide is in tissue: there is nothing to correct; check obs['in_tissue']");
    if (s == MONGE_OK) {
        const uint8_t *kind = slide->kind + sites->first;
        for (int64_t i = 0; i < sites->n_own; i++) {
            kernel->destination[i] = kind[i] == SITE_TISSUE ? 1.0 : kind[i] == SITE_BACKGROUND ? permeability : 0.0;
            kernel->source[i] = kind[i] == SITE_TISSUE ? 1.0 : 0.0;
        }
        s = exact_field_sum_f64(sites, 1, kernel->destination, NULL, &kernel->destination_sum);
    }
    if (s != MONGE_OK)
        kernel_free(kernel);
    return s;
}

status kernel_normalise(struct kernel *kernel, int component)
{
    const struct spot_operator *local = &kernel->local[component];
    double *norm = kernel->inverse_norm[component], *far = kernel->far_share[component];
    status s = local->adjoint_f64(local, 1, kernel->destination, norm);
    if (s != MONGE_OK)
        return s;
    for (int64_t j = 0; j < kernel->sites->n_own; j++) {
        double total = norm[j] + (far ? far[j] : 0.0);
        if (kernel->source[j] > 0.0 && !(total > 0.0 && isfinite(total)))
            s = error_set(MONGE_BAD_DATA, "the kernel sends nothing, or something not finite, from site %lld; check the kernel matrix",
                          (long long)(kernel->sites->first + j));
        norm[j] = kernel->source[j] > 0.0 ? 1.0 / total : 0.0;
        if (far)
            far[j] *= norm[j];
    }
    return agree(kernel->sites->comm, s);
}

void kernel_set_spread(struct kernel *kernel)
{
    int uniform = kernel->n_components - 1;
    for (int64_t j = 0; j < kernel->sites->n_own; j++) {
        double share = kernel->weight[uniform] * kernel->source[j];
        for (int c = 1; c < uniform; c++)
            if (kernel->far_share[c])
                share += kernel->weight[c] * kernel->far_share[c][j];
        kernel->spread[j] = share;
    }
}

void kernel_set_weights(struct kernel *kernel, double beta, const double *lateral_weight, double uniform_weight)
{
    int uniform = kernel->n_components - 1;
    kernel->weight[KERNEL_STAY] = 1.0 - beta;
    for (int c = 1; c < uniform; c++)
        kernel->weight[c] = beta * lateral_weight[c - 1];
    kernel->weight[uniform] = beta * uniform_weight;
    kernel_set_spread(kernel);
}

void kernel_scale_beta(struct kernel *kernel, double factor)
{
    kernel->parameters.beta *= factor;
    kernel->weight[KERNEL_STAY] = 1.0;
    for (int c = 1; c < kernel->n_components; c++) {
        kernel->weight[c] *= factor;
        kernel->weight[KERNEL_STAY] -= kernel->weight[c];
    }
    kernel_set_spread(kernel);
}

status kernel_without_lateral(struct kernel *nested, const struct kernel *kernel)
{
    size_t n = (size_t)kernel->sites->n_own + 1;
    *nested = *kernel;
    nested->spread = malloc(n * sizeof *nested->spread);
    status s = agree(kernel->sites->comm, nested->spread ? MONGE_OK : error_memory("the nested kernel", 8.0 * (double)n));
    if (s == MONGE_OK)
        kernel_set_uniform(nested, kernel->weight[kernel->n_components - 1]);
    else
        kernel_without_lateral_free(nested);
    return s;
}

void kernel_set_uniform(struct kernel *nested, double share)
{
    int uniform = nested->n_components - 1;
    memset(nested->weight, 0, sizeof nested->weight);
    nested->weight[KERNEL_STAY] = 1.0 - share;
    nested->weight[uniform] = share;
    kernel_set_spread(nested);
}

void kernel_without_lateral_free(struct kernel *nested)
{
    free(nested->spread);
    nested->spread = NULL;
}

/* --- dense -------------------------------------------------------------------------------------------------------------- */

enum { DENSE_GAUSSIAN = 1, DENSE_EXPONENTIAL = 2, DENSE_COMPONENTS = 4, MATRIX_COMPONENTS = 3 };

static status dense_component(struct kernel *kernel, int component)
{
    const struct slide *slide = kernel->slide;
    int64_t n = slide->n_sites;
    const struct kernel_parameters *p = &kernel->parameters;
    struct radial_profile profile = component == DENSE_GAUSSIAN ? radial_gaussian(p->sigma) : radial_exponential(p->tail_length);
    kernel->profile[component] = radial_copy(&profile);
    double *matrix = malloc((size_t)n * (size_t)n * sizeof *matrix);
    bool complete = matrix && kernel->profile[component];
    status s = agree(kernel->sites->comm, complete ? MONGE_OK : error_memory("a dense kernel", 8.0 * (double)n * (double)n));
    for (int64_t i = 0; s == MONGE_OK && i < n; i++) {
        double x, y, u, v;
        slide_position(slide, i, &x, &y);
        for (int64_t j = 0; j < n; j++) {
            slide_position(slide, j, &u, &v);
            matrix[i * n + j] = profile.weight(&profile, sqrt((x - u) * (x - u) + (y - v) * (y - v)));
        }
    }
    if (s == MONGE_OK)
        s = operator_dense_new(&kernel->local[component], kernel->sites, matrix);
    free(matrix);
    return s;
}

status kernel_new_dense(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                        const struct kernel_parameters *parameters)
{
    status s = kernel_check_parameters(parameters);
    if (s == MONGE_OK)
        s = kernel_begin(kernel, slide, sites, parameters->permeability, DENSE_COMPONENTS);
    if (s != MONGE_OK)
        return s;
    kernel->parameters = *parameters;
    for (int c = DENSE_GAUSSIAN; s == MONGE_OK && c <= DENSE_EXPONENTIAL; c++) {
        s = dense_component(kernel, c);
        if (s == MONGE_OK)
            s = kernel_normalise(kernel, c);
    }
    if (s != MONGE_OK) {
        kernel_free(kernel);
        return s;
    }
    double lateral[] = {1.0 - parameters->tail_weight - parameters->uniform_weight, parameters->tail_weight};
    kernel_set_weights(kernel, parameters->beta, lateral, parameters->uniform_weight);
    return MONGE_OK;
}

/* Entries must be finite and not negative. */
static status check_matrix(int64_t n, const double *matrix)
{
    for (int64_t k = 0; k < n * n; k++)
        if (!(matrix[k] >= 0.0) || !isfinite(matrix[k]))
            return error_set(MONGE_BAD_DATA, "kernel matrix, row %lld, column %lld: %g is not a probability", (long long)(k / n),
                             (long long)(k % n), matrix[k]);
    return MONGE_OK;
}

status kernel_new_matrix(struct kernel *kernel, const struct slide *slide, const struct partition *sites, const double *matrix)
{
    status s = agree(sites->comm, check_matrix(sites->n, matrix));
    if (s == MONGE_OK)
        s = kernel_begin(kernel, slide, sites, 1.0, MATRIX_COMPONENTS);
    if (s != MONGE_OK)
        return s;
    s = operator_dense_new(&kernel->local[1], sites, matrix);
    if (s == MONGE_OK)
        s = kernel_normalise(kernel, 1);
    if (s != MONGE_OK) {
        kernel_free(kernel);
        return s;
    }
    kernel->parameters = (struct kernel_parameters){.beta = 1.0, .sigma = NAN, .tail_length = NAN, .permeability = 1.0};
    kernel_set_weights(kernel, 1.0, (double[]){1.0}, 0.0);
    return MONGE_OK;
}
