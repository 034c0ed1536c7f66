/* The calibration window: on a large slide the kernel fit, the choices and their comparators are made on a part of it.
 *
 * They estimate a handful of numbers, for which a few ten thousand sites are as good as millions. The window is the rectangle of whole
 * squares (monge/slide_window.h) of about the wanted size whose share of tissue is nearest .6, for the background is what identifies the
 * spread; of nearly equal ones the one with most molecules. It becomes a section of its own, on which everything runs as on a small slide.
 *
 * Molecules cross the sides along which it was cut. Sites near them (slide->margin) are sources and neighbours, but are not scored. And
 * molecules that land anywhere come from the whole slide: their level is that of the slide's molecules per site, not the window's.
 * Fitted on the window, the share U of such molecules is the window's; with the same level, and the same molecules in all other
 * parts, the slide's share is U' = U m / M, and the rest is (1 - U') / (1 - U) times as much, where m and M are molecules per destination
 * factor of the window and of the slide (correct_carried). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/slide_window.h"

int64_t correct_window_size(int64_t wanted, double n_sites)
{
    const int64_t enough = 25000;
    const double large = 40000.0; /* smaller slides are taken whole: an 11 mm Visium slide has 14336 spots */
    if (wanted != OPTION_UNSET)
        return wanted > 0 && (double)wanted < n_sites ? wanted : 0;
    return n_sites > large ? enough : 0;
}

int64_t correct_window_genes(int64_t wanted, int64_t n_sites)
{
    const double most = 384.0, least = 128.0, budget = 3.3e6; /* sites x genes; 128 genes can carry rank 40 */
    return wanted != OPTION_UNSET ? wanted : correct_even_batches(fmin(most, fmax(least, budget / (double)n_sites)));
}

/* ---- which window ---- */

/* Sums over squares above and left of a corner: (n_rows + 1) x (n_cols + 1) x KINDS; all are integers. */
enum { TISSUE, BACKGROUND, MOLECULES, KINDS };
struct corner_sums {
    struct slide_squares squares;
    double *sum;
};

static double *at_corner(const struct corner_sums *s, int32_t row, int32_t col)
{
    return s->sum + ((int64_t)row * (s->squares.n_cols + 1) + col) * KINDS;
}

static void add_up(struct corner_sums *s)
{
    for (int32_t row = 1; row <= s->squares.n_rows; row++)
        for (int32_t col = 1; col <= s->squares.n_cols; col++)
            for (int k = 0; k < KINDS; k++)
                at_corner(s, row, col)[k] +=
                    at_corner(s, row - 1, col)[k] + at_corner(s, row, col - 1)[k] - at_corner(s, row - 1, col - 1)[k];
}

/* Collective. */
static status corner_sums_new(struct corner_sums *s, const struct section *section, const double *total)
{
    const struct slide *slide = &section->slide;
    s->squares = slide_squares(slide);
    int64_t n = ((int64_t)s->squares.n_rows + 1) * (s->squares.n_cols + 1) * KINDS;
    s->sum = calloc((size_t)n, sizeof *s->sum);
    status fault = agree(section->comm, s->sum ? MONGE_OK : error_memory("the calibration window", 8.0 * (double)n));
    if (fault) {
        free(s->sum);
        return fault;
    }
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t site = section->sites.first + i, square = slide_square(&s->squares, site);
        double *sum = at_corner(s, (int32_t)(square / s->squares.n_cols) + 1, (int32_t)(square % s->squares.n_cols) + 1);
        sum[TISSUE] += slide->kind[site] == SITE_TISSUE;
        sum[BACKGROUND] += slide->kind[site] == SITE_BACKGROUND;
        sum[MOLECULES] += total[i];
    }
    for (int64_t first = 0; first < n; first += INT32_MAX)
        MPI_Allreduce(MPI_IN_PLACE, s->sum + first, (int)(n - first < INT32_MAX ? n - first : INT32_MAX), MPI_DOUBLE, MPI_SUM,
                      section->comm);
    add_up(s);
    return MONGE_OK;
}

