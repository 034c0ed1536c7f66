/* A second slice of a section: spots dropped, bent, turned, shifted, snapped; counts drawn anew.
 *
 * Places are replicated and cheap: every rank computes all of them, keyed by the row of the spot. Counts are drawn by the rank that
 * owns the new site, from the row of the old one, wherever that is. */
#include "monge/simulate_slice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/log.h"
#include "monge/rng.h"
#include "monge/row_fetch.h"

struct bump {
    double x, y, dx, dy;
};

/* The spots of the new slice, in the order of their rows in the old one; replicated. */
struct spots {
    int64_t n;
    int64_t *site; /* n: site of the spot in the old section */
    int64_t *row;  /* n: its row */
    double *x, *y; /* n: new places */
    uint8_t *tissue;
    double spacing;
    double centre[2];
    double width; /* of bumps */
    int64_t n_bumps;
    struct bump *bump;
};

static void spots_free(struct spots *spots)
{
    free(spots->site);
    free(spots->row);
    free(spots->x);
    free(spots->y);
    free(spots->tissue);
    free(spots->bump);
}

static void place_of(const struct section *from, int64_t site, double *x, double *y)
{
    slide_position(&from->slide, site, x, y);
    *x = from->spatial_x ? from->spatial_x[site] : *x;
    *y = from->spatial_y ? from->spatial_y[site] : *y;
}

static status spots_new(struct spots *spots, const struct section *from)
{
    const struct slide *slide = &from->slide;
    size_t n = (size_t)from->n_spots;
    *spots = (struct spots){.site = malloc((n + 1) * sizeof(int64_t)),
                            .row = malloc((n + 1) * sizeof(int64_t)),
                            .x = calloc(n + 1, sizeof(double)),
                            .y = calloc(n + 1, sizeof(double)),
                            .tissue = calloc(n + 1, 1)};
    if (!spots->site || !spots->row || !spots->x || !spots->y || !spots->tissue)
        return error_memory("the spots of a slice", 33.0 * (double)n);
    for (size_t r = 0; r < n; r++)
        spots->site[r] = -1;
    for (int64_t site = 0; site < slide->n_sites; site++)
        if (slide->spot[site] >= 0)
            spots->site[slide->spot[site]] = site;
    for (size_t r = 0; r < n; r++) {
        if (spots->site[r] < 0)
            continue;
        int64_t k = spots->n++;
        spots->site[k] = spots->site[r];
        spots->row[k] = (int64_t)r;
        place_of(from, spots->site[k], &spots->x[k], &spots->y[k]);
        spots->tissue[k] = slide->kind[spots->site[k]] == SITE_TISSUE;
        spots->centre[0] += spots->x[k];
        spots->centre[1] += spots->y[k];
    }
    if (spots->n < 2)
        return error_set(MONGE_BAD_DATA, "%s: %lld spots; a second slice needs at least 2", from->source ? from->source : "the section",
                         (long long)spots->n);
    spots->centre[0] /= (double)spots->n;
    spots->centre[1] /= (double)spots->n;
    return slide_spacing(spots->n, spots->x, spots->y, &spots->spacing);
}

/* ---- deformation and motion ---- */

static status draw_bumps(struct spots *spots, const struct simulate_slice_options *o)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int64_t k = 0; k < spots->n; k++) {
        low[0] = fmin(low[0], spots->x[k]), high[0] = fmax(high[0], spots->x[k]);
        low[1] = fmin(low[1], spots->y[k]), high[1] = fmax(high[1], spots->y[k]);
    }
    double size = o->bend * spots->spacing, side = fmax(high[0] - low[0], high[1] - low[1]);
    spots->width = isnan(o->bend_width) ? fmax(0.2 * side, 2.0 * size) : o->bend_width * spots->spacing;
    spots->n_bumps = size > 0.0 ? o->bends : 0;
    spots->bump = malloc(((size_t)spots->n_bumps + 1) * sizeof *spots->bump);
    if (!spots->bump)
        return error_memory("a deformation", 32.0 * (double)spots->n_bumps);
    struct rng rng = rng_start(o->seed, RNG_SIMULATE_SLICE, UINT64_C(1) << 40);
    for (int64_t b = 0; b < spots->n_bumps; b++) {
        spots->bump[b].x = low[0] + (high[0] - low[0]) * rng_uniform(&rng);
        spots->bump[b].y = low[1] + (high[1] - low[1]) * rng_uniform(&rng);
        double direction = 2.0 * M_PI * rng_uniform(&rng);
        spots->bump[b].dx = size * cos(direction);
        spots->bump[b].dy = size * sin(direction);
    }
    return MONGE_OK;
}

