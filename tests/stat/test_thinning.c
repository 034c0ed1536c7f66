/* Molecule thinning: the halves add up, are binomial, and have the same bits on any grid and for any selection of genes. */
#include "monge/thinning.h"

#include <math.h>
#include <string.h>

#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { ROWS = 37, COLS = 29, CELLS = ROWS * COLS, GENES = 40 };

/* Gene 0 has so many molecules per spot that one draw takes several blocks of random bits. */
static double count_at(int64_t cell, int gene)
{
    return floor((gene ? 6.0 : 1000.0) * hashed(cell, gene, 1));
}

struct dense { /* both halves of all genes in slide order, on every rank */
    double fit[GENES * CELLS], held[GENES * CELLS], whole[GENES * CELLS];
};

/* Also checks the totals. */
static void gather(const struct gene_counts *half, double *all)
{
    memset(all, 0, GENES * CELLS * sizeof *all);
    for (int64_t g = 0; g < half->n_genes; g++)
        for (int64_t k = half->start[g]; k < half->start[g + 1]; k++)
            all[half->gene[g] * CELLS + half->sites.first + half->site[k]] = (double)half->count[k];
    MPI_Allreduce(MPI_IN_PLACE, all, GENES * CELLS, MPI_DOUBLE, MPI_SUM, half->grid->comm);
    for (int64_t g = 0; g < half->n_genes; g++) {
        double total = 0.0;
        for (int i = 0; i < CELLS; i++)
            total += all[half->gene[g] * CELLS + i];
        assert_true(half->total[g] == total);
    }
}

static void thin(struct dense *dense, MPI_Comm comm, int gene_groups, const bool *selected, uint64_t seed)
{
    static double counts[GENES * CELLS];
    uint8_t mask[CELLS];
    memset(mask, 1, sizeof mask);
    for (int g = 0; g < GENES; g++)
        for (int i = 0; i < CELLS; i++)
            counts[g * CELLS + i] = count_at(i, g);
    struct counted c;
    struct gene_counts columns;
    struct thinned halves;
    counted_new(&c, comm, gene_groups, LATTICE_HEX, ROWS, COLS, mask, GENES, counts);
    assert_int_equal(gene_counts_new(&columns, &c.section, &c.grid, selected), MONGE_OK);
    assert_int_equal(thinning_new(&halves, &columns, seed), MONGE_OK);
    gather(&halves.fit, dense->fit);
    gather(&halves.held, dense->held);
    gather(&columns, dense->whole);
    thinning_free(&halves);
    gene_counts_free(&columns);
    counted_free(&c);
}

static void halves_add_up(void **state)
{
    (void)state;
    static struct dense dense;
    thin(&dense, MPI_COMM_WORLD, 1, NULL, 3);
    for (int k = 0; k < GENES * CELLS; k++) {
        assert_true(dense.fit[k] + dense.held[k] == dense.whole[k]);
        assert_true(dense.fit[k] >= 0.0 && dense.held[k] >= 0.0 && dense.fit[k] == floor(dense.fit[k]));
    }
}

/* Of x molecules a half has x/2 with variance x/4: per gene, over all, and in its spread. */
static void halves_are_binomial(void **state)
{
    (void)state;
    static struct dense dense;
    thin(&dense, MPI_COMM_WORLD, 1, NULL, 3);
    double worst = 0.0, fit = 0.0, whole = 0.0, squares = 0.0, n = 0.0;
    for (int g = 0; g < GENES; g++) {
        double gene_fit = 0.0, gene_whole = 0.0;
        for (int k = g * CELLS; k < (g + 1) * CELLS; k++) {
            double x = dense.whole[k], apart = dense.fit[k] - dense.held[k];
            gene_fit += dense.fit[k];
            gene_whole += x;
            squares += x > 0.0 ? apart * apart / x : 0.0; /* mean 1, variance 2 - 2 / x */
            n += x > 0.0;
        }
        worst = fmax(worst, fabs(gene_fit - gene_whole / 2.0) / sqrt(gene_whole / 4.0));
        fit += gene_fit;
        whole += gene_whole;
    }
    double all = fabs(fit - whole / 2.0) / sqrt(whole / 4.0), spread = fabs(squares / n - 1.0) / sqrt(2.0 / n);
    figure("molecules in one half, standard errors from 1/2", all, "<", 4);
    figure("  of the worst of 40 genes", worst, "<", 4);
    figure("  variance, standard errors from x/4", spread, "<", 4);
    assert_true(all < 4.0 && worst < 4.0 && spread < 4.0);
}

static void same_bits_on_any_grid(void **state)
{
    (void)state;
    static struct dense alone, dense;
    thin(&alone, MPI_COMM_SELF, 1, NULL, 3);
    for (int gene_groups = 1; gene_groups <= suite_size(); gene_groups++) {
        if (suite_size() % gene_groups)
            continue;
        thin(&dense, MPI_COMM_WORLD, gene_groups, NULL, 3);
        assert_memory_equal(&dense, &alone, sizeof dense);
    }
    bool selected[GENES];
    for (int g = 0; g < GENES; g++)
        selected[g] = g % 3 == 1;
    thin(&dense, MPI_COMM_WORLD, 1, selected, 3);
    for (int g = 1; g < GENES; g += 3)
        assert_memory_equal(dense.fit + g * CELLS, alone.fit + g * CELLS, CELLS * sizeof *dense.fit);
}

/* Two draws agree by chance: Poisson halves of some three molecules in a third of the places. */
static void another_seed_draws_anew(void **state)
{
    (void)state;
    static struct dense one, other;
    thin(&one, MPI_COMM_WORLD, 1, NULL, 3);
    thin(&other, MPI_COMM_WORLD, 1, NULL, 4);
    double same = 0.0, n = 0.0;
    for (int k = 0; k < GENES * CELLS; k++) {
        same += one.whole[k] > 1.0 && one.fit[k] == other.fit[k];
        n += one.whole[k] > 1.0;
    }
    figure("share of places where two seeds agree", same / n, "<", 0.4);
    assert_true(same / n > 0.2 && same / n < 0.4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_add_up),
        cmocka_unit_test(halves_are_binomial),
        cmocka_unit_test(same_bits_on_any_grid),
        cmocka_unit_test(another_seed_draws_anew),
    };
    SUITE(argc, argv, tests);
}
