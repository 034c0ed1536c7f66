/* Plans of all own genes: from a gene's entries to marginals on their supports, and from the plan back to corrected counts and
 * gradients. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "seed_parts.h"

/* The plan's view of a gene: rows are all its entries, columns those with capacity. Index arrays lie in `work`. */
struct gene_plan {
    struct plan plan;
    int64_t *seen, *source, *entry; /* rows; columns; entry of each column */
    double *a, *b, *f, *g;
    void *memory;
};

static status gene_plan_new(struct gene_plan *p, const struct seed_run *run, int64_t gene_index, const struct cost_table *cost)
{
    const struct seed_gene *gene = &run->genes[gene_index];
    size_t n = (size_t)gene->n;
    memset(p, 0, sizeof *p);
    p->memory = malloc((3 * n + 1) * sizeof(int64_t) + (4 * n + 1) * sizeof(double));
    if (!p->memory)
        return error_memory("a gene's plan", 56.0 * (double)n);
    p->seen = p->memory;
    p->source = p->seen + n;
    p->entry = p->source + n;
    p->a = (double *)(p->entry + n);
    p->b = p->a + n;
    p->f = p->b + n;
    p->g = p->f + n;
    int64_t m = 0;
    for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
        int64_t i = e - gene->first;
        p->seen[i] = run->columns->site[e];
        p->a[i] = run->x[e] / gene->total;
        p->f[i] = run->row_potential[e];
        if (run->b[e] > 0.0) {
            p->source[m] = p->seen[i];
            p->entry[m] = e;
            p->b[m] = run->b[e] / gene->capacity;
            p->g[m++] = run->column_potential[e];
        }
    }
    p->plan = (struct plan){.n = gene->n,
                            .m = m,
                            .seen = p->seen,
                            .source = p->source,
                            .a = p->a,
                            .b = p->b,
                            .r = exp(run->parameter[run->columns->n_genes + gene_index]),
                            .f = p->f,
                            .g = p->g,
                            .cost = cost};
    return MONGE_OK;
}

/* x-hat from the column sums, potentials kept for the next solve, share of molecules that left their spot. */
static double read_plan(struct gene_plan *p, struct seed_run *run, int64_t gene_index)
{
    const struct seed_gene *gene = &run->genes[gene_index];
    double stayed = 0.0;
    for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
        run->corrected[e] = 0.0;
        run->row_potential[e] = p->f[e - gene->first];
    }
    for (int64_t j = 0; j < p->plan.m; j++)
        run->column_potential[p->entry[j]] = p->g[j];
    for (int64_t i = 0; i < p->plan.n; i++)
        for (int64_t k = p->plan.start[i]; k < p->plan.start[i + 1]; k++) {
            int64_t source = p->entry[p->plan.column[k]];
            run->corrected[source] += gene->total * p->plan.mass[k];
            stayed += source == gene->first + i ? p->plan.mass[k] : 0.0;
        }
    return 1.0 - stayed;
}

static status gene_gradients(struct gene_plan *p, struct seed_run *run, int64_t gene_index)
{
    double *entry_bar = malloc((size_t)(p->plan.start[p->plan.n] + 1) * sizeof *entry_bar);
    if (!entry_bar)
        return error_memory("gradients of a plan", 8.0 * (double)p->plan.start[p->plan.n]);
    for (int64_t k = 0; k < p->plan.start[p->plan.n]; k++)
        entry_bar[k] = run->genes[gene_index].total * run->bar[p->entry[p->plan.column[k]]];
    double r_bar, phi_bar[PHI_PARAMETERS] = {0};
    status code = plan_adjoint(&p->plan, entry_bar, &r_bar, NULL, phi_bar);
    run->gradient[run->columns->n_genes + gene_index] = r_bar * p->plan.r;
    for (int k = 0; k < PHI_PARAMETERS && code == MONGE_OK; k++)
        exact_add(&run->phi_sum[k], phi_bar[k]);
    free(entry_bar);
    return code;
}

static void record(struct seed_result *result, const struct plan *plan, int64_t g, double moved, double tolerance)
{
    result->moved[g] = moved;
    result->unconverged += plan->error > tolerance;
    result->marginal_error = fmax(result->marginal_error, plan->error);
    result->iterations = plan->iterations > result->iterations ? plan->iterations : result->iterations;
}

static status solve_gene(struct seed_run *run, int64_t g, const struct cost_table *cost, bool gradients, struct seed_result *result)
{
    struct gene_plan p;
    status code = gene_plan_new(&p, run, g, cost);
    if (code == MONGE_OK)
        code = plan_solve(&p.plan, run->options->tolerance, run->options->max_iterations);
    if (code == MONGE_OK) {
        double moved = read_plan(&p, run, g);
        if (gradients)
            code = gene_gradients(&p, run, g);
        else
            record(result, &p.plan, g, moved, run->options->tolerance);
    }
    plan_free(&p.plan);
    free(p.memory);
    return code;
}

status seed_solve_plans(struct seed_run *run, bool gradients, struct seed_result *result)
{
    struct cost_table cost;
    status code = cost_table_new(&cost, &run->section->slide, &run->phi);
    if (!gradients) { /* figures are those of the last solve; the one for gradients starts from its end */
        result->unconverged = result->iterations = 0;
        result->marginal_error = 0.0;
    }
    for (int64_t g = 0; g < run->columns->n_genes && code == MONGE_OK; g++)
        if (run->genes[g].capacity > 0.0 && run->genes[g].n > 0)
            code = solve_gene(run, g, &cost, gradients, result);
    cost_table_free(&cost);
    return code;
}