static void bend(const struct spots *spots, double *x, double *y)
{
    double dx = 0.0, dy = 0.0;
    for (int64_t b = 0; b < spots->n_bumps; b++) {
        const struct bump *bump = &spots->bump[b];
        double u = (*x - bump->x) / spots->width, v = (*y - bump->y) / spots->width, height = exp(-0.5 * (u * u + v * v));
        dx += height * bump->dx;
        dy += height * bump->dy;
    }
    *x += dx;
    *y += dy;
}

/* The rigid part, row-major 3 x 3. */
static void motion_of(const struct spots *spots, const struct simulate_slice_options *o, double motion[9])
{
    double angle = o->rotate * M_PI / 180.0, c = cos(angle), s = sin(angle), x = spots->centre[0], y = spots->centre[1];
    const double rigid[9] = {
        c, -s, x - c * x + s * y + o->shift_x * spots->spacing, s, c, y - s * x - c * y + o->shift_y * spots->spacing, 0, 0, 1};
    memcpy(motion, rigid, sizeof rigid);
}

static void keep_spot(struct spots *spots, int64_t from, int64_t to)
{
    spots->site[to] = spots->site[from];
    spots->row[to] = spots->row[from];
    spots->x[to] = spots->x[from];
    spots->y[to] = spots->y[from];
    spots->tissue[to] = spots->tissue[from];
}

/* Drops spots and moves the others. */
static void move_spots(struct spots *spots, const struct simulate_slice_options *o)
{
    double motion[9];
    motion_of(spots, o, motion);
    int64_t kept = 0;
    for (int64_t k = 0; k < spots->n; k++) {
        struct rng rng = rng_start(o->seed, RNG_SIMULATE_SLICE, (uint64_t)spots->row[k]);
        if (rng_uniform(&rng) < o->drop)
            continue;
        double x = spots->x[k], y = spots->y[k];
        bend(spots, &x, &y);
        if (o->jitter > 0.0) {
            x += o->jitter * spots->spacing * rng_normal(&rng);
            y += o->jitter * spots->spacing * rng_normal(&rng);
        }
        spots->x[k] = motion[0] * x + motion[1] * y + motion[2];
        spots->y[k] = motion[3] * x + motion[4] * y + motion[5];
        keep_spot(spots, k, kept++);
    }
    spots->n = kept;
}

/* ---- snapping ---- */

struct cell {
    int64_t x, y, spot;
};

static int by_cell(const void *a, const void *b)
{
    const struct cell *p = a, *q = b;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return p->spot < q->spot ? -1 : 1;
}

/* To the points of a square lattice through the origin; of several spots on one point, the one of lowest row stays. */
static status snap_spots(struct spots *spots)
{
    struct cell *cell = malloc(((size_t)spots->n + 1) * sizeof *cell);
    uint8_t *keep = calloc((size_t)spots->n + 1, 1);
    if (!cell || !keep) {
        free(cell);
        free(keep);
        return error_memory("a lattice", 25.0 * (double)spots->n);
    }
    for (int64_t k = 0; k < spots->n; k++)
        cell[k] = (struct cell){llround(spots->x[k] / spots->spacing), llround(spots->y[k] / spots->spacing), k};
    qsort(cell, (size_t)spots->n, sizeof *cell, by_cell);
    for (int64_t k = 0; k < spots->n; k++) {
        keep[cell[k].spot] = k == 0 || cell[k].x != cell[k - 1].x || cell[k].y != cell[k - 1].y;
        spots->x[cell[k].spot] = (double)cell[k].x * spots->spacing;
        spots->y[cell[k].spot] = (double)cell[k].y * spots->spacing;
    }
    int64_t kept = 0;
    for (int64_t k = 0; k < spots->n; k++)
        if (keep[k])
            keep_spot(spots, k, kept++);
    spots->n = kept;
    free(cell);
    free(keep);
    return MONGE_OK;
}

/* ---- counts ---- */

/* Mean and variance of the totals of spots, in tissue [1] and outside [0]. Collective. */
struct totals {
    double mean[2], variance[2];
};

