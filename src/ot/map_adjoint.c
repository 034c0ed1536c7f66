/* Forward pass with a tape, and reverse pass, of the MAP steps (docs/correct.md, "Gradients").
 *
 * Reverse of one step, from b_bar of its result: c_bar = b_bar mu / (mu + alpha), and of c = b * t, t = K's, s = x / f, f = K b:
 *     t_bar = c_bar * b;  s_bar = K t_bar;  f_bar = - s_bar * s / f;  b_bar = c_bar * t + K'f_bar;  K_bar += s t_bar' + f_bar b'. */
#include "monge/map_adjoint.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"

static const double forward_floor = 1e-12;

void map_tape_free(struct map_tape *tape)
{
    free(tape->b);
    free(tape->f);
    free(tape->c);
    memset(tape, 0, sizeof *tape);
}

static int64_t field_size(const struct map_tape *tape)
{
    return tape->kernel->sites->n_own * tape->lanes;
}

/* s = x / f, with 0 where x is 0. */
static void ratio(int64_t n, const double *x, const double *f, double *s)
{
    for (int64_t i = 0; i < n; i++)
        s[i] = x[i] / (f[i] > forward_floor ? f[i] : forward_floor);
}

/* f = K b, s = x / f, t = K's. work: 2 fields. */
static status expect(const struct map_tape *tape, const double *b, double *f, double *s, double *t, double *work)
{
    status st = kernel_apply_f64(tape->kernel, tape->lanes, NULL, b, f, work);
    if (st)
        return st;
    ratio(field_size(tape), tape->x, f, s);
    return kernel_adjoint_f64(tape->kernel, tape->lanes, NULL, s, t, work);
}

status map_tape_new(struct map_tape *tape, const struct kernel *kernel, double alpha, int steps, int lanes, const double *x,
                    const double *mu)
{
    *tape = (struct map_tape){.kernel = kernel, .lanes = lanes, .steps = steps, .alpha = alpha, .x = x, .mu = mu};
    int64_t n = field_size(tape);
    size_t bytes = ((size_t)n + 1) * sizeof(double);
    tape->b = malloc(bytes * ((size_t)steps + 1));
    tape->f = malloc(bytes);
    tape->c = malloc(bytes);
    double *work = malloc(bytes * 4), *s = work, *t = work + n, *scratch = work + 2 * n;
    status st = tape->b && tape->f && tape->c && work ? MONGE_OK : error_memory("MAP steps", (double)bytes * (steps + 7));
    st = agree(kernel->sites->comm, st);
    if (!st)
        memcpy(tape->b, mu, (size_t)n * sizeof *mu);
    for (int step = 0; step <= steps && !st; step++) {
        double *b = tape->b + step * n;
        st = expect(tape, b, tape->f, s, t, scratch);
        for (int64_t i = 0; i < n && !st; i++) {
            tape->c[i] = b[i] * t[i];
            if (step < steps)
                b[n + i] = mu[i] > 0.0 ? mu[i] * (tape->c[i] + alpha) / (mu[i] + alpha) : 0.0;
        }
    }
    free(work);
    if (st)
        map_tape_free(tape);
    return st;
}

struct reverse {
    const struct map_tape *tape;
    accumulate_kernel accumulate;
    void *context;
    double *f, *s, *t;             /* of the step, recomputed from its b */
    double *b_bar, *c_bar, *t_bar; /* t_bar over sources */
    double *f_bar, *s_bar;         /* over seen sites */
    double *alpha_bar;             /* per site and lane, summed at the end */
    double *back;                  /* K'f_bar */
    double *scratch;               /* 2 fields */
};

/* b_bar of the step's own b from c_bar of c = b * K'(x / K b) and from f_bar (already set, or 0). */
static status reverse_expectation(struct reverse *r, const double *b)
{
    const struct map_tape *tape = r->tape;
    const struct kernel *kernel = tape->kernel;
    int64_t n = field_size(tape);
    for (int64_t i = 0; i < n; i++)
        r->t_bar[i] = r->c_bar[i] * b[i];
    status st = kernel_apply_f64(kernel, tape->lanes, NULL, r->t_bar, r->s_bar, r->scratch);
    if (st)
        return st;
    for (int64_t i = 0; i < n; i++)
        r->f_bar[i] -= r->f[i] > forward_floor ? r->s_bar[i] * r->s[i] / r->f[i] : 0.0;
    if (r->accumulate) {
        r->accumulate(r->s, r->t_bar, r->context);
        r->accumulate(r->f_bar, b, r->context);
    }
    st = kernel_adjoint_f64(kernel, tape->lanes, NULL, r->f_bar, r->back, r->scratch);
    for (int64_t i = 0; i < n && !st; i++)
        r->b_bar[i] += r->c_bar[i] * r->t[i] + r->back[i];
    return st;
}