static void sums_in(const struct corner_sums *s, const struct square_range *range, double sums[KINDS])
{
    int32_t bottom = range->row + range->n_rows, right = range->col + range->n_cols;
    for (int k = 0; k < KINDS; k++)
        sums[k] = at_corner(s, bottom, right)[k] - at_corner(s, range->row, right)[k] - at_corner(s, bottom, range->col)[k] +
                  at_corner(s, range->row, range->col)[k];
}

/* As square as the slide allows; all of it if it is hardly larger. */
static struct square_range shape_of(const struct corner_sums *s, int64_t wanted)
{
    const struct slide_squares *q = &s->squares;
    double occupied = 0.0, sites = (double)q->slide->n_sites;
    for (int32_t row = 0; row < q->n_rows; row++)
        for (int32_t col = 0; col < q->n_cols; col++) {
            double sums[KINDS];
            sums_in(s, &(struct square_range){row, col, 1, 1}, sums);
            occupied += sums[TISSUE] + sums[BACKGROUND] > 0.0;
        }
    double n = fmax(1.0, (double)wanted * occupied / sites);
    int32_t rows = (int32_t)fmin(q->n_rows, fmax(1.0, round(sqrt(n))));
    int32_t cols = (int32_t)fmin(q->n_cols, fmax(1.0, round(n / rows)));
    rows = (int32_t)fmin(q->n_rows, fmax(1.0, round(n / cols)));
    return (struct square_range){0, 0, rows, cols};
}

/* Distance of the tissue's share from .6, in steps of .02; windows with few spots or molecules for their size come last. */
static double rank_of(const double sums[KINDS], const double all[KINDS], int64_t wanted)
{
    const double share = .6, step = .02, poor = 1e3;
    double spots = sums[TISSUE] + sums[BACKGROUND], everywhere = all[TISSUE] + all[BACKGROUND];
    if (!(sums[TISSUE] > 0.0) || !(sums[MOLECULES] > 0.0))
        return INFINITY;
    bool few = spots < .5 * (double)wanted || sums[MOLECULES] < .5 * all[MOLECULES] * spots / everywhere;
    return round(fabs(sums[TISSUE] / spots - share) / step) + (few ? poor : 0.0);
}

static void describe(struct calibration_window *window, const struct corner_sums *s, const double sums[KINDS], const double all[KINDS])
{
    const struct slide *slide = s->squares.slide;
    const struct square_range *range = &window->range;
    const int side = 16; /* of a square: cells, or pitches */
    int step = slide->lattice == LATTICE_HEX ? 2 : 1, row = range->row * side, col = range->col * side;
    int bottom = row + range->n_rows * side, right = col + range->n_cols * side;
    window->tissue = sums[TISSUE];
    window->background = sums[BACKGROUND];
    window->molecules = sums[MOLECULES];
    window->slide_tissue = all[TISSUE];
    window->slide_background = all[BACKGROUND];
    window->slide_molecules = all[MOLECULES];
    window->margin = fmin(side, floor(side / 6.0 * (range->n_rows < range->n_cols ? range->n_rows : range->n_cols)));
    window->used = range->n_rows < s->squares.n_rows || range->n_cols < s->squares.n_cols;
    if (slide->lattice == LATTICE_NONE)
        snprintf(window->where, sizeof window->where, "x %d to %d, y %d to %d pitches from the upper left corner", col, right, row, bottom);
    else
        snprintf(window->where, sizeof window->where, "array_row %d to %d, array_col %d to %d", slide->first_row + row,
                 slide->first_row + (bottom < slide->n_rows ? bottom : slide->n_rows) - 1, slide->first_col + step * col,
                 slide->first_col + step * ((right < slide->n_cols ? right : slide->n_cols) - 1));
}

