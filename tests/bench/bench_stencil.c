/* Rates of the kernel operators beside this machine's own matrix product, one core, all in one run: what counts are the ratios.
 * A multiply-add counts as two operations; a stencil has one per site, lane and offset. */
#include <cblas.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/blas_kernels.h"
#include "monge/kernel.h"
#include "monge/operator.h"
#include "support/machine.h"

enum { GENES = 32, ROUNDS = 6, REPEATS = 3 };

static const struct kernel_parameters theta = {
    .beta = 0.45, .sigma = 1.4, .tail_weight = 0.2, .tail_length = 3.5, .uniform_weight = 0.1, .permeability = 0.8};

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_stencil: %s\n", error_message());
        exit(1);
    }
}

static void *values(size_t n, size_t size)
{
    void *memory = aligned_alloc(64, (n * size + 63) / 64 * 64);
    if (!memory) {
        fprintf(stderr, "bench_stencil: out of memory\n");
        exit(1);
    }
    if (size == sizeof(float))
        for (size_t i = 0; i < n; i++)
            ((float *)memory)[i] = (float)(i % 13);
    else
        for (size_t i = 0; i < n; i++)
            ((double *)memory)[i] = (double)(i % 13);
    return memory;
}

/* `best` of several rounds, in seconds. */
struct task {
    const char *name;
    void (*run)(const struct task *task);
    double operations; /* 0: only time */
    const struct spot_operator *op;
    const struct kernel *kernel;
    int lanes, n;
    const void *in;
    void *out, *work;
    double best;
};

static void measure(struct task *tasks, int n)
{
    for (int k = 0; k < n; k++)
        tasks[k].best = INFINITY;
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < n; k++)
            for (int repeat = 0; repeat < REPEATS; repeat++) { /* as in an iteration, the caches hold what fits */
                double start = machine_seconds();
                tasks[k].run(&tasks[k]);
                tasks[k].best = fmin(tasks[k].best, machine_seconds() - start);
            }
}

static double rate(const struct task *task)
{
    return task->operations / task->best * 1e-9;
}

static void run_sgemm(const struct task *t)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->n, t->lanes, t->n, 1.0f, t->work, t->n, t->in, t->lanes, 0.0f, t->out,
                t->lanes);
}

static void run_dgemm(const struct task *t)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t->n, t->lanes, t->n, 1.0, t->work, t->n, t->in, t->lanes, 0.0, t->out,
                t->lanes);
}

static void run_apply_f32(const struct task *t)
{
    must(t->op->apply_f32(t->op, t->lanes, t->in, t->out));
}

static void run_apply_f64(const struct task *t)
{
    must(t->op->apply_f64(t->op, t->lanes, t->in, t->out));
}

/* the two applications of one iteration */
static void run_kernel_f32(const struct task *t)
{
    must(kernel_apply_f32(t->kernel, t->lanes, NULL, t->in, t->out, t->work));
    must(kernel_adjoint_f32(t->kernel, t->lanes, NULL, t->in, t->out, t->work));
}

static void run_kernel_f64(const struct task *t)
{
    must(kernel_apply_f64(t->kernel, t->lanes, NULL, t->in, t->out, t->work));
    must(kernel_adjoint_f64(t->kernel, t->lanes, NULL, t->in, t->out, t->work));
}

static void run_dense_f32(const struct task *t)
{
    run_sgemm(t);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t->n, t->lanes, t->n, 1.0f, t->work, t->n, t->in, t->lanes, 0.0f, t->out,
                t->lanes);
}

static void run_dense_f64(const struct task *t)
{
    run_dgemm(t);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t->n, t->lanes, t->n, 1.0, t->work, t->n, t->in, t->lanes, 0.0, t->out, t->lanes);
}

struct setting {
    struct slide slide;
    struct partition sites;
};

