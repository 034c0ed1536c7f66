/* Neighbours on a lattice: cells a number of steps away, in doubled columns where it is hexagonal (10x's array coordinates: a step along a
 * row is two half-columns, a step to the next row is one), looked up in a table of the bounding rectangle. */
#include <math.h>
#include <stdlib.h>

#include "graph_parts.h"
#include "lattice.h"

struct lattice_table {
    int32_t first_row, first_col;
    int64_t n_rows, n_cols;
    int half;      /* 1: two half-columns to a cell */
    int32_t *node; /* cells: node within the part, -1: none */
};

static bool table_cell(const struct lattice_table *t, int32_t row, int32_t col, int64_t *cell)
{
    int64_t r = (int64_t)row - t->first_row, c = ((int64_t)col - t->first_col) >> t->half;
    if (r < 0 || r >= t->n_rows || col < t->first_col || c >= t->n_cols)
        return false;
    *cell = r * t->n_cols + c;
    return true;
}

static status table_new(struct lattice_table *t, const struct graph_part *part, enum lattice lattice)
{
    const int32_t *row = part->places->cell_row, *col = part->places->cell_col;
    int32_t last_row = row[part->first], last_col = col[part->first];
    *t = (struct lattice_table){.first_row = last_row, .first_col = last_col, .half = lattice == LATTICE_HEX};
    for (int64_t i = part->first; i < part->end; i++) {
        t->first_row = row[i] < t->first_row ? row[i] : t->first_row;
        t->first_col = col[i] < t->first_col ? col[i] : t->first_col;
        last_row = row[i] > last_row ? row[i] : last_row;
        last_col = col[i] > last_col ? col[i] : last_col;
    }
    t->n_rows = (int64_t)last_row - t->first_row + 1;
    t->n_cols = (((int64_t)last_col - t->first_col) >> t->half) + 1;
    double cells = (double)t->n_rows * (double)t->n_cols;
    if (cells > lattice_most_cells(part->end - part->first))
        return error_set(MONGE_BAD_DATA, "the lattice of section %d spans %.3g cells for %lld spots; use --graph radius or knn",
                         part->part + 1, cells, (long long)(part->end - part->first));
    t->node = malloc((size_t)cells * sizeof *t->node);
    if (!t->node)
        return error_memory("the cells of the lattice", 4.0 * cells);
    for (int64_t cell = 0; cell < t->n_rows * t->n_cols; cell++)
        t->node[cell] = -1;
    for (int64_t i = part->first, cell; i < part->end; i++)
        if (table_cell(t, row[i], col[i], &cell))
            t->node[cell] = (int32_t)(i - part->first);
    return MONGE_OK;
}

/* Steps from a cell to the one `row` rows and `col` columns away; -1: there is no such cell. */
static int steps_to(enum lattice lattice, bool diagonal, int row, int col)
{
    row = abs(row);
    col = abs(col);
    if (lattice == LATTICE_HEX)
        return (row + col) % 2 ? -1 : row + (col > row ? (col - row) / 2 : 0);
    return diagonal ? (row > col ? row : col) : row + col;
}

static status link_cell(struct links *links, const struct graph_part *part, const struct lattice_table *t, int64_t i, int32_t row,
                        int32_t col, bool distinct)
{
    int64_t cell;
    if (!table_cell(t, row, col, &cell) || t->node[cell] < 0)
        return MONGE_OK;
    int64_t j = part->first + t->node[cell];
    double distance = graph_distance(part->places, i, j);
    if (distinct && distance == 0.0)
        return MONGE_OK;
    return links_push(links, (struct link){j, (int32_t)(i - part->places->rows->first), (float)distance});
}

static status check_lattice(const struct graph_part *part, int neighbours)
{
    const struct graph_places *places = part->places;
    enum lattice lattice = places->lattice && places->cell_row ? places->lattice[part->part] : LATTICE_NONE;
    if (lattice == LATTICE_NONE)
        return error_set(MONGE_BAD_DATA, "the spots of section %d stand on no lattice; use --graph radius, knn or delaunay",
                         part->part + 1);
    if (lattice == LATTICE_HEX ? neighbours != 0 && neighbours != 6 : neighbours != 0 && neighbours != 4 && neighbours != 8)
        return error_set(MONGE_USAGE, "a cell of section %d, whose lattice is %s, has no %d neighbours; --neighbours is %s", part->part + 1,
                         lattice == LATTICE_HEX ? "hexagonal" : "square", neighbours, lattice == LATTICE_HEX ? "6" : "4 or 8");
    return MONGE_OK;
}

status graph_part_lattice(struct links *links, const struct graph_part *part, int neighbours, int rings, bool distinct)
{
    if (part->first == part->end)
        return MONGE_OK;
    if (check_lattice(part, neighbours) != MONGE_OK)
        return error_code();
    const struct graph_places *places = part->places;
    enum lattice lattice = places->lattice[part->part];
    struct lattice_table table;
    status s = table_new(&table, part, lattice);
    int wide = lattice == LATTICE_HEX ? 2 * rings : rings;
    for (int64_t i = part->own_first; i < part->own_end; i++)
        for (int row = -rings; row <= rings; row++)
            for (int col = -wide; col <= wide; col++) {
                int steps = steps_to(lattice, neighbours == 8, row, col);
                if (s == MONGE_OK && steps > 0 && steps <= rings)
                    s = link_cell(links, part, &table, i, places->cell_row[i] + row, places->cell_col[i] + col, distinct);
            }
    free(table.node);
    return s;
}