status correct_window_choose(struct calibration_window *window, const struct section *section, const double *total, int64_t wanted)
{
    struct corner_sums s;
    *window = (struct calibration_window){0};
    if (wanted == 0)
        return MONGE_OK;
    status fault = corner_sums_new(&s, section, total);
    if (fault)
        return fault;
    struct square_range range = shape_of(&s, wanted);
    double all[KINDS], sums[KINDS], best[KINDS] = {0}, best_rank = INFINITY;
    sums_in(&s, &(struct square_range){0, 0, s.squares.n_rows, s.squares.n_cols}, all);
    for (range.row = 0; range.row <= s.squares.n_rows - range.n_rows; range.row++)
        for (range.col = 0; range.col <= s.squares.n_cols - range.n_cols; range.col++) {
            sums_in(&s, &range, sums);
            double rank = rank_of(sums, all, wanted);
            if (rank < best_rank || (isfinite(rank) && rank == best_rank && sums[MOLECULES] > best[MOLECULES])) {
                best_rank = rank;
                memcpy(best, sums, sizeof best);
                window->range = range;
            }
        }
    if (isfinite(best_rank))
        describe(window, &s, best, all);
    free(s.sum);
    return MONGE_OK;
}

/* ---- its section ---- */

/* Rows that travel: for each rank, (site of the window, number of entries) of the rows, and their entries. */
struct parcels {
    int size;
    int *rows, *entries, *row_at, *entry_at; /* size each; counts and where they begin */
    int32_t *row;                            /* 2 per row */
    int32_t *column;
    float *value;
};

static void parcels_free(struct parcels *p)
{
    free(p->rows);
    free(p->row);
    free(p->column);
    free(p->value);
}

static status parcels_new(struct parcels *p, int size)
{
    *p = (struct parcels){.size = size, .rows = calloc(4 * (size_t)size, sizeof(int))};
    if (!p->rows)
        return error_memory("the calibration window", 16.0 * size);
    p->entries = p->rows + size;
    p->row_at = p->entries + size;
    p->entry_at = p->row_at + size;
    return MONGE_OK;
}

/* From the counts to the places, and room for the contents. */
static status parcels_lay_out(struct parcels *p)
{
    int64_t rows = 0, entries = 0;
    for (int r = 0; r < p->size; r++) {
        p->row_at[r] = (int)rows;
        p->entry_at[r] = (int)entries;
        rows += p->rows[r];
        entries += p->entries[r];
        if (2 * rows > INT32_MAX || entries > INT32_MAX)
            return error_set(MONGE_INTERNAL, "more than 2^31 counts of the calibration window on one rank; use more ranks");
    }
    p->row = malloc((2 * (size_t)rows + 1) * sizeof *p->row);
    p->column = malloc(((size_t)entries + 1) * sizeof *p->column);
    p->value = malloc(((size_t)entries + 1) * sizeof *p->value);
    return p->row && p->column && p->value ? MONGE_OK : error_memory("the calibration window", 8.0 * (double)(rows + entries));
}

static void count_rows(struct parcels *p, const struct section *from, const struct partition *to, const int32_t *place)
{
    for (int64_t i = 0; i < from->counts.n_rows; i++)
        if (place[i] >= 0) {
            int rank = partition_owner(to, place[i]);
            p->rows[rank] += 2;
            p->entries[rank] += (int)(from->counts.start[i + 1] - from->counts.start[i]);
        }
}

static void pack_rows(struct parcels *p, const struct section *from, const struct partition *to, const int32_t *place)
{
    const struct sparse_rows *counts = &from->counts;
    for (int64_t i = 0; i < counts->n_rows; i++) {
        if (place[i] < 0)
            continue;
        int rank = partition_owner(to, place[i]);
        size_t n = (size_t)(counts->start[i + 1] - counts->start[i]);
        p->row[p->row_at[rank]++] = place[i];
        p->row[p->row_at[rank]++] = (int32_t)n;
        if (n > 0) {
            memcpy(p->column + p->entry_at[rank], counts->column + counts->start[i], n * sizeof *p->column);
            memcpy(p->value + p->entry_at[rank], counts->value + counts->start[i], n * sizeof *p->value);
        }
        p->entry_at[rank] += (int)n;
    }
    for (int r = 0; r < p->size; r++) {
        p->row_at[r] -= p->rows[r];
        p->entry_at[r] -= p->entries[r];
    }
}