/* Tissue in the middle two thirds. */
static void setting_new(struct setting *s, enum lattice lattice, int32_t n_rows, int32_t n_cols)
{
    uint8_t *kind = malloc((size_t)n_rows * (size_t)n_cols);
    if (!kind)
        must(error_memory("a slide", 0.0));
    for (int32_t i = 0; i < n_rows * n_cols; i++) {
        double v = 2.0 * (i / n_cols) / n_rows - 1.0, u = 2.0 * (i % n_cols) / n_cols - 1.0;
        kind[i] = hypot(u, v) < 0.9 ? SITE_TISSUE : SITE_BACKGROUND;
    }
    must(slide_new_lattice(&s->slide, lattice, n_rows, n_cols, kind));
    must(partition_new(&s->sites, MPI_COMM_SELF, s->slide.n_blocks, s->slide.block_start));
    free(kind);
}

static void setting_free(struct setting *s)
{
    partition_free(&s->sites);
    slide_free(&s->slide);
}

static double gaussian(double d, const void *sigma)
{
    double s = *(const double *)sigma;
    return exp(-0.5 * d * d / (s * s));
}

static void bench_stencils(const char *name, enum lattice lattice, int32_t n_rows, int32_t n_cols)
{
    enum { PRODUCT = 1024, TASKS = 6 };
    struct setting setting;
    struct spot_operator near, wide;
    double sigma = 1.5;
    setting_new(&setting, lattice, n_rows, n_cols);
    must(operator_stencil_new(&near, &setting.slide, &setting.sites, 4.0, gaussian, &sigma));
    must(operator_stencil_new(&wide, &setting.slide, &setting.sites, 8.0, gaussian, &sigma));
    size_t n = (size_t)setting.sites.n * GENES, square = (size_t)PRODUCT * PRODUCT;
    float *in = values(n, sizeof *in), *out = values(n, sizeof *out), *a = values(3 * square, sizeof *a);
    double *in64 = values(n, sizeof *in64), *out64 = values(n, sizeof *out64), *a64 = values(3 * square, sizeof *a64);
    double per_offset = 2.0 * (double)n, product = 2.0 * PRODUCT * (double)square;
    double offsets4 = slide_offsets(&setting.slide, 0, 4.0, NULL, NULL, NULL),
           offsets8 = slide_offsets(&setting.slide, 0, 8.0, NULL, NULL, NULL);
    struct task tasks[TASKS] = {
        {"sgemm", run_sgemm, product, .lanes = PRODUCT, .n = PRODUCT, .in = a, .out = a + square, .work = a + 2 * square},
        {"float, radius 4", run_apply_f32, per_offset * offsets4, .op = &near, .lanes = GENES, .in = in, .out = out},
        {"float, radius 8", run_apply_f32, per_offset * offsets8, .op = &wide, .lanes = GENES, .in = in, .out = out},
        {"dgemm", run_dgemm, product, .lanes = PRODUCT, .n = PRODUCT, .in = a64, .out = a64 + square, .work = a64 + 2 * square},
        {"double, radius 4", run_apply_f64, per_offset * offsets4, .op = &near, .lanes = GENES, .in = in64, .out = out64},
        {"double, radius 8", run_apply_f64, per_offset * offsets8, .op = &wide, .lanes = GENES, .in = in64, .out = out64},
    };
    measure(tasks, TASKS);
    for (int k = 0; k < TASKS; k++) {
        const struct task *product_task = &tasks[k < 3 ? 0 : 3];
        if (&tasks[k] == product_task)
            continue;
        char row[64];
        snprintf(row, sizeof row, "stencil %s, %s", name, tasks[k].name);
        bench_row(row, rate(&tasks[k]), "GFLOP/s", rate(&tasks[k]) / rate(product_task), product_task->name, k == 1 ? ">=" : NULL, 0.5);
    }
    spot_operator_free(&near);
    spot_operator_free(&wide);
    free(in);
    free(out);
    free(a);
    free(in64);
    free(out64);
    free(a64);
    setting_free(&setting);
}

