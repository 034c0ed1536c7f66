/* An epoch of STAGATE (forward, backward, Adam; 3000 genes with 7 % non-zeros, 512 hidden, 30 latent, 7 edges per node) on one core, in float,
 * beside the same model written straightforwardly: dense N x G matrices and BLAS. Processor time.
 *   bench_stagate [N ...]    default 4096 20000 50000; the dense twin up to 20000
 * Under mpirun with several ranks: wall clock, without the twin. */
#define MONGE_F32

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/blas_kernels.h"
#include "nn/stagate.h"
#include "support/machine.h"

enum { GENES = 3000, HIDDEN = 512, LATENT = 30, NON_ZEROS = 210, DENSE_LIMIT = 20000 };

static void must(status s)
{
    if (s != MONGE_OK) {
        fprintf(stderr, "bench_stagate: %s\n", error_message());
        exit(1);
    }
}

static void *need(size_t n, size_t size)
{
    void *memory = calloc(n + 1, size);
    if (!memory)
        must(error_memory("a bench", (double)n * (double)size));
    return memory;
}

/* A square lattice in strips of 32 rows: each node, its four neighbours and two diagonal ones. */
static void make_graph(struct graph *graph, int64_t n)
{
    const int step[7][2] = {{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, -1}};
    int64_t height = 32, width = (n + height - 1) / height, n_edges = 0;
    int64_t *source = need((size_t)n * 7, sizeof *source), *destination = need((size_t)n * 7, sizeof *destination);
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 7; k++) {
            int64_t row = i % height + step[k][0], column = i / height + step[k][1], j = column * height + row;
            if (row < 0 || row >= height || column < 0 || column >= width || j >= n)
                continue;
            source[n_edges] = j;
            destination[n_edges++] = i;
        }
    must(graph_from_edges(graph, MPI_COMM_WORLD, GRAPH_CHUNK, n, n_edges, source, destination, NULL));
    free(source);
    free(destination);
}