static void unpack_rows(const struct parcels *p, int64_t first, struct sparse_rows *rows)
{
    int n = p->row_at[p->size - 1] + p->rows[p->size - 1], at = 0;
    for (int k = 0; k < n; k += 2)
        rows->start[p->row[k] - first + 1] = p->row[k + 1];
    for (int64_t i = 0; i < rows->n_rows; i++)
        rows->start[i + 1] += rows->start[i];
    for (int k = 0; k < n; at += p->row[k + 1], k += 2)
        if (p->row[k + 1] > 0) {
            memcpy(rows->column + rows->start[p->row[k] - first], p->column + at, (size_t)p->row[k + 1] * sizeof *rows->column);
            memcpy(rows->value + rows->start[p->row[k] - first], p->value + at, (size_t)p->row[k + 1] * sizeof *rows->value);
        }
}

static void mail(const struct parcels *out, struct parcels *in, MPI_Comm comm)
{
    MPI_Alltoallv(out->row, out->rows, out->row_at, MPI_INT32_T, in->row, in->rows, in->row_at, MPI_INT32_T, comm);
    MPI_Alltoallv(out->column, out->entries, out->entry_at, MPI_INT32_T, in->column, in->entries, in->entry_at, MPI_INT32_T, comm);
    MPI_Alltoallv(out->value, out->entries, out->entry_at, MPI_FLOAT, in->value, in->entries, in->entry_at, MPI_FLOAT, comm);
}

/* Collective. place [own sites of `from`]: site of the window, or -1. */
static status move_rows(const struct section *from, const int32_t *place, struct section *window)
{
    MPI_Comm comm = from->comm;
    struct parcels out, in = {0};
    struct sparse_rows *rows = &window->counts;
    status fault = parcels_new(&out, from->sites.size);
    if (!fault)
        fault = parcels_new(&in, from->sites.size);
    if (!fault) {
        count_rows(&out, from, &window->sites, place);
        fault = parcels_lay_out(&out);
    }
    fault = agree(comm, fault);
    if (!fault) {
        pack_rows(&out, from, &window->sites, place);
        MPI_Alltoall(out.rows, 1, MPI_INT, in.rows, 1, MPI_INT, comm);
        MPI_Alltoall(out.entries, 1, MPI_INT, in.entries, 1, MPI_INT, comm);
        fault = parcels_lay_out(&in);
        int64_t entries = fault ? 0 : (int64_t)in.entry_at[in.size - 1] + in.entries[in.size - 1];
        rows->n_rows = window->sites.n_own;
        rows->start = calloc((size_t)rows->n_rows + 1, sizeof *rows->start);
        rows->column = malloc(((size_t)entries + 1) * sizeof *rows->column);
        rows->value = malloc(((size_t)entries + 1) * sizeof *rows->value);
        if (!fault && !(rows->start && rows->column && rows->value))
            fault = error_memory("the calibration window", 8.0 * (double)entries);
        fault = agree(comm, fault);
    }
    if (!fault) {
        mail(&out, &in, comm);
        unpack_rows(&in, window->sites.first, rows);
    }
    parcels_free(&out);
    parcels_free(&in);
    return fault;
}

/* Collective. Names are borrowed from the whole section. */
static status make_section(struct calibration *calibration, const struct section *whole, const struct calibration_window *window)
{
    struct section *section = &calibration->section;
    int64_t n = 0, own = whole->sites.n_own;
    section->comm = whole->comm;
    status fault = slide_window_new(&section->slide, &whole->slide, &window->range, window->margin, &calibration->origin);
    if (!fault)
        fault = partition_new(&section->sites, whole->comm, section->slide.n_blocks, section->slide.block_start);
    int32_t *place = malloc(((size_t)own + 1) * sizeof *place);
    if (!fault && !place)
        fault = error_memory("the calibration window", 4.0 * (double)own);
    fault = agree(whole->comm, fault);
    if (!fault) {
        memset(place, -1, (size_t)own * sizeof *place);
        for (int64_t site = 0; site < section->slide.n_sites; site++) {
            int64_t i = calibration->origin[site] - whole->sites.first;
            n += section->slide.spot[site] >= 0;
            if (i >= 0 && i < own)
                place[i] = (int32_t)site;
        }
        section->n_spots = n;
        section->n_genes = whole->n_genes;
        section->source = whole->source;
        section->gene_name = whole->gene_name;
        section->gene_id = whole->gene_id;
        fault = move_rows(whole, place, section);
    }
    free(place);
    return fault;
}

