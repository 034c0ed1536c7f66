/* The truncated kernels: local operators up to a radius, the rest of each column spread over the slide (rank 1).
 *
 * A geometry holds everything that does not depend on theta, so that the kernel fit pays for its hundreds of kernels only a few hundred
 * weights and one sum per source. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "far_field.h"
#include "kernel_parts.h"
#include "kernel_stencil.h"
#include "monge/agree.h"
#include "operator_stencil.h"
#include "operator_tiles.h"

struct kernel_geometry {
    const struct slide *slide;
    const struct partition *sites;
    double radius;
    struct patches *patches;     /* lattices */
    struct neighbour_rows *rows; /* irregular positions */
    struct far_field *far;
};

void kernel_geometry_free(struct kernel_geometry *geometry)
{
    if (!geometry)
        return;
    patches_free(geometry->patches);
    neighbour_rows_free(geometry->rows);
    far_field_free(geometry->far);
    free(geometry);
}

/* Only blocks with tissue hold sources. */
static status mark_sources(struct kernel_geometry *geometry)
{
    const struct slide *slide = geometry->slide;
    bool *source = calloc((size_t)slide->n_blocks + 1, sizeof *source);
    if (!source)
        return error_memory("the kernel's masks", (double)slide->n_blocks);
    for (int64_t block = 0; block < slide->n_blocks; block++)
        for (int64_t i = slide->block_start[block]; i < slide->block_start[block + 1]; i++)
            source[block] = source[block] || slide->kind[i] == SITE_TISSUE;
    status s = patches_set_sources(geometry->patches, source);
    free(source);
    return s;
}

status kernel_geometry_new(struct kernel_geometry **result, const struct slide *slide, const struct partition *sites, double radius)
{
    enum { WIDEST = 256 };
    if (!(radius >= 0.0 && radius <= WIDEST))
        return error_set(MONGE_USAGE, "kernel radius %g: must be between 0 and %d pitches", radius, WIDEST);
    struct kernel_geometry *geometry = calloc(1, sizeof *geometry);
    status s = geometry ? MONGE_OK : error_memory("the kernel's geometry", (double)sizeof *geometry);
    if (s == MONGE_OK) {
        *geometry = (struct kernel_geometry){.slide = slide, .sites = sites, .radius = radius};
        s = far_field_new(&geometry->far, slide, sites, radius);
    }
    s = agree(sites->comm, s);
    if (s == MONGE_OK && slide->lattice == LATTICE_NONE) {
        s = neighbour_rows_new(&geometry->rows, slide, sites, radius);
    } else if (s == MONGE_OK) {
        s = patches_new_radius(&geometry->patches, slide, sites, radius);
        if (s == MONGE_OK)
            s = agree(sites->comm, mark_sources(geometry));
    }
    if (s != MONGE_OK) {
        kernel_geometry_free(geometry);
        return s;
    }
    *result = geometry;
    return MONGE_OK;
}

/* --- components ----------------------------------------------------------------------------------------------------------- */

static status local_operator(struct spot_operator *op, const struct kernel_geometry *geometry, const struct radial_profile *profile)
{
    if (geometry->rows)
        return tiles_new_on(op, geometry->rows, radial_value, profile);
    return stencil_new_on(op, geometry->patches, fmin(geometry->radius, profile->reach), radial_value, profile);
}

/* Keeps a copy of the radial weight for reports, and the mass beyond the radius if the weight reaches that far. */
static status far_part(struct kernel *kernel, int component, const struct kernel_geometry *geometry, const struct radial_profile *profile)
{
    size_t n = (size_t)kernel->sites->n_own + 1;
    kernel->profile[component] = radial_copy(profile);
    if (!kernel->profile[component])
        return error_memory("the kernel's profile", 16.0 * (double)profile->n);
    if (profile->reach <= geometry->radius)
        return MONGE_OK;
    double *far = kernel->far_share[component] = malloc(n * sizeof *far);
    if (!far)
        return error_memory("the kernel's far field", 8.0 * (double)n);
    return far_field_mass(geometry->far, profile, kernel->parameters.permeability, far);
}

static status add_component(struct kernel *kernel, int component, const struct kernel_geometry *geometry,
                            const struct radial_profile *profile)
{
    status s = agree(kernel->sites->comm, far_part(kernel, component, geometry, profile));
    if (s == MONGE_OK)
        s = local_operator(&kernel->local[component], geometry, profile);
    return s == MONGE_OK ? kernel_normalise(kernel, component) : s;
}

/* Stay, the given lateral components, uniform. */
static status assemble(struct kernel *kernel, const struct kernel_geometry *geometry, const struct kernel_parameters *parameters,
                       int n_lateral, const struct radial_profile *profile, const double *weight)
{
    status s = kernel_begin(kernel, geometry->slide, geometry->sites, parameters->permeability, n_lateral + 2);
    if (s != MONGE_OK)
        return s;
    kernel->parameters = *parameters;
    for (int k = 0; s == MONGE_OK && k < n_lateral; k++)
        s = add_component(kernel, 1 + k, geometry, &profile[k]);
    if (s == MONGE_OK)
        s = kernel_stencil_new(kernel);
    if (s != MONGE_OK) {
        kernel_free(kernel);
        return s;
    }
    kernel_set_weights(kernel, parameters->beta, weight, parameters->uniform_weight);
    return MONGE_OK;
}

/* --- constructors --------------------------------------------------------------------------------------------------------- */

enum { MOST_EXTRA = KERNEL_MAX_COMPONENTS - 4 };

