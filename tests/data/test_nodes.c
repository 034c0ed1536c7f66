/* Nodes of a lattice with holes and background, and of a stack: which sites they are, and values there and back on any ranks. */
#include "monge/nodes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/lattices.h"
#include "support/suite.h"

enum { GENES = 3 };

static double count_of(int64_t spot, int gene)
{
    return (double)((spot * 5 + gene * 3) % 4);
}

/* Counts of own sites with a spot. */
static void add_counts(struct section *section)
{
    int64_t n = section->sites.n_own, e = 0;
    section->counts = (struct sparse_rows){.n_rows = n,
                                           .start = room((size_t)(n + 1) * sizeof(int64_t)),
                                           .column = room((size_t)(n * GENES) * sizeof(int32_t)),
                                           .value = room((size_t)(n * GENES) * sizeof(float))};
    for (int64_t i = 0; i < n; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        for (int g = 0; g < GENES && spot >= 0; g++)
            if (count_of(spot, g) > 0.0) {
                section->counts.column[e] = g;
                section->counts.value[e++] = (float)count_of(spot, g);
            }
        section->counts.start[i + 1] = e;
    }
}

static void single_section(struct section *section, enum lattice lattice, int32_t rows, int32_t cols)
{
    *section = (struct section){.comm = MPI_COMM_WORLD, .n_genes = GENES};
    lattice_slide(&section->slide, lattice, rows, cols, true);
    for (int64_t site = 0; site < section->slide.n_sites; site++)
        section->n_spots += section->slide.spot[site] >= 0;
    sites_shared(&section->sites, &section->slide);
    add_counts(section);
}

/* Three parts of 700, 2 and 900 sites: scattered, none of them tissue, and a square lattice. Every fifth site is background. */
static void stack_of_three(struct section *section)
{
    static const int64_t sizes[3] = {700, 2, 900};
    int64_t n = 1602, block = 0;
    *section = (struct section){.comm = MPI_COMM_WORLD, .n_genes = GENES, .n_spots = n, .n_parts = 3};
    struct slide *slide = &section->slide;
    *slide = (struct slide){.lattice = LATTICE_NONE, .n_sites = n};
    slide->kind = room((size_t)n);
    slide->spot = room((size_t)n * 8);
    slide->x = room((size_t)n * 8);
    slide->y = room((size_t)n * 8);
    slide->cell_row = room((size_t)n * 4);
    slide->cell_col = room((size_t)n * 4);
    slide->block_start = room(200 * 8);
    section->spatial_x = room((size_t)n * 8);
    section->spatial_y = room((size_t)n * 8);
    section->parts = room(3 * sizeof *section->parts);
    for (int64_t k = 0, site = 0; k < 3; k++) {
        section->parts[k] = (struct section_part){.first_spot = site,
                                                  .n_spots = sizes[k],
                                                  .first_site = site,
                                                  .n_sites = sizes[k],
                                                  .lattice = k == 2 ? LATTICE_SQUARE : LATTICE_NONE};
        for (int64_t i = 0; i < sizes[k]; i++, site++) {
            slide->kind[site] = k == 1 || site % 5 == 0 ? SITE_BACKGROUND : SITE_TISSUE;
            slide->spot[site] = n - 1 - site;
            slide->cell_row[site] = k == 2 ? (int32_t)(i / 30) : 0;
            slide->cell_col[site] = k == 2 ? (int32_t)(i % 30) : 0;
            section->spatial_x[site] = k == 2 ? 50.0 * (double)(i % 30) : 1e6 + 100.0 * hashed(i, 0, 3);
            section->spatial_y[site] = k == 2 ? 50.0 * (double)(i / 30) : 1e6 + 100.0 * hashed(i, 1, 3);
            if (i % 100 == 99 || i == sizes[k] - 1)
                slide->block_start[++block] = site + 1;
        }
    }
    slide->n_blocks = block;
    sites_shared(&section->sites, slide);
    add_counts(section);
}

static void check_places(const struct nodes *nodes, const struct section *section)
{
    const struct slide *slide = &section->slide;
    int64_t node = 0;
    for (int64_t site = 0; site < slide->n_sites; site++) {
        if (slide->kind[site] != SITE_TISSUE || slide->spot[site] < 0)
            continue;
        double x = section->spatial_x ? section->spatial_x[site] : 0.0, y = section->spatial_y ? section->spatial_y[site] : 0.0;
        if (!section->spatial_x)
            slide_position(slide, site, &x, &y);
        assert_int_equal(nodes->site[node], site);
        assert_true(nodes->x[node] == x && nodes->y[node] == y);
        if (section->n_parts)
            assert_in_range(site - section->parts[nodes->part[node]].first_site, 0, section->parts[nodes->part[node]].n_sites - 1);
        node++;
    }
    assert_int_equal(nodes->n, node);
    assert_int_equal(nodes->rows.n, node);
    for (int64_t c = 0; c < nodes->rows.n_blocks; c++)
        assert_int_equal(nodes->rows.block_start[c], c * GRAPH_CHUNK);
}