static uint32_t hash(uint64_t z)
{
    z = (z + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

static void make_counts(struct sparse_rows *x, const struct partition *nodes)
{
    int64_t n = nodes->n_own, *start = need((size_t)n + 1, sizeof *start);
    int32_t *column = need((size_t)n * NON_ZEROS, sizeof *column);
    float *value = need((size_t)n * NON_ZEROS, sizeof *value);
    for (int64_t i = 0; i < n; i++) {
        start[i + 1] = (i + 1) * NON_ZEROS;
        for (int k = 0; k < NON_ZEROS; k++) { /* one gene in each of so many strata */
            uint32_t h = hash((uint64_t)((nodes->first + i) * NON_ZEROS + k));
            column[i * NON_ZEROS + k] = (int32_t)((uint32_t)k * GENES / NON_ZEROS + h % (GENES / NON_ZEROS));
            value[i * NON_ZEROS + k] = 0.5f + (float)(h >> 16 & 1023) / 512.0f;
        }
    }
    must(sparse_rows_new(x, nodes, GENES, start, column, value));
    free(start);
    free(column);
    free(value);
}

struct setting {
    struct graph graph;
    struct edges edges;
    struct sparse_rows x;
    struct stagate model;
};

static void setting_new(struct setting *s, int64_t n)
{
    make_graph(&s->graph, n);
    must(edges_new(&s->edges, &s->graph));
    make_counts(&s->x, &s->graph.nodes);
    must(stagate_new(&s->model, GENES, HIDDEN, LATENT, false));
    for (int k = 0; k < s->model.set.n; k++)
        initial_xavier_normal(&s->model.set.at[k]->matrix, 1, (uint32_t)k, sqrt(2.0));
}

static void setting_free(struct setting *s)
{
    parameters_free(&s->model.set);
    sparse_rows_free(&s->x);
    edges_free(&s->edges);
    graph_free(&s->graph);
}

/* ---- the dense twin ---- */

struct dense {
    int64_t n;
    float *x, *p, *a1, *h1, *z, *q, *a3, *h3, *residual, *attention, *score, *s_source, *s_destination; /* forward */
    float *dh, *da, *dp, *dz, *d_attention, *ds_source, *ds_destination, *dw1, *dw2, *da_source, *da_destination;
};

static void dense_new(struct dense *d, const struct setting *s)
{
    size_t n = (size_t)s->graph.nodes.n_own, wide = n * HIDDEN, edges = (size_t)s->edges.n_in;
    *d = (struct dense){.n = (int64_t)n};
    d->x = need(n * GENES, sizeof(float));
    d->residual = need(n * GENES, sizeof(float));
    float **const matrix[] = {&d->p, &d->a1, &d->h1, &d->q, &d->a3, &d->h3, &d->dh, &d->da, &d->dp};
    for (size_t k = 0; k < sizeof matrix / sizeof *matrix; k++)
        *matrix[k] = need(wide, sizeof(float));
    float **const small[] = {&d->s_source, &d->s_destination, &d->ds_source, &d->ds_destination};
    for (size_t k = 0; k < sizeof small / sizeof *small; k++)
        *small[k] = need(n, sizeof(float));
    float **const edge[] = {&d->attention, &d->score, &d->d_attention};
    for (size_t k = 0; k < sizeof edge / sizeof *edge; k++)
        *edge[k] = need(edges, sizeof(float));
    d->z = need(n * LATENT, sizeof(float));
    d->dz = need(n * LATENT, sizeof(float));
    d->dw1 = need((size_t)GENES * HIDDEN, sizeof(float));
    d->dw2 = need((size_t)HIDDEN * LATENT, sizeof(float));
    d->da_source = need(HIDDEN, sizeof(float));
    d->da_destination = need(HIDDEN, sizeof(float));
    for (int64_t i = 0; i < d->n; i++)
        for (int64_t k = s->x.start[i]; k < s->x.start[i + 1]; k++)
            d->x[i * GENES + s->x.column[k]] = s->x.value[k];
}

static void dense_free(struct dense *d)
{
    float *const all[] = {d->x,
                          d->p,
                          d->a1,
                          d->h1,
                          d->z,
                          d->q,
                          d->a3,
                          d->h3,
                          d->dh,
                          d->da,
                          d->dp,
                          d->dz,
                          d->dw1,
                          d->dw2,
                          d->da_source,
                          d->residual,
                          d->attention,
                          d->score,
                          d->s_source,
                          d->s_destination,
                          d->d_attention,
                          d->ds_source,
                          d->ds_destination,
                          d->da_destination};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
}

static void aggregate(const struct graph *graph, const float *attention, const float *from, float *to)
{
    memset(to, 0, (size_t)graph->nodes.n_own * HIDDEN * sizeof *to);
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            cblas_saxpy(HIDDEN, attention[e], from + (int64_t)graph->in_source[e] * HIDDEN, 1, to + i * HIDDEN, 1);
}

/* scatters dy to the sources, and makes the attention's gradient */
static void aggregate_back(const struct graph *graph, const float *attention, const float *from, const float *dy, float *d_from,
                           float *d_attention)
{
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            int64_t j = graph->in_source[e];
            d_attention[e] += cblas_sdot(HIDDEN, dy + i * HIDDEN, 1, from + j * HIDDEN, 1);
            cblas_saxpy(HIDDEN, attention[e], dy + i * HIDDEN, 1, d_from + j * HIDDEN, 1);
        }
}

static void elu(int64_t n, const float *x, float *y)
{
    for (int64_t k = 0; k < n; k++)
        y[k] = x[k] > 0 ? x[k] : expm1f(x[k]);
}

static void product(int64_t m, int n, int k, const float *a, const float *b, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, n, k, 1, a, k, b, n, 0, c, n);
}

static void product_transposed(int64_t m, int n, int k, float factor, const float *a, const float *b, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, n, k, factor, a, k, b, k, 0, c, n);
}

static void outer(int64_t rows, int m, int n, float factor, const float *a, const float *b, float keep, float *c)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, (int)rows, factor, a, m, b, n, keep, c, n);
}

static void attend(struct dense *d, const struct graph *graph, const struct stagate *m)
{
    cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)d->n, HIDDEN, 1, d->p, HIDDEN, m->a_source->value, 1, 0, d->s_source, 1);
    cblas_sgemv(CblasRowMajor, CblasNoTrans, (int)d->n, HIDDEN, 1, d->p, HIDDEN, m->a_destination->value, 1, 0, d->s_destination, 1);
    for (int64_t i = 0; i < d->n; i++) {
        float sum = 0;
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            d->score[e] = 1 / (1 + expf(-d->s_source[graph->in_source[e]] - d->s_destination[i]));
            sum += d->attention[e] = expf(d->score[e]);
        }
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            d->attention[e] /= sum;
    }
}