/* ---- as a correction of its own ---- */

void calibration_free(struct calibration *calibration)
{
    if (!calibration)
        return;
    struct section *section = &calibration->section;
    section->source = NULL; /* borrowed */
    section->gene_name = section->gene_id = NULL;
    correction_free(&calibration->run);
    section_free(section);
    free(calibration->origin);
    free(calibration);
}

status calibration_new(struct calibration **result, struct correction *whole)
{
    struct calibration *calibration = calloc(1, sizeof *calibration);
    *result = NULL;
    status fault = agree(whole->section->comm, calibration ? MONGE_OK : error_memory("the calibration window", 0.0));
    if (fault) {
        free(calibration);
        return fault;
    }
    calibration->run = (struct correction){.section = &calibration->section, .options = whole->options, .whole = whole, .beta_factor = 1.0};
    fault = make_section(calibration, whole->section, &whole->window);
    calibration->run.least_total = fmax(1.0, whole->least_total * whole->window.molecules / whole->window.slide_molecules);
    calibration->run.sample_genes = correct_window_genes(whole->options->selection_genes, calibration->section.slide.n_sites);
    if (!fault && (fault = correct_prepare(&calibration->run)))
        error_prefix("calibration window (--calibration-sites 0 takes the whole slide)");
    if (fault) {
        calibration_free(calibration);
        return fault;
    }
    *result = calibration;
    return MONGE_OK;
}

status calibration_receive(struct calibration *calibration)
{
    struct correction *run = &calibration->run, *whole = run->whole;
    const struct partition *from = &whole->columns.sites, *to = &run->columns.sites;
    double *all = malloc((size_t)(from->n + 1) * sizeof *all);
    status fault = agree(from->comm, all ? MONGE_OK : error_memory("receiving factors", 8.0 * (double)from->n));
    if (!fault)
        fault = gather_field(from, whole->e, all);
    for (int64_t i = 0; i < to->n_own && !fault; i++)
        run->e[i] = all[calibration->origin[to->first + i]];
    run->capture = whole->capture;
    free(all);
    return agree(whole->section->comm, fault);
}

/* ---- between window and slide ---- */

double correct_window_density(const struct calibration_window *window, double permeability)
{
    if (!window->used)
        return 1.0;
    double inside = window->molecules / (window->tissue + permeability * window->background);
    return inside / (window->slide_molecules / (window->slide_tissue + permeability * window->slide_background));
}

struct kernel_parameters correct_carried(const struct kernel_parameters *from, double ratio)
{
    const double most = .9;
    struct kernel_parameters to = *from;
    if (ratio == 1.0 || !(from->beta > 0.0))
        return to;
    double here = from->beta * from->uniform_weight, there = fmin(here * ratio, fmax(here, most)), rest = (1.0 - there) / (1.0 - here);
    to.beta = 1.0 - (1.0 - from->beta) * rest;
    to.tail_weight = from->beta * from->tail_weight * rest / to.beta;
    to.uniform_weight = there / to.beta;
    return to;
}

/* ---- told ---- */

void correct_window_log(const struct calibration_window *window)
{
    double spots = window->tissue + window->background;
    log_info("kernel fit and choices on a calibration window: %s; %.0f of %.0f spots, %.0f %% of them tissue, %.0f molecules",
             window->where, spots, window->slide_tissue + window->slide_background, 100.0 * window->tissue / spots, window->molecules);
}

void correct_window_record(struct recorder *r, const struct calibration_window *window)
{
    double spots = window->tissue + window->background;
    recorder_bool(r, "calibration/window", window->used);
    if (!window->used)
        return;
    recorder_text(r, "calibration/where", window->where);
    recorder_real(r, "calibration/spots", spots);
    recorder_real(r, "calibration/spots_of_slide", window->slide_tissue + window->slide_background);
    recorder_real(r, "calibration/tissue_share", window->tissue / spots);
    recorder_real(r, "calibration/molecules", window->molecules);
    recorder_real(r, "calibration/margin", window->margin);
}