static struct totals measure_totals(const struct section *from)
{
    enum { NUMBER, SUM, SQUARE, N_SUMS };
    struct exact sums[2 * N_SUMS] = {0};
    for (int64_t i = 0; i < from->sites.n_own; i++) {
        int64_t site = from->sites.first + i;
        if (from->slide.spot[site] < 0)
            continue;
        double total = 0.0;
        for (int64_t k = from->counts.start[i]; k < from->counts.start[i + 1]; k++)
            total += (double)from->counts.value[k];
        struct exact *of = sums + (from->slide.kind[site] == SITE_TISSUE ? N_SUMS : 0);
        exact_add(&of[NUMBER], 1.0);
        exact_add(&of[SUM], total);
        exact_add(&of[SQUARE], total * total);
    }
    exact_allreduce(sums, 2 * N_SUMS, from->comm);
    struct totals totals = {0};
    for (int t = 0; t < 2; t++) {
        double n = exact_value(&sums[t * N_SUMS + NUMBER]), mean = n > 0.0 ? exact_value(&sums[t * N_SUMS + SUM]) / n : 0.0;
        totals.mean[t] = mean;
        totals.variance[t] = n > 1.0 ? fmax(exact_value(&sums[t * N_SUMS + SQUARE]) - n * mean * mean, 0.0) / (n - 1.0) : 0.0;
    }
    return totals;
}

/* Negative binomial as a Poisson of a Gamma; Poisson where the variance is no larger than the mean. */
static int64_t draw_total(struct rng *rng, double mean, double variance)
{
    if (variance > mean) {
        double shape = mean * mean / (variance - mean);
        mean *= rng_gamma(rng, shape) / shape;
    }
    return rng_poisson(rng, mean);
}

struct draw {
    int32_t *count; /* n_genes, zeros between spots */
    int64_t entries, capacity;
    struct sparse_rows *rows;
};

static status draw_reserve(struct draw *draw, int64_t more)
{
    if (draw->entries + more <= draw->capacity)
        return MONGE_OK;
    int64_t capacity = 2 * draw->capacity + more + 4096;
    int32_t *column = realloc(draw->rows->column, (size_t)capacity * sizeof *column);
    if (column)
        draw->rows->column = column;
    float *value = realloc(draw->rows->value, (size_t)capacity * sizeof *value);
    if (value)
        draw->rows->value = value;
    if (!column || !value)
        return error_memory("drawn counts", 8.0 * (double)capacity);
    draw->capacity = capacity;
    return MONGE_OK;
}

/* Multinomial of shares counts + pseudocount over all genes: the molecules that fall to the pseudocount are spread evenly, the others
 * are dealt over the genes that have counts. */
static void draw_spot(struct draw *draw, struct rng *rng, int64_t total, const struct sparse_rows *old, int64_t row, int64_t n_genes,
                      double pseudocount)
{
    double counted = 0.0, left;
    for (int64_t k = old->start[row]; k < old->start[row + 1]; k++)
        counted += (double)old->value[k];
    double even = pseudocount * (double)n_genes;
    if (!(counted + even > 0.0))
        return;
    int64_t noise = rng_binomial(rng, total, even / (counted + even)), rest = total - noise;
    left = counted;
    for (int64_t k = old->start[row]; k < old->start[row + 1] && rest > 0; k++) {
        double share = (double)old->value[k] / left;
        int64_t drawn = share < 1.0 ? rng_binomial(rng, rest, share) : rest;
        draw->count[old->column[k]] += (int32_t)drawn;
        rest -= drawn;
        left -= (double)old->value[k];
    }
    for (int64_t k = 0; k < noise; k++)
        draw->count[(int64_t)(rng_uniform(rng) * (double)n_genes)]++;
}

/* Own rows of the new slice, drawn from old rows: own site i comes from old row i. */
static status draw_counts(struct section *slice, const struct sparse_rows *old, const struct spots *spots, const struct totals *totals,
                          const struct simulate_slice_options *o)
{
    int64_t n = slice->sites.n_own;
    struct draw draw = {.count = calloc((size_t)slice->n_genes + 1, sizeof(int32_t)), .rows = &slice->counts};
    slice->counts = (struct sparse_rows){.n_rows = n, .start = calloc((size_t)n + 1, sizeof(int64_t))};
    status fault = draw.count && slice->counts.start ? draw_reserve(&draw, 1) : error_memory("drawn counts", 8.0 * (double)n);
    for (int64_t i = 0; i < n && !fault; i++) {
        int64_t spot = slice->slide.spot[slice->sites.first + i];
        slice->counts.start[i + 1] = draw.entries;
        if (spot < 0)
            continue;
        struct rng rng = rng_start(o->seed, RNG_SIMULATE_SLICE_SPOT, (uint64_t)spots->row[spot]);
        int kind = spots->tissue[spot];
        draw_spot(&draw, &rng, draw_total(&rng, totals->mean[kind], totals->variance[kind]), old, i, slice->n_genes, o->pseudocount);
        fault = draw_reserve(&draw, slice->n_genes);
        for (int64_t g = 0; g < slice->n_genes && !fault; g++)
            if (draw.count[g] > 0) {
                slice->counts.column[draw.entries] = (int32_t)g;
                slice->counts.value[draw.entries++] = (float)draw.count[g];
                draw.count[g] = 0;
            }
        slice->counts.start[i + 1] = draw.entries;
    }
    free(draw.count);
    return fault;
}