static void attend_back(struct dense *d, const struct graph *graph, const struct stagate *m)
{
    memset(d->ds_source, 0, (size_t)d->n * sizeof(float));
    for (int64_t i = 0; i < d->n; i++) {
        float mean = 0, sum = 0;
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            mean += d->attention[e] * d->d_attention[e];
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            float g = d->attention[e] * (d->d_attention[e] - mean) * d->score[e] * (1 - d->score[e]);
            d->ds_source[graph->in_source[e]] += g;
            sum += g;
        }
        d->ds_destination[i] = sum;
    }
    outer(d->n, HIDDEN, 1, 1, d->p, d->ds_source, 0, d->da_source);
    outer(d->n, HIDDEN, 1, 1, d->p, d->ds_destination, 0, d->da_destination);
    cblas_sger(CblasRowMajor, (int)d->n, HIDDEN, 1, d->ds_source, 1, m->a_source->value, 1, d->dp, HIDDEN);
    cblas_sger(CblasRowMajor, (int)d->n, HIDDEN, 1, d->ds_destination, 1, m->a_destination->value, 1, d->dp, HIDDEN);
}

/* Loss and gradients; those of the twin stay in d. */
static double dense_epoch(struct dense *d, const struct setting *s)
{
    const struct stagate *m = &s->model;
    const struct graph *graph = &s->graph;
    int64_t n = d->n, wide = n * HIDDEN;
    product(n, HIDDEN, GENES, d->x, m->w1->value, d->p);
    attend(d, graph, m);
    aggregate(graph, d->attention, d->p, d->a1);
    elu(wide, d->a1, d->h1);
    product(n, LATENT, HIDDEN, d->h1, m->w2->value, d->z);
    product_transposed(n, HIDDEN, LATENT, 1, d->z, m->w2->value, d->q);
    aggregate(graph, d->attention, d->q, d->a3);
    elu(wide, d->a3, d->h3);
    product_transposed(n, GENES, HIDDEN, 1, d->h3, m->w1->value, d->residual);
    double square = 0.0;
    for (int64_t k = 0; k < n * GENES; k++) {
        d->residual[k] -= d->x[k];
        square += (double)d->residual[k] * (double)d->residual[k];
    }
    float c = (float)(2.0 / ((double)n * GENES));
    for (int64_t k = 0; k < n * GENES; k++)
        d->residual[k] *= c;
    product(n, HIDDEN, GENES, d->residual, m->w1->value, d->dh);
    outer(n, GENES, HIDDEN, 1, d->residual, d->h3, 0, d->dw1);
    for (int64_t k = 0; k < wide; k++)
        d->da[k] = d->dh[k] * (d->a3[k] > 0 ? 1 : d->h3[k] + 1);
    memset(d->d_attention, 0, (size_t)s->edges.n_in * sizeof(float));
    memset(d->dh, 0, (size_t)wide * sizeof(float));
    aggregate_back(graph, d->attention, d->q, d->da, d->dh, d->d_attention);
    product(n, LATENT, HIDDEN, d->dh, m->w2->value, d->dz);
    outer(n, HIDDEN, LATENT, 1, d->dh, d->z, 0, d->dw2);
    outer(n, HIDDEN, LATENT, 1, d->h1, d->dz, 1, d->dw2);
    product_transposed(n, HIDDEN, LATENT, 1, d->dz, m->w2->value, d->dh);
    for (int64_t k = 0; k < wide; k++)
        d->da[k] = d->dh[k] * (d->a1[k] > 0 ? 1 : d->h1[k] + 1);
    memset(d->dp, 0, (size_t)wide * sizeof(float));
    aggregate_back(graph, d->attention, d->p, d->da, d->dp, d->d_attention);
    attend_back(d, graph, m);
    outer(n, GENES, HIDDEN, 1, d->x, d->dp, 1, d->dw1);
    return square / ((double)n * GENES);
}

/* ---- comparison ---- */

static double relative(const float *a, const float *b, int64_t n)
{
    double gap = 0.0, size = 0.0;
    for (int64_t k = 0; k < n; k++) {
        gap = fmax(gap, fabs((double)a[k] - (double)b[k]));
        size = fmax(size, fabs((double)b[k]));
    }
    return gap / size;
}

