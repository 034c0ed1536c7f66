/* The far field: sum_{d_ij > radius} D_i w(d_ij) for every source j and any w, in a few operations per source.
 *
 * Tissue and background beyond the radius are counted once in rings whose width is a twentieth of their radius; a radial weight is then
 * one number per ring: its mean over the lattice distances in the ring, or over the ring's area further out. Counting is done at every
 * tissue site of small slides; on large ones at the nodes of a grid with linear interpolation (the mass varies over a decay length, not over
 * a pitch); on lattices the nodes are lattice sites, so that exactly the right distances lie beyond the radius. */
#include "far_field.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "site_tree.h"

enum { FEW_SITES = 20000, LOOKUP_PER_PITCH = 16 };
static const double ring_growth = 0.05, ring_least = 0.05, last_edge = 256.0; /* pitches */

struct far_field {
    const struct slide *slide;
    const struct partition *sites;
    double radius;
    int n_rings;
    double *edge;    /* n_rings + 1; the last ring is open */
    int32_t *lookup; /* ring of distance k / LOOKUP_PER_PITCH, or the one before */
    int64_t n_nodes; /* of this rank */
    float *count;    /* n_nodes x 2 x n_rings: tissue, then background */
    bool at_sites;   /* node k is the k-th own tissue site; otherwise nodes are grid points: */
    double left, top, step_x, step_y;
    int64_t n_cols;
    int32_t *node_of; /* grid point -> node, -1: not needed here */
};

void far_field_free(struct far_field *far)
{
    if (!far)
        return;
    free(far->edge);
    free(far->lookup);
    free(far->count);
    free(far->node_of);
    free(far);
}

/* --- rings ------------------------------------------------------------------------------------------------------------- */

static const double slack = 1e-9; /* a distance equal to the radius is within it, as in slide_offsets */

static status make_rings(struct far_field *far)
{
    size_t most = 8 + (size_t)(log(1.0 + last_edge / ring_least) / log(1.0 + ring_growth) + 1.0 / ring_growth);
    far->edge = malloc((most + 2) * sizeof *far->edge);
    far->lookup = malloc(((size_t)last_edge * LOOKUP_PER_PITCH + 2) * sizeof *far->lookup);
    if (!far->edge || !far->lookup)
        return error_memory("the kernel's far field", 0.0);
    far->edge[0] = far->radius + slack;
    while (far->edge[far->n_rings] < last_edge && (size_t)far->n_rings < most) {
        double edge = far->edge[far->n_rings];
        far->edge[++far->n_rings] = edge + fmax(ring_least, ring_growth * edge);
    }
    far->edge[++far->n_rings] = INFINITY;
    int ring = 0;
    for (int k = 0; k <= (int)last_edge * LOOKUP_PER_PITCH; k++) {
        while (far->edge[ring + 1] <= (double)k / LOOKUP_PER_PITCH)
            ring++;
        far->lookup[k] = ring;
    }
    return MONGE_OK;
}

static int ring_at(const struct far_field *far, double distance)
{
    int ring = far->lookup[(int)(fmin(distance, last_edge) * LOOKUP_PER_PITCH)];
    while (far->edge[ring + 1] <= distance)
        ring++;
    return ring;
}

/* --- counts ------------------------------------------------------------------------------------------------------------ */

struct counting {
    const struct far_field *far;
    float *tissue, *background;
};

static void count(void *context, double distance, int32_t tissue, int32_t background)
{
    struct counting *counting = context;
    if (distance <= counting->far->edge[0])
        return;
    int ring = ring_at(counting->far, distance);
    counting->tissue[ring] += (float)tissue;
    counting->background[ring] += (float)background;
}

static void count_from(const struct far_field *far, const struct site_tree *tree, int64_t node, double x, double y)
{
    float *first = far->count + node * 2 * far->n_rings;
    struct counting counting = {far, first, first + far->n_rings};
    site_tree_walk(tree, x, y, far->edge[0], count, &counting);
}

static status allocate_counts(struct far_field *far)
{
    size_t values = (size_t)far->n_nodes * 2 * (size_t)far->n_rings + 1;
    far->count = calloc(values, sizeof *far->count);
    return far->count ? MONGE_OK : error_memory("the kernel's far field", (double)(values * sizeof *far->count));
}