status kernel_new_mixture_on(struct kernel *kernel, const struct kernel_geometry *geometry, const struct kernel_parameters *parameters,
                             int n_extra, const double *extra_sigma)
{
    struct radial_profile profile[KERNEL_MAX_COMPONENTS];
    double weight[KERNEL_MAX_COMPONENTS] = {1.0 - parameters->tail_weight - parameters->uniform_weight, parameters->tail_weight};
    memset(kernel, 0, sizeof *kernel);
    status s = kernel_check_parameters(parameters);
    if (s != MONGE_OK)
        return s;
    if (n_extra < 0 || n_extra > MOST_EXTRA)
        return error_set(MONGE_USAGE, "%d extra Gaussians: the kernel dictionary holds at most %d", n_extra, MOST_EXTRA);
    profile[0] = radial_gaussian(parameters->sigma);
    profile[1] = radial_exponential(parameters->tail_length);
    for (int k = 0; k < n_extra; k++) {
        if (!(extra_sigma[k] > 0.0) || !isfinite(extra_sigma[k]))
            return error_set(MONGE_USAGE, "extra Gaussian of width %g: must be above 0", extra_sigma[k]);
        profile[2 + k] = radial_gaussian(extra_sigma[k]);
    }
    return assemble(kernel, geometry, parameters, 2 + n_extra, profile, weight);
}

status kernel_new_mixture(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                          const struct kernel_parameters *parameters, double radius, int n_extra, const double *extra_sigma)
{
    struct kernel_geometry *geometry;
    memset(kernel, 0, sizeof *kernel);
    status s = kernel_geometry_new(&geometry, slide, sites, radius);
    if (s != MONGE_OK)
        return s;
    s = kernel_new_mixture_on(kernel, geometry, parameters, n_extra, extra_sigma);
    kernel_geometry_free(geometry);
    return s;
}

static status check_profile(int n, const double *distance, const double *weight)
{
    bool any = false;
    for (int k = 0; k < n; k++) {
        if (!(weight[k] >= 0.0) || !isfinite(weight[k]) || !(distance[k] >= 0.0) || (k > 0 && !(distance[k] > distance[k - 1])))
            return error_set(MONGE_BAD_DATA,
                             "kernel profile, row %d (distance %g, weight %g): distances must ascend from 0, weights must be >= 0", k + 1,
                             distance[k], weight[k]);
        any = any || weight[k] > 0.0;
    }
    return n >= 2 && any ? MONGE_OK : error_set(MONGE_BAD_DATA, "kernel profile: at least two rows and one weight above 0 are needed");
}

status kernel_new_profile(struct kernel *kernel, const struct slide *slide, const struct partition *sites,
                          const struct kernel_parameters *parameters, int n, const double *distance, const double *weight)
{
    enum { WIDEST_LOCAL = 32 }; /* beyond it the profile goes to the far field */
    memset(kernel, 0, sizeof *kernel);
    status s = check_profile(n, distance, weight);
    if (s != MONGE_OK)
        return s;
    struct kernel_parameters used = *parameters;
    used.sigma = used.tail_length = 1.0; /* not part of this kernel */
    used.tail_weight = 0.0;
    s = kernel_check_parameters(&used);
    if (s != MONGE_OK)
        return s;
    struct kernel_geometry *geometry;
    s = kernel_geometry_new(&geometry, slide, sites, fmin(distance[n - 1], WIDEST_LOCAL));
    if (s != MONGE_OK)
        return s;
    used.sigma = used.tail_length = NAN;
    struct radial_profile profile = radial_table(n, distance, weight);
    s = assemble(kernel, geometry, &used, 1, &profile, (double[]){1.0 - used.uniform_weight});
    kernel_geometry_free(geometry);
    return s;
}

/* --- reports -------------------------------------------------------------------------------------------------------------- */

/* Sum of w over the sites of an endless slide of this kind, all tissue. */
static double endless_norm(const struct slide *slide, const struct radial_profile *profile)
{
    enum { FAR = 400, STEPS = 20000 };
    double norm = 0.0;
    if (slide->lattice == LATTICE_NONE) { /* one site per square pitch */
        for (int k = 0; k < STEPS; k++) {
            double r = (k + 0.5) * FAR / STEPS;
            norm += 2.0 * M_PI * r * radial_value(r, profile) * FAR / STEPS;
        }
        return norm;
    }
    double height = slide->lattice == LATTICE_HEX ? sqrt(0.75) : 1.0;
    int rows = (int)(fmin(profile->reach, FAR) / height) + 1, cols = (int)fmin(profile->reach, FAR) + 1;
    for (int row = -rows; row <= rows; row++)
        for (int col = -cols; col <= cols; col++) {
            double shift = slide->lattice == LATTICE_HEX && (row & 1) ? 0.5 : 0.0;
            norm += radial_value(hypot(col + shift, row * height), profile);
        }
    return norm;
}

void kernel_profile(const struct kernel *kernel, int n, const double *distance, double *probability)
{
    int uniform = kernel->n_components - 1;
    for (int k = 0; k < n; k++) {
        probability[k] = kernel->weight[uniform] / kernel->destination_sum;
        if (distance[k] < 0.5)
            probability[k] += kernel->weight[KERNEL_STAY];
    }
    for (int c = 1; c < uniform; c++) {
        double norm = kernel->profile[c] ? endless_norm(kernel->slide, kernel->profile[c]) : NAN;
        for (int k = 0; k < n; k++)
            probability[k] += kernel->weight[c] * (kernel->profile[c] ? radial_value(distance[k], kernel->profile[c]) : 1.0) / norm;
    }
}