/* Rows of the old section behind the own sites of the new slice; sites without a spot get some row and are not drawn from. */
static status make_counts(struct section *slice, const struct section *from, const struct spots *spots,
                          const struct simulate_slice_options *o)
{
    struct totals totals = measure_totals(from);
    struct sparse_rows old = {0};
    int64_t n = slice->sites.n_own, *site = malloc(((size_t)n + 1) * sizeof *site);
    status fault = agree(slice->comm, site ? MONGE_OK : error_memory("sites", 8.0 * (double)n));
    if (!fault) {
        for (int64_t i = 0; i < n; i++) {
            int64_t spot = slice->slide.spot[slice->sites.first + i];
            site[i] = spot < 0 ? 0 : spots->site[spot];
        }
        fault = section_fetch_rows(from, n, site, &old);
    }
    if (!fault)
        fault = agree(slice->comm, draw_counts(slice, &old, spots, &totals, o));
    sparse_rows_free(&old);
    free(site);
    return fault;
}

/* ---- the section ---- */

static char **copy_names(char *const *names, int64_t n)
{
    char **copy = calloc((size_t)n + 1, sizeof *copy);
    for (int64_t k = 0; copy && k < n; k++)
        if (!(copy[k] = strdup(names[k]))) {
            while (k-- > 0)
                free(copy[k]);
            free(copy);
            return NULL;
        }
    return copy;
}

static status lay_out(struct section *slice, const struct section *from, const struct spots *spots)
{
    slice->source = strdup("simulated");
    slice->counts_name = strdup("X");
    slice->n_spots = spots->n;
    slice->n_genes = from->n_genes;
    slice->gene_name = copy_names(from->gene_name, from->n_genes);
    slice->gene_id = from->gene_id ? copy_names(from->gene_id, from->n_genes) : NULL;
    if (!slice->source || !slice->counts_name || !slice->gene_name || (from->gene_id && !slice->gene_id))
        return error_memory("names", 32.0 * (double)from->n_genes);
    const struct spot_table table = {
        .n_spots = spots->n, .x = spots->x, .y = spots->y, .in_tissue = spots->tissue, .source = "the simulated slice"};
    if (slide_new(&slice->slide, &table, HOLES_OMIT) != MONGE_OK ||
        partition_new(&slice->sites, slice->comm, slice->slide.n_blocks, slice->slide.block_start) != MONGE_OK)
        return error_code();
    slice->slide.pitch_um = from->slide.pitch_um;
    slice->spatial_x = malloc(((size_t)slice->slide.n_sites + 1) * sizeof(double));
    slice->spatial_y = malloc(((size_t)slice->slide.n_sites + 1) * sizeof(double));
    if (!slice->spatial_x || !slice->spatial_y)
        return error_memory("positions", 16.0 * (double)slice->slide.n_sites);
    for (int64_t site = 0; site < slice->slide.n_sites; site++) {
        int64_t spot = slice->slide.spot[site];
        slice->spatial_x[site] = spot < 0 ? NAN : spots->x[spot];
        slice->spatial_y[site] = spot < 0 ? NAN : spots->y[spot];
    }
    return MONGE_OK;
}

/* domain of every site of the old section, on all ranks; NULL if it has none or memory ran out (*fault). Collective. */
static double *domains_of(const struct section *from, status *fault)
{
    const struct partition *sites = &from->sites;
    *fault = MONGE_OK;
    if (!from->domain)
        return NULL;
    double *all = malloc(((size_t)sites->n + 1) * sizeof *all);
    int *count = malloc(2 * (size_t)sites->size * sizeof *count);
    *fault = agree(from->comm, all && count ? MONGE_OK : error_memory("domains", 8.0 * (double)sites->n));
    for (int r = 0; r < sites->size && !*fault; r++) {
        int64_t first = sites->block_start[sites->rank_block[r]];
        count[r] = (int)(sites->block_start[sites->rank_block[r + 1]] - first);
        count[sites->size + r] = (int)first;
    }
    if (!*fault)
        MPI_Allgatherv(from->domain, (int)sites->n_own, MPI_DOUBLE, all, count, count + sites->size, MPI_DOUBLE, from->comm);
    free(count);
    if (*fault) {
        free(all);
        all = NULL;
    }
    return all;
}