static void check_counts(const struct nodes *nodes, const struct section *section)
{
    struct sparse_rows rows;
    assert_int_equal(nodes_counts(nodes, section, &rows), MONGE_OK);
    assert_int_equal(rows.n_rows, nodes->rows.n_own);
    for (int64_t i = 0; i < rows.n_rows; i++) {
        int64_t spot = section->slide.spot[nodes->site[nodes->rows.first + i]];
        double dense[GENES] = {0};
        for (int64_t e = rows.start[i]; e < rows.start[i + 1]; e++)
            dense[rows.column[e]] = rows.value[e];
        for (int g = 0; g < GENES; g++)
            assert_true(dense[g] == count_of(spot, g));
    }
    sparse_rows_free(&rows);
}

/* Two columns of numbers that say which node they belong to, to the sites and back. */
static void check_journey(const struct nodes *nodes, const struct section *section)
{
    int64_t n = nodes->rows.n_own, m = section->sites.n_own;
    double *own = room((size_t)(2 * n + 1) * 8), *at_sites = room((size_t)(2 * m + 1) * 8), *back = room((size_t)(2 * n + 1) * 8);
    for (int64_t i = 0; i < n; i++) {
        own[2 * i] = (double)(nodes->rows.first + i);
        own[2 * i + 1] = (double)nodes->site[nodes->rows.first + i];
    }
    assert_int_equal(nodes_to_sites(nodes, section, 2, own, at_sites), MONGE_OK);
    int64_t found = 0;
    for (int64_t i = 0; i < m; i++) {
        if (isnan(at_sites[2 * i])) {
            assert_true(isnan(at_sites[2 * i + 1]));
            continue;
        }
        assert_true(at_sites[2 * i + 1] == (double)(section->sites.first + i));
        assert_int_equal(nodes->site[(int64_t)at_sites[2 * i]], section->sites.first + i);
        found++;
    }
    MPI_Allreduce(MPI_IN_PLACE, &found, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(found, nodes->n);
    assert_int_equal(nodes_from_sites(nodes, section, 2, at_sites, back), MONGE_OK);
    assert_memory_equal(own, back, (size_t)(2 * n) * 8);
    free(own);
    free(at_sites);
    free(back);
}

static void a_section_with_holes(void **state)
{
    (void)state;
    for (int hexagonal = 0; hexagonal < 2; hexagonal++) {
        struct section section;
        struct nodes nodes;
        single_section(&section, hexagonal ? LATTICE_HEX : LATTICE_SQUARE, 70, 65);
        assert_int_equal(nodes_new(&nodes, &section), MONGE_OK);
        assert_int_equal(nodes.n_parts, 1);
        assert_true(fabs(nodes.spacing[0] - 1.0) < 1e-9);
        check_places(&nodes, &section);
        for (int64_t i = 0; i < nodes.n; i++) { /* array coordinates give the positions */
            assert_true(fabs(nodes.x[i] - nodes.cell_col[i] / (hexagonal ? 2.0 : 1.0)) < 1e-9);
            assert_true(fabs(nodes.y[i] - nodes.cell_row[i] * (hexagonal ? sqrt(0.75) : 1.0)) < 1e-9);
        }
        check_counts(&nodes, &section);
        check_journey(&nodes, &section);
        nodes_free(&nodes);
        section_free(&section);
    }
}

static void a_stack(void **state)
{
    (void)state;
    struct section section;
    struct nodes nodes;
    stack_of_three(&section);
    assert_int_equal(nodes_new(&nodes, &section), MONGE_OK);
    assert_int_equal(nodes.n_parts, 3);
    assert_int_equal(nodes.n, 560 + 720);
    assert_int_equal(nodes.part[559], 0);
    assert_int_equal(nodes.part[560], 2);
    assert_true(nodes.spacing[0] > 1.0 && nodes.spacing[0] < 4.0);
    assert_true(isnan(nodes.spacing[1]));
    assert_true(nodes.spacing[2] == 50.0);
    assert_int_equal(nodes.lattice[2], LATTICE_SQUARE);
    check_places(&nodes, &section);
    check_counts(&nodes, &section);
    check_journey(&nodes, &section);
    nodes_free(&nodes);
    section_free(&section);
}

static void no_node_at_all(void **state)
{
    (void)state;
    struct section section;
    struct nodes nodes;
    single_section(&section, LATTICE_SQUARE, 9, 9);
    memset(section.slide.kind, SITE_BACKGROUND, (size_t)section.slide.n_sites);
    assert_int_equal(nodes_new(&nodes, &section), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "in_tissue"));
    assert_null(nodes.site);
    section_free(&section);
    stack_of_three(&section);
    section.spatial_y[3] = NAN;
    assert_int_equal(nodes_new(&nodes, &section), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "row 1598 "));
    section_free(&section);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_section_with_holes), cmocka_unit_test(a_stack), cmocka_unit_test(no_node_at_all)};
    SUITE(argc, argv, tests);
}