static status count_at_sites(struct far_field *far, const struct site_tree *tree)
{
    const struct slide *slide = far->slide;
    int64_t end = far->sites->first + far->sites->n_own;
    for (int64_t i = far->sites->first; i < end; i++)
        far->n_nodes += slide->kind[i] == SITE_TISSUE;
    status s = allocate_counts(far);
    int64_t node = 0;
    for (int64_t i = far->sites->first; s == MONGE_OK && i < end; i++) {
        double x, y;
        if (slide->kind[i] != SITE_TISSUE)
            continue;
        slide_position(slide, i, &x, &y);
        count_from(far, tree, node++, x, y);
    }
    return s;
}

/* Every few cells, rows of one parity only: all nodes have the same neighbourhood. One step of margin left and above. */
static void place_grid(struct far_field *far, const struct site_tree *tree)
{
    double step = 2.0 * fmax(1.0, floor(far->radius / 8.0)), x = tree->left, y = tree->top;
    far->step_x = step;
    far->step_y = far->slide->lattice == LATTICE_HEX ? step * sqrt(0.75) : step;
    if (far->slide->lattice != LATTICE_NONE)
        slide_position(far->slide, slide_site(far->slide, 0, 0), &x, &y);
    far->left = x - far->step_x;
    far->top = y - far->step_y;
}

/* The grid point above left of a position, and how far the position is beyond it. */
static int64_t grid_point(const struct far_field *far, double x, double y, double *right, double *down)
{
    double across = (x - far->left) / far->step_x + slack, along = (y - far->top) / far->step_y + slack;
    *right = across - floor(across);
    *down = along - floor(along);
    return (int64_t)floor(along) * far->n_cols + (int64_t)floor(across);
}

static status count_at_grid(struct far_field *far, const struct site_tree *tree)
{
    const struct slide *slide = far->slide;
    const struct tree_level *whole = &tree->level[0];
    place_grid(far, tree);
    far->n_cols = (int64_t)((double)whole->n_cols * whole->side / far->step_x) + 4;
    int64_t n_points = far->n_cols * ((int64_t)((double)whole->n_rows * whole->side / far->step_y) + 4);
    far->node_of = malloc((size_t)n_points * sizeof *far->node_of);
    if (!far->node_of)
        return error_memory("the kernel's far field", 4.0 * (double)n_points);
    for (int64_t k = 0; k < n_points; k++)
        far->node_of[k] = -1;
    for (int64_t i = far->sites->first; i < far->sites->first + far->sites->n_own; i++) {
        double x, y, right, down;
        if (slide->kind[i] != SITE_TISSUE)
            continue;
        slide_position(slide, i, &x, &y);
        int64_t point = grid_point(far, x, y, &right, &down);
        for (int corner = 0; corner < 4; corner++) {
            int32_t *node = &far->node_of[point + corner / 2 * far->n_cols + corner % 2];
            if (*node < 0)
                *node = (int32_t)far->n_nodes++;
        }
    }
    status s = allocate_counts(far);
    for (int64_t k = 0; s == MONGE_OK && k < n_points; k++)
        if (far->node_of[k] >= 0)
            count_from(far, tree, far->node_of[k], far->left + (double)(k % far->n_cols) * far->step_x,
                       far->top + (double)(k / far->n_cols) * far->step_y);
    return s;
}

status far_field_new(struct far_field **result, const struct slide *slide, const struct partition *sites, double radius)
{
    struct site_tree tree;
    struct far_field *far = calloc(1, sizeof *far);
    if (!far)
        return error_memory("the kernel's far field", (double)sizeof *far);
    *far = (struct far_field){.slide = slide, .sites = sites, .radius = radius};
    far->at_sites = slide_count(slide, SITE_TISSUE) <= FEW_SITES;
    status s = make_rings(far);
    if (s == MONGE_OK)
        s = site_tree_new(&tree, slide);
    if (s == MONGE_OK) {
        s = far->at_sites ? count_at_sites(far, &tree) : count_at_grid(far, &tree);
        site_tree_free(&tree);
    }
    if (s != MONGE_OK) {
        far_field_free(far);
        return s;
    }
    *result = far;
    return MONGE_OK;
}

/* --- masses ------------------------------------------------------------------------------------------------------------ */