static void bench_iteration(void)
{
    enum { TASKS = 4 };
    struct setting setting;
    struct kernel_geometry *geometry;
    struct kernel kernel;
    setting_new(&setting, LATTICE_HEX, 78, 64);
    double start = machine_seconds();
    must(kernel_geometry_new(&geometry, &setting.slide, &setting.sites, 4.0));
    double built = machine_seconds();
    must(kernel_new_mixture_on(&kernel, geometry, &theta, 0, NULL));
    double made = machine_seconds();
    size_t n = (size_t)setting.sites.n, field = n * GENES;
    float *in = values(field, sizeof *in), *out = values(field, sizeof *out), *work = values(2 * field, sizeof *work);
    float *matrix = values(n * n, sizeof *matrix);
    double *in64 = values(field, sizeof *in64), *out64 = values(field, sizeof *out64), *work64 = values(2 * field, sizeof *work64);
    double *matrix64 = values(n * n, sizeof *matrix64);
    struct task tasks[TASKS] = {
        {"stencils, float", run_kernel_f32, 0.0, .kernel = &kernel, .lanes = GENES, .in = in, .out = out, .work = work},
        {"dense, float", run_dense_f32, 0.0, .lanes = GENES, .n = (int)n, .in = in, .out = out, .work = matrix},
        {"stencils, double", run_kernel_f64, 0.0, .kernel = &kernel, .lanes = GENES, .in = in64, .out = out64, .work = work64},
        {"dense, double", run_dense_f64, 0.0, .lanes = GENES, .n = (int)n, .in = in64, .out = out64, .work = matrix64},
    };
    measure(tasks, TASKS);
    for (int k = 0; k < TASKS; k += 2) { /* K b and K' y with radius 4 and the far field, against the whole matrix by BLAS */
        char row[64];
        snprintf(row, sizeof row, "K b, K' y at N = %d, %s", (int)n, tasks[k].name);
        bench_row(row, 1e3 * tasks[k].best, "ms", tasks[k + 1].best / tasks[k].best, "the dense rate", ">=", 50.0);
    }
    bench_row("geometry of the slide", 1e3 * (built - start), "ms", NAN, NULL, NULL, 0.0);
    bench_row("kernel of one theta", 1e3 * (made - built), "ms", NAN, NULL, NULL, 0.0);
    kernel_geometry_free(geometry);
    kernel_free(&kernel);
    free(in);
    free(out);
    free(work);
    free(matrix);
    free(in64);
    free(out64);
    free(work64);
    free(matrix64);
    setting_free(&setting);
}

static void bench_separable(void)
{
    enum { SIDE = 192, TASKS = 4 };
    struct setting setting;
    struct spot_operator passes[2], stencils[2];
    setting_new(&setting, LATTICE_SQUARE, SIDE, SIDE);
    for (int k = 0; k < 2; k++) {
        double one = 1.0, radius = k ? 24.0 : 8.0, sigma = radius / 4.0;
        must(operator_separable_new(&passes[k], &setting.slide, &setting.sites, 1, &one, &sigma, (int)radius));
        must(operator_stencil_new(&stencils[k], &setting.slide, &setting.sites, radius, gaussian, &sigma));
    }
    size_t n = (size_t)setting.sites.n * GENES;
    float *in = values(n, sizeof *in), *out = values(n, sizeof *out);
    struct task tasks[TASKS] = {
        {"radius 8", run_apply_f32, 0.0, .op = &passes[0], .lanes = GENES, .in = in, .out = out},
        {"radius 8", run_apply_f32, 0.0, .op = &stencils[0], .lanes = GENES, .in = in, .out = out},
        {"radius 24", run_apply_f32, 0.0, .op = &passes[1], .lanes = GENES, .in = in, .out = out},
        {"radius 24", run_apply_f32, 0.0, .op = &stencils[1], .lanes = GENES, .in = in, .out = out},
    };
    measure(tasks, TASKS);
    for (int k = 0; k < TASKS; k += 2) {
        char row[64];
        snprintf(row, sizeof row, "Gaussian in two passes, %d x %d, %s", SIDE, SIDE, tasks[k].name);
        bench_row(row, 1e9 * tasks[k].best / (double)n, "ns/value", tasks[k + 1].best / tasks[k].best, "the stencil's rate", NULL, 0.0);
    }
    for (int k = 0; k < 2; k++) {
        spot_operator_free(&passes[k]);
        spot_operator_free(&stencils[k]);
    }
    free(in);
    free(out);
    setting_free(&setting);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    openblas_set_num_threads(1);
    MPI_Init(&argc, &argv);
    bench_stencils("hex 78 x 64", LATTICE_HEX, 78, 64);
    bench_stencils("square 374 x 374", LATTICE_SQUARE, 374, 374);
    bench_iteration();
    bench_separable();
    MPI_Finalize();
    return 0;
}