/* One step b' = mu (c + alpha) / (mu + alpha), in reverse: b_bar of b' becomes b_bar of b. */
static status reverse_step(struct reverse *r, int step, double *mu_bar)
{
    const struct map_tape *tape = r->tape;
    int64_t n = field_size(tape);
    const double *b = tape->b + step * n, *mu = tape->mu;
    double alpha = tape->alpha;
    status st = expect(tape, b, r->f, r->s, r->t, r->scratch);
    for (int64_t i = 0; i < n; i++) {
        double c = b[i] * r->t[i], sum = mu[i] + alpha, bar = mu[i] > 0.0 ? r->b_bar[i] : 0.0;
        r->c_bar[i] = mu[i] > 0.0 ? bar * mu[i] / sum : 0.0;
        mu_bar[i] += mu[i] > 0.0 ? bar * alpha * (c + alpha) / (sum * sum) : 0.0;
        r->alpha_bar[i] += mu[i] > 0.0 ? bar * mu[i] * (mu[i] - c) / (sum * sum) : 0.0;
        r->f_bar[i] = 0.0;
        r->b_bar[i] = 0.0;
    }
    return st ? st : reverse_expectation(r, b);
}

static void copy_or_zero(int64_t n, const double *from, double *to)
{
    if (from)
        memcpy(to, from, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

static status reverse_all(struct reverse *r, const double *c_bar, const double *b_bar, const double *f_bar, double *mu_bar)
{
    const struct map_tape *tape = r->tape;
    int64_t n = field_size(tape);
    copy_or_zero(n, c_bar, r->c_bar);
    copy_or_zero(n, b_bar, r->b_bar);
    copy_or_zero(n, f_bar, r->f_bar);
    memset(mu_bar, 0, (size_t)n * sizeof *mu_bar);
    const double *last = tape->b + tape->steps * n;
    status st = expect(tape, last, r->f, r->s, r->t, r->scratch);
    if (!st)
        st = reverse_expectation(r, last);
    for (int step = tape->steps - 1; step >= 0 && !st; step--)
        st = reverse_step(r, step, mu_bar);
    for (int64_t i = 0; i < n; i++) /* b_0 = mu */
        mu_bar[i] = tape->mu[i] > 0.0 ? mu_bar[i] + r->b_bar[i] : 0.0;
    return st;
}

status map_adjoint(const struct map_tape *tape, const double *c_bar, const double *b_bar, const double *f_bar, double *mu_bar,
                   double *alpha_bar, accumulate_kernel accumulate, void *context)
{
    enum { FIELDS = 12 };
    const struct partition *sites = tape->kernel->sites;
    int64_t n = field_size(tape);
    double *work = calloc((size_t)(FIELDS * n) + 1, sizeof *work);
    status st = agree(sites->comm, work ? MONGE_OK : error_memory("the reverse pass", 8.0 * FIELDS * (double)n));
    if (!st) {
        struct reverse r = {.tape = tape,
                            .accumulate = accumulate,
                            .context = context,
                            .f = work,
                            .s = work + n,
                            .t = work + 2 * n,
                            .b_bar = work + 3 * n,
                            .c_bar = work + 4 * n,
                            .t_bar = work + 5 * n,
                            .f_bar = work + 6 * n,
                            .s_bar = work + 7 * n,
                            .alpha_bar = work + 8 * n,
                            .back = work + 9 * n,
                            .scratch = work + 10 * n};
        st = reverse_all(&r, c_bar, b_bar, f_bar, mu_bar);
        if (!st)
            st = exact_field_sum_f64(sites, tape->lanes, r.alpha_bar, NULL, alpha_bar);
    }
    free(work);
    return st;
}
