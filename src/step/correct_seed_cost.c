/* Transport costs of the literal formulation: on a lattice M depends on the offset between two cells and on their masks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed_parts.h"

static size_t table_cells(const struct cost_table *table)
{
    return (size_t)table->n_rows * (size_t)table->n_halves;
}

/* Distance in a cell of the table. */
static double cell_distance(const struct cost_table *table, size_t cell)
{
    double height = table->slide->lattice == LATTICE_HEX ? sqrt(0.75) : 1.0;
    double row = (double)(cell / (size_t)table->n_halves), half = (double)(cell % (size_t)table->n_halves);
    return hypot(0.5 * half, height * row);
}

status cost_table_new(struct cost_table *table, const struct slide *slide, const struct phi *phi)
{
    *table = (struct cost_table){.slide = slide, .phi = phi};
    if (slide->lattice == LATTICE_NONE)
        return MONGE_OK;
    table->n_rows = slide->n_rows;
    table->n_halves = 2 * slide->n_cols;
    size_t n = table_cells(table);
    table->value = malloc(4 * n * sizeof *table->value);
    if (!table->value)
        return error_memory("transport costs", 32.0 * (double)n);
    for (size_t k = 0; k < 4 * n; k++)
        table->value[k] = phi_cost(phi, cell_distance(table, k % n), k / n >= 2, (k / n) % 2 == 1);
    return MONGE_OK;
}

void cost_table_free(struct cost_table *table)
{
    free(table->value);
    memset(table, 0, sizeof *table);
}

struct place place_of(const struct slide *slide, int64_t site)
{
    struct place place = {.site = site, .tissue = slide->kind[site] == SITE_TISSUE};
    if (slide->lattice != LATTICE_NONE) {
        int32_t col;
        slide_cell(slide, site, &place.row, &col);
        place.half = 2 * col + (slide->lattice == LATTICE_HEX && (place.row & 1) == slide->parity);
    }
    return place;
}

static size_t table_index(const struct cost_table *table, const struct place *seen, const struct place *source)
{
    size_t row = (size_t)abs(seen->row - source->row), half = (size_t)abs(seen->half - source->half);
    size_t masks = (size_t)(2 * seen->tissue + source->tissue);
    return masks * table_cells(table) + row * (size_t)table->n_halves + half;
}

static double distance_between(const struct slide *slide, int64_t seen, int64_t source)
{
    return hypot(slide->x[seen] - slide->x[source], slide->y[seen] - slide->y[source]);
}

double cost_between_places(const struct cost_table *table, const struct place *seen, const struct place *source)
{
    if (table->value)
        return table->value[table_index(table, seen, source)];
    return phi_cost(table->phi, distance_between(table->slide, seen->site, source->site), seen->tissue, source->tissue);
}

double cost_between(const struct cost_table *table, int64_t seen, int64_t source)
{
    struct place from = place_of(table->slide, source), to = place_of(table->slide, seen);
    return cost_between_places(table, &to, &from);
}

double *cost_table_bar_new(const struct cost_table *table)
{
    return calloc(4 * table_cells(table) + 1, sizeof(double));
}

void cost_adjoint(const struct cost_table *table, int64_t seen, int64_t source, double cost_bar, double *table_bar, double *phi_bar)
{
    const struct slide *slide = table->slide;
    if (table->value) {
        struct place from = place_of(slide, source), to = place_of(slide, seen);
        table_bar[table_index(table, &to, &from)] += cost_bar;
        return;
    }
    double d = distance_between(slide, seen, source);
    phi_weight_adjoint(table->phi, d, slide->kind[seen] == SITE_TISSUE, slide->kind[source] == SITE_TISSUE,
                       cost_bar * pow(d, table->phi->power), phi_bar);
}

void cost_table_adjoint(const struct cost_table *table, const double *table_bar, double *phi_bar)
{
    size_t n = table_cells(table);
    for (size_t k = 0; k < 4 * n; k++)
        if (table_bar[k] != 0.0) {
            double d = cell_distance(table, k % n);
            phi_weight_adjoint(table->phi, d, k / n >= 2, (k / n) % 2 == 1, table_bar[k] * pow(d, table->phi->power), phi_bar);
        }
}