/* Mean weight over the area of rings from `first` on (four-point Gauss-Legendre quadrature, of r w(r)). */
static void area_means(const struct far_field *far, int first, const struct radial_profile *profile, double *mean)
{
    static const double node[4] = {-0.8611363115940526, -0.3399810435848563, 0.3399810435848563, 0.8611363115940526};
    static const double share[4] = {0.3478548451374538, 0.6521451548625461, 0.6521451548625461, 0.3478548451374538};
    for (int ring = first; ring < far->n_rings; ring++) {
        double inner = far->edge[ring], outer = far->edge[ring + 1], sum = 0.0, area = 0.0;
        if (!isfinite(outer))
            outer = inner;
        for (int k = 0; k < 4; k++) {
            double r = 0.5 * (inner + outer) + 0.5 * (outer - inner) * node[k];
            sum += share[k] * r * radial_value(r, profile);
            area += share[k] * r;
        }
        mean[ring] = sum / area;
    }
}

/* Mean weight over the lattice distances of the rings near the radius. */
static status lattice_means(const struct far_field *far, const struct radial_profile *profile, double *mean)
{
    double near = far->radius + 12.0;
    int n = slide_offsets(far->slide, 0, near, NULL, NULL, NULL);
    double *distance = malloc((size_t)n * sizeof *distance), *sum = calloc((size_t)far->n_rings, sizeof *sum);
    int *members = calloc((size_t)far->n_rings, sizeof *members);
    status s = distance && sum && members ? MONGE_OK : error_memory("the kernel's far field", 8.0 * (double)n);
    if (s == MONGE_OK) {
        slide_offsets(far->slide, 0, near, NULL, NULL, distance);
        for (int k = 0; k < n; k++) {
            if (distance[k] <= far->edge[0])
                continue;
            int ring = ring_at(far, distance[k]);
            sum[ring] += radial_value(distance[k], profile);
            members[ring]++;
        }
        for (int ring = 0; ring < far->n_rings && far->edge[ring + 1] <= near; ring++)
            mean[ring] = members[ring] ? sum[ring] / members[ring] : mean[ring];
    }
    free(distance);
    free(sum);
    free(members);
    return s;
}

/* Masses at the nodes. */
static void node_masses(const struct far_field *far, const double *mean, double permeability, double *mass)
{
    int n = far->n_rings;
    for (int64_t node = 0; node < far->n_nodes; node++) {
        const float *tissue = far->count + node * 2 * n, *background = tissue + n;
        double sum = 0.0;
        for (int ring = 0; ring < n; ring++)
            sum += mean[ring] * ((double)tissue[ring] + permeability * (double)background[ring]);
        mass[node] = sum;
    }
}

static void spread_to_sites(const struct far_field *far, const double *at_node, double *mass)
{
    int64_t node = 0;
    for (int64_t j = 0; j < far->sites->n_own; j++) {
        double x, y, right, down;
        mass[j] = 0.0;
        if (far->slide->kind[far->sites->first + j] != SITE_TISSUE)
            continue;
        if (far->at_sites) {
            mass[j] = at_node[node++];
            continue;
        }
        slide_position(far->slide, far->sites->first + j, &x, &y);
        const int32_t *above = far->node_of + grid_point(far, x, y, &right, &down), *below = above + far->n_cols;
        mass[j] = (1.0 - down) * ((1.0 - right) * at_node[above[0]] + right * at_node[above[1]]) +
                  down * ((1.0 - right) * at_node[below[0]] + right * at_node[below[1]]);
    }
}

status far_field_mass(const struct far_field *far, const struct radial_profile *profile, double permeability, double *mass)
{
    double *mean = malloc((size_t)far->n_rings * sizeof *mean), *at_node = malloc(((size_t)far->n_nodes + 1) * sizeof *at_node);
    status s = mean && at_node ? MONGE_OK : error_memory("the kernel's far field", 8.0 * (double)far->n_nodes);
    if (s == MONGE_OK)
        area_means(far, 0, profile, mean);
    if (s == MONGE_OK && far->slide->lattice != LATTICE_NONE)
        s = lattice_means(far, profile, mean);
    if (s == MONGE_OK) {
        node_masses(far, mean, permeability, at_node);
        spread_to_sites(far, at_node, mass);
    }
    free(mean);
    free(at_node);
    return s;
}