static double our_epoch(struct setting *s, struct tape *tape, struct optimiser *optimiser)
{
    tape_clear(tape);
    parameters_zero_gradient(&s->model.set);
    stagate_forward(&s->model, tape, &s->edges, &s->x);
    must(tape_backward(tape));
    if (optimiser)
        optimiser_step(optimiser, &s->model.set);
    return tape->loss;
}

static double dense_seconds(struct setting *s, struct tape *tape, char *label)
{
    struct dense dense;
    dense_new(&dense, s);
    double loss = dense_epoch(&dense, s), ours = our_epoch(s, tape, NULL), best = INFINITY;
    char name[96];
    snprintf(name, sizeof name, "%s: loss against dense, relative", label);
    bench_row(name, fabs(ours / loss - 1.0), "", NAN, NULL, "<=", 1e-5);
    snprintf(name, sizeof name, "%s: dW1 against dense, relative", label);
    bench_row(name, relative(s->model.w1->gradient, dense.dw1, (int64_t)GENES * HIDDEN), "", NAN, NULL, "<=", 1e-4);
    for (int round = 0; round < 2; round++) {
        double start = machine_seconds();
        dense_epoch(&dense, s);
        best = fmin(best, machine_seconds() - start);
    }
    dense_free(&dense);
    return best;
}

static int ranks(void)
{
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

/* Processor time of one rank; wall clock of several. */
static double seconds(void)
{
    if (ranks() > 1)
        MPI_Barrier(MPI_COMM_WORLD);
    return ranks() > 1 ? MPI_Wtime() : machine_seconds();
}

static double best_epoch(struct setting *s, struct tape *tape, int epochs)
{
    struct optimiser optimiser;
    double best = INFINITY;
    must(optimiser_new(&optimiser, &s->model.set, optimiser_defaults()));
    our_epoch(s, tape, &optimiser); /* memory is taken */
    for (int epoch = 0; epoch < epochs; epoch++) {
        double start = seconds();
        our_epoch(s, tape, &optimiser);
        best = fmin(best, seconds() - start);
    }
    optimiser_free(&optimiser);
    return best;
}

static void print_rows(const char *label, int64_t n, double best, double dense, double sgemm, double bytes)
{
    char name[96];
    snprintf(name, sizeof name, "%s: per node, epoch and core", label);
    bench_row(name, best * ranks() / (double)n * 1e3, "ms", NAN, NULL, "<=", 0.08);
    if (isfinite(dense)) {
        snprintf(name, sizeof name, "%s: epoch", label);
        bench_row(name, best, "s", dense / best, "the rate of dense", ">=", 4.0);
    }
    double rate = 1.4e6 * (double)n / best / ranks() * 1e-9; /* domains.md, section 3 */
    snprintf(name, sizeof name, "%s: arithmetic", label);
    bench_row(name, rate, "GFLOP/s", sgemm > 0.0 ? rate / sgemm : NAN, "sgemm", NULL, 0.0);
    snprintf(name, sizeof name, "%s: matrices of the tape, per node", label);
    bench_row(name, bytes / (double)n * 1e-3, "kB", NAN, NULL, NULL, 0.0);
}

static void bench(int64_t n, double sgemm)
{
    struct setting s;
    struct tape tape;
    char label[64];
    snprintf(label, sizeof label, ranks() > 1 ? "stagate N %lld, %d ranks" : "stagate N %lld", (long long)n, ranks());
    setting_new(&s, n);
    must(tape_new(&tape, &s.graph.nodes));
    double dense = ranks() == 1 && n <= DENSE_LIMIT ? dense_seconds(&s, &tape, label) : NAN;
    double best = best_epoch(&s, &tape, n <= DENSE_LIMIT ? 5 : 3), bytes = tape_bytes(&tape);
    MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    if (s.graph.nodes.rank == 0)
        print_rows(label, n, best, dense, sgemm, bytes);
    tape_free(&tape);
    setting_free(&s);
}

int main(int argc, char **argv)
{
    blas_use_fast_kernels(argv);
    openblas_set_num_threads(1);
    MPI_Init(&argc, &argv);
    const int64_t standard[] = {4096, 20000, 50000};
    double sgemm = ranks() == 1 ? machine_measure().sgemm : 0.0;
    for (int k = 0; k < (argc > 1 ? argc - 1 : 3); k++)
        bench(argc > 1 ? atoll(argv[k + 1]) : standard[k], sgemm);
    MPI_Finalize();
    return 0;
}
