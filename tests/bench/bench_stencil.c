/* Rates of the kernel operators beside this machine's own matrix product, one core, all in one run. */
#include <cblas.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>

#include "monge/operator.h"

static double gaussian(double d, const void *p) { (void)p; return exp(-d*d/4); }
static void *room(size_t n) { void *p = aligned_alloc(64, (n+63)/64*64); if (!p) abort(); return p; }

static double sgemm_rate(void)
{
    enum { N = 1024 };
    float *a = room(N*N*4), *b = room(N*N*4), *c = room(N*N*4);
    for (int i = 0; i < N*N; i++) { a[i] = (float)(i%7); b[i] = (float)(i%5); c[i]=0; }
    double best = 1e9;
    for (int k = 0; k < 6; k++) {
        double t = MPI_Wtime();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1, a, N, b, N, 0, c, N);
        t = MPI_Wtime() - t; if (t < best) best = t;
    }
    return 2.0*N*N*N/best*1e-9;
}

int main(int argc, char **argv)
{
    setenv("OPENBLAS_NUM_THREADS","1",1);
    MPI_Init(&argc,&argv);
    openblas_set_num_threads(1);
    printf("sgemm %.1f GF\n", sgemm_rate());
    int side[] = {374, 72};
    for (int s = 0; s < 2; s++) for (int hex = 0; hex < 2; hex++) for (int r = 4; r <= 8; r += 4) {
        struct slide slide; struct partition sites; struct spot_operator op;
        uint8_t *kind = room((size_t)(side[s]*side[s]));
        for (int i = 0; i < side[s]*side[s]; i++) kind[i] = SITE_TISSUE;
        slide_new_lattice(&slide, hex ? LATTICE_HEX : LATTICE_SQUARE, side[s], side[s], kind);
        partition_new(&sites, MPI_COMM_SELF, slide.n_blocks, slide.block_start);
        if (operator_stencil_new(&op, &slide, &sites, r, gaussian, NULL)) abort();
        int offsets = slide_offsets(&slide, 0, r, NULL, NULL, NULL);
        for (int lanes = 1; lanes <= 32; lanes += (lanes==1?23:8)) {
        size_t n = (size_t)sites.n*(size_t)lanes;
        float *in = room(n*4), *out = room(n*4); double *din = room(n*8), *dout = room(n*8);
        for (size_t i = 0; i < n; i++) din[i] = in[i] = (float)(i%13);
        double best = 1e9, dbest = 1e9;
        int rep = s ? 60 : 4;
        for (int k = 0; k < rep; k++) {
            double t = MPI_Wtime(); op.apply_f32(&op, lanes, in, out); t = MPI_Wtime()-t; if (t<best) best=t;
            t = MPI_Wtime(); op.apply_f64(&op, lanes, din, dout); t = MPI_Wtime()-t; if (t<dbest) dbest=t;
        }
        double flop = 2.0*offsets*(double)n*1e-9;
        printf("side %d hex %d radius %d (%d offsets) lanes %d: f32 %.1f GF (%.4f ns)  f64 %.1f GF\n", side[s], hex, r, offsets, lanes, flop/best, 2*best/flop, flop/dbest);
        free(in); free(out); free(din); free(dout);
        }
        spot_operator_free(&op);
    }
    MPI_Finalize();
    return 0;
}
