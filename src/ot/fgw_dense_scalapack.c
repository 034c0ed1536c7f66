/* (A T) B by ScaLAPACK: B, A T and the product block-cyclic over all ranks. No rank forms panels of B, which pays where distances are
 * dear; but rows go to the 2-D layout and back in every step, and sums depend on the grid of ranks: the same plan to rounding only. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"
#include "monge/block_cyclic.h"

struct fgw_scalapack {
    struct blacs_grid grid;
    struct block_cyclic b, left, product;
};

/* B from rows that each rank computes in its turn. Collective. */
static status fill_b(struct fgw_scalapack *s, const struct fgw_dense *dense)
{
    int64_t m = dense->b.n, first = m * dense->rank / dense->size, own = m * (dense->rank + 1) / dense->size - first;
    double *rows = malloc((size_t)(own * m + 1) * sizeof *rows);
    status fault = agree(dense->problem->comm, rows ? MONGE_OK : error_memory("a distributed matrix", 8.0 * (double)(own * m)));
    if (fault == MONGE_OK) {
        fgw_side_block(&dense->b, first, own, 0, m, rows);
        fault = block_cyclic_from_rows(&s->b, (int)own, rows);
    }
    free(rows);
    return fault;
}

status fgw_scalapack_new(struct fgw_dense *dense)
{
    int n = (int)dense->a.n, m = (int)dense->b.n;
    struct fgw_scalapack *s = calloc(1, sizeof *s);
    status fault = agree(dense->problem->comm, s ? MONGE_OK : error_memory("a process grid", sizeof *s));
    if (fault == MONGE_OK)
        fault = blacs_grid_new(&s->grid, dense->problem->comm);
    if (fault != MONGE_OK) {
        free(s);
        return fault;
    }
    dense->scalapack = s;
    fault = block_cyclic_new(&s->b, &s->grid, m, m);
    if (fault == MONGE_OK)
        fault = block_cyclic_new(&s->left, &s->grid, n, m);
    if (fault == MONGE_OK)
        fault = block_cyclic_new(&s->product, &s->grid, n, m);
    fault = agree(dense->problem->comm, fault);
    return fault == MONGE_OK ? fill_b(s, dense) : fault;
}

void fgw_scalapack_free(struct fgw_dense *dense)
{
    struct fgw_scalapack *s = dense->scalapack;
    if (!s)
        return;
    block_cyclic_free(&s->b);
    block_cyclic_free(&s->left);
    block_cyclic_free(&s->product);
    blacs_grid_free(&s->grid);
    free(s);
    dense->scalapack = NULL;
}

status fgw_scalapack_times_b(struct fgw_dense *dense, double *product)
{
    struct fgw_scalapack *s = dense->scalapack;
    status fault = block_cyclic_from_rows(&s->left, (int)dense->count, dense->left);
    if (fault != MONGE_OK)
        return fault;
    block_cyclic_product(&s->left, 0, &s->b, 0, &s->product);
    return block_cyclic_to_rows(&s->product, (int)dense->count, product);
}