/* Collective. */
static status add_truth(struct section *slice, const struct section *from, const struct spots *spots)
{
    int64_t n = slice->sites.n_own;
    status fault;
    double *domain = domains_of(from, &fault), *value = fault ? NULL : malloc(4 * ((size_t)n + 1) * sizeof *value);
    if (!fault && !value)
        fault = error_memory("truth", 32.0 * (double)n);
    if (!fault) {
        double *row = value, *label = value + n, *place = value + 2 * n;
        for (int64_t i = 0; i < n; i++) {
            int64_t spot = slice->slide.spot[slice->sites.first + i], site = spot < 0 ? -1 : spots->site[spot];
            row[i] = spot < 0 ? -1.0 : (double)spots->row[spot];
            label[i] = domain && site >= 0 ? domain[site] : -1.0;
            place[2 * i] = place[2 * i + 1] = NAN;
            if (site >= 0)
                place_of(from, site, &place[2 * i], &place[2 * i + 1]);
        }
        fault = section_add_obs(slice, "true_spot", VALUE_INTEGER, row);
        if (!fault && domain)
            fault = section_add_obs(slice, "domain", VALUE_INTEGER, label);
        if (!fault)
            fault = section_add_obsm(slice, "true_spatial", 2, place);
    }
    free(domain);
    free(value);
    return agree(slice->comm, fault);
}

static status add_motion(struct section *slice, const struct spots *spots, const struct simulate_slice_options *o)
{
    double motion[9];
    motion_of(spots, o, motion);
    const int64_t square[2] = {3, 3}, bumps[2] = {spots->n_bumps, 5};
    double *table = malloc(5 * ((size_t)spots->n_bumps + 1) * sizeof *table);
    if (!table)
        return error_memory("a deformation", 40.0 * (double)spots->n_bumps);
    for (int64_t b = 0; b < spots->n_bumps; b++) {
        const double row[5] = {spots->bump[b].x, spots->bump[b].y, spots->bump[b].dx, spots->bump[b].dy, spots->width};
        memcpy(table + 5 * b, row, sizeof row);
    }
    status fault = section_add_uns_array(slice, "monge/simulate/slice/motion", 2, square, motion);
    if (!fault && spots->n_bumps > 0)
        fault = section_add_uns_array(slice, "monge/simulate/slice/bumps", 2, bumps, table);
    if (!fault)
        fault = section_add_uns_real(slice, "monge/simulate/slice/spacing", spots->spacing);
    free(table);
    return fault;
}

static status check(const struct simulate_slice_options *o)
{
    if (!(o->drop >= 0.0 && o->drop < 1.0))
        return error_set(MONGE_USAGE, "simulate: a share of %g of the spots cannot be dropped; give one from 0 up to but without 1",
                         o->drop);
    if (!(o->bend >= 0.0) || !(o->jitter >= 0.0) || !(o->pseudocount >= 0.0) || o->bends < 0 || o->bend_width <= 0.0)
        return error_set(MONGE_USAGE, "simulate: bends, bend, bend-width, jitter and pseudocount cannot be negative, nor bend-width 0");
    if (!isfinite(o->rotate) || !isfinite(o->shift_x) || !isfinite(o->shift_y))
        return error_set(MONGE_USAGE, "simulate: rotation and shift must be finite");
    return MONGE_OK;
}

/* What every rank computes alike: the spots, their new places, the empty slice. */
static status prepare(struct section *slice, const struct section *from, const struct simulate_slice_options *o, struct spots *spots)
{
    if (check(o) != MONGE_OK || spots_new(spots, from) != MONGE_OK || draw_bumps(spots, o) != MONGE_OK)
        return error_code();
    move_spots(spots, o);
    if (o->snap && snap_spots(spots) != MONGE_OK)
        return error_code();
    if (spots->n == 0)
        return error_set(MONGE_USAGE, "simulate: no spot is left; lower drop");
    return lay_out(slice, from, spots);
}

status simulate_slice(struct section *slice, const struct section *from, const struct simulate_slice_options *options)
{
    struct spots spots = {0};
    *slice = (struct section){.comm = from->comm};
    status fault = agree(from->comm, prepare(slice, from, options, &spots));
    if (!fault)
        fault = make_counts(slice, from, &spots, options);
    if (!fault)
        fault = add_truth(slice, from, &spots);
    if (!fault)
        fault = agree(from->comm, add_motion(slice, &spots, options));
    if (!fault)
        log_info("simulated a second slice: %lld of %lld spots, turned by %g degrees", (long long)spots.n, (long long)from->n_spots,
                 options->rotate);
    spots_free(&spots);
    if (fault)
        section_free(slice);
    return fault;
}
