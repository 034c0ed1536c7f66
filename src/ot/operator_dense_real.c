/* Dense products: every rank gathers the whole field and sums its own rows (or columns) in site order, so that the bits do not
 * depend on the number of ranks. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/real.h"
#include "operator_dense.h"

/* The whole field, n x lanes. Collective. */
static status gather(const struct spot_operator *op, int lanes, const real *in, real **whole)
{
    const struct dense_state *dense = op->state;
    size_t values = (size_t)op->sites->n * (size_t)lanes;
    *whole = malloc((values ? values : 1) * sizeof **whole);
    status s = *whole ? MONGE_OK : error_memory("a gathered field", (double)(values * sizeof(real)));
    s = agree(op->sites->comm, s);
    if (s != MONGE_OK) {
        free(*whole);
        return s;
    }
    MPI_Datatype site;
    MPI_Type_contiguous(lanes * (int)sizeof(real), MPI_BYTE, &site);
    MPI_Type_commit(&site);
    MPI_Allgatherv(in, (int)op->sites->n_own, site, *whole, dense->count, dense->first, site, op->sites->comm);
    MPI_Type_free(&site);
    return MONGE_OK;
}

/* out += weight * in over lanes. */
static void add_scaled(int lanes, real weight, const real *restrict in, real *restrict out)
{
    for (int lane = 0; lane < lanes; lane++)
        out[lane] += weight * in[lane];
}

status REAL(dense_apply)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct dense_state *dense = op->state;
    const struct partition *sites = op->sites;
    real *whole;
    status s = gather(op, lanes, in, &whole);
    if (s != MONGE_OK)
        return s;
    memset(out, 0, (size_t)sites->n_own * (size_t)lanes * sizeof *out);
    for (int64_t i = 0; i < sites->n_own; i++) {
        const double *row = dense->matrix + (sites->first + i) * sites->n;
        for (int64_t j = 0; j < sites->n; j++)
            add_scaled(lanes, (real)row[j], whole + j * lanes, out + i * lanes);
    }
    free(whole);
    return MONGE_OK;
}

status REAL(dense_adjoint)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct dense_state *dense = op->state;
    const struct partition *sites = op->sites;
    real *whole;
    status s = gather(op, lanes, in, &whole);
    if (s != MONGE_OK)
        return s;
    memset(out, 0, (size_t)sites->n_own * (size_t)lanes * sizeof *out);
    for (int64_t i = 0; i < sites->n; i++) {
        const double *row = dense->matrix + i * sites->n + sites->first;
        for (int64_t j = 0; j < sites->n_own; j++)
            add_scaled(lanes, (real)row[j], whole + i * lanes, out + j * lanes);
    }
    free(whole);
    return MONGE_OK;
}
