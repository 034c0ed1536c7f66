#include "machine.h"

#include <cblas.h>
#include <math.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 5, TRIAD = 1 << 25, SIDE = 1536 };

static double measure_triad(void)
{
    double *a = malloc(TRIAD * sizeof *a), *b = malloc(TRIAD * sizeof *b), *c = malloc(TRIAD * sizeof *c), best = 0.0;
    if (a && b && c) {
        for (int i = 0; i < TRIAD; i++) {
            a[i] = 0.0;
            b[i] = (double)(i % 7);
            c[i] = (double)(i % 5);
        }
        for (int run = 0; run < RUNS; run++) {
            double scale = 0.5 + run, start = MPI_Wtime();
            for (int i = 0; i < TRIAD; i++)
                a[i] = b[i] + scale * c[i];
            double rate = 24e-9 * TRIAD / (MPI_Wtime() - start);
            best = rate > best ? rate : best;
            b[run] = a[TRIAD - 1 - run]; /* the result is used: the loop stays */
        }
    }
    free(a);
    free(b);
    free(c);
    return best;
}

static double measure_gemm(bool is_double)
{
    size_t n = (size_t)SIDE * SIDE;
    double *room = malloc(3 * n * sizeof *room), best = 0.0;
    if (!room)
        return 0.0;
    float *single = (float *)room;
    for (size_t i = 0; i < 3 * n; i++) {
        if (is_double)
            room[i] = (double)(i % 11) - 5.0;
        else
            single[i] = (float)(i % 11) - 5.0f;
    }
    for (int run = 0; run < RUNS; run++) {
        double start = MPI_Wtime();
        if (is_double)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0, room, SIDE, room + n, SIDE, 0.0, room + 2 * n,
                        SIDE);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1.0f, single, SIDE, single + n, SIDE, 0.0f,
                        single + 2 * n, SIDE);
        double rate = 2e-9 * SIDE * SIDE * SIDE / (MPI_Wtime() - start);
        best = rate > best ? rate : best;
    }
    free(room);
    return best;
}

struct machine machine_measure(void)
{
    int threads = openblas_get_num_threads();
    openblas_set_num_threads(1);
    struct machine machine = {measure_triad(), measure_gemm(false), measure_gemm(true)};
    openblas_set_num_threads(threads);
    return machine;
}

void bench_row(const char *name, double value, const char *unit, double ratio, const char *reference, const char *relation, double aim)
{
    double judged = isnan(ratio) ? value : ratio;
    char of[48] = "", goal[32] = "";
    if (!isnan(ratio))
        snprintf(of, sizeof of, "%.3g of %s", ratio, reference);
    if (relation)
        snprintf(goal, sizeof goal, "%s %g", relation, aim);
    const char *verdict = !relation ? "" : (*relation == '>' ? judged >= aim : judged <= aim) ? "met" : "missed";
    printf("%-46s %9.4g %-9s %-26s %-10s %s\n", name, value, unit, of, goal, verdict);
    fflush(stdout);
}

void machine_print(const struct machine *machine)
{
    bench_row("machine: triad, one core", machine->triad, "GB/s", NAN, NULL, NULL, 0.0);
    bench_row("machine: sgemm, one core", machine->sgemm, "GFLOP/s", NAN, NULL, NULL, 0.0);
    bench_row("machine: dgemm, one core", machine->dgemm, "GFLOP/s", NAN, NULL, NULL, 0.0);
}

double machine_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
