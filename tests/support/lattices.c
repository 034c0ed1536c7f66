#include "support/lattices.h"

#include "support/suite.h"

#include <math.h>
#include <stdlib.h>

void *room(size_t bytes)
{
    void *memory = calloc(bytes ? bytes : 1, 1);
    assert_non_null(memory);
    return memory;
}

double hashed(int64_t site, int lane, int stream)
{
    uint64_t z = (uint64_t)site * 0x9E3779B97F4A7C15u + (uint64_t)lane * 0xD1B54A32D192ED03u + (uint64_t)stream * 0x8CB92BA72F3D8DD7u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

void lattice_slide(struct slide *slide, enum lattice lattice, int32_t n_rows, int32_t n_cols, bool holes)
{
    uint8_t *kind = room((size_t)n_rows * (size_t)n_cols);
    for (int32_t r = 0; r < n_rows; r++)
        for (int32_t c = 0; c < n_cols; c++) {
            double v = 2.0 * (r + 0.5) / n_rows - 1.0, u = 2.0 * (c + 0.5) / n_cols - 1.0, angle = atan2(v, u);
            double reach = 0.82 + 0.06 * sin(2 * angle) + 0.05 * sin(3 * angle + 1) + 0.03 * sin(5 * angle + 2);
            uint8_t *k = &kind[(int64_t)r * n_cols + c];
            *k = hypot(u, v) < reach ? SITE_TISSUE : SITE_BACKGROUND;
            if (holes && ((r < 3 && c < 4) || c == n_cols / 3 || hashed((int64_t)r * n_cols + c, 0, 77) < 0.03))
                *k = SITE_OFF;
        }
    assert_int_equal(slide_new_lattice(slide, lattice, n_rows, n_cols, kind), MONGE_OK);
    free(kind);
}

void scattered_slide(struct slide *slide, int64_t n_spots)
{
    double *x = room((size_t)n_spots * sizeof *x), *y = room((size_t)n_spots * sizeof *y), side = sqrt((double)n_spots);
    uint8_t *tissue = room((size_t)n_spots);
    for (int64_t i = 0; i < n_spots; i++) {
        x[i] = side * hashed(i, 0, 1);
        y[i] = side * hashed(i, 1, 1);
        tissue[i] = hypot(x[i] / side - 0.5, y[i] / side - 0.5) < 0.4;
    }
    struct spot_table spots = {.n_spots = n_spots, .x = x, .y = y, .in_tissue = tissue, .source = "scattered"};
    assert_int_equal(slide_new(slide, &spots, HOLES_OMIT), MONGE_OK);
    assert_int_equal(slide->lattice, LATTICE_NONE);
    free(x);
    free(y);
    free(tissue);
}

double site_distance(const struct slide *slide, int64_t i, int64_t j)
{
    double x, y, u, v;
    slide_position(slide, i, &x, &y);
    slide_position(slide, j, &u, &v);
    return sqrt((x - u) * (x - u) + (y - v) * (y - v));
}

void sites_shared(struct partition *sites, const struct slide *slide)
{
    assert_int_equal(partition_new(sites, MPI_COMM_WORLD, slide->n_blocks, slide->block_start), MONGE_OK);
}

void sites_alone(struct partition *sites, const struct slide *slide)
{
    assert_int_equal(partition_new(sites, MPI_COMM_SELF, slide->n_blocks, slide->block_start), MONGE_OK);
}

double *field_f64(const struct partition *sites, int lanes, int stream)
{
    double *field = room((size_t)sites->n_own * (size_t)lanes * sizeof *field);
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int lane = 0; lane < lanes; lane++)
            field[i * lanes + lane] = hashed(sites->first + i, lane, stream);
    return field;
}

float *field_f32(const struct partition *sites, int lanes, int stream)
{
    float *field = room((size_t)sites->n_own * (size_t)lanes * sizeof *field);
    for (int64_t i = 0; i < sites->n_own; i++)
        for (int lane = 0; lane < lanes; lane++)
            field[i * lanes + lane] = (float)hashed(sites->first + i, lane, stream);
    return field;
}
