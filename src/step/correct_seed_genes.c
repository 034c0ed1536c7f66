/* Plans of all own genes: from a gene's entries to marginals on their supports, and from the plan back to corrected counts and
 * gradients. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "seed_parts.h"

/* The plan's view of a gene: rows are all its entries, columns those with capacity. Index arrays lie in `work`. */
struct gene_plan {
    struct plan plan;
    int64_t *seen, *source, *entry; /* rows; columns; entry of each column */
    struct place *seen_place, *source_place;
    double *a, *b, *f, *g;
    void *memory;
};

/* start: where a cold plan starts, or NULL. */
static status gene_plan_new(struct gene_plan *p, const struct seed_run *run, int64_t gene_index, const struct cost_table *cost,
                            const struct seed_start *start)
{
    const struct seed_gene *gene = &run->genes[gene_index];
    size_t n = (size_t)gene->n;
    memset(p, 0, sizeof *p);
    p->memory = malloc((3 * n + 1) * sizeof(int64_t) + (4 * n + 1) * sizeof(double) + (2 * n + 1) * sizeof(struct place));
    if (!p->memory)
        return error_memory("a gene's plan", 56.0 * (double)n);
    p->seen = p->memory;
    p->source = p->seen + n;
    p->entry = p->source + n;
    p->a = (double *)(p->entry + n);
    p->b = p->a + n;
    p->f = p->b + n;
    p->g = p->f + n;
    p->seen_place = (struct place *)(p->g + n);
    p->source_place = p->seen_place + n;
    double r = exp(run->parameter[run->columns->n_genes + gene_index]);
    int64_t m = 0;
    for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
        int64_t i = e - gene->first;
        p->seen[i] = run->columns->site[e];
        p->seen_place[i] = place_of(cost->slide, p->seen[i]);
        p->a[i] = run->x[e] / gene->total;
        p->f[i] = start ? seed_start_row(start, gene_index, p->seen[i]) + r * log(p->a[i]) : run->row_potential[e];
        if (run->b[e] > 0.0) {
            p->source[m] = p->seen[i];
            p->source_place[m] = p->seen_place[i];
            p->entry[m] = e;
            p->b[m] = run->b[e] / gene->capacity;
            p->g[m] = start ? seed_start_column(start, gene_index, p->seen[i]) + r * log(p->b[m]) : run->column_potential[e];
            m++;
        }
    }
    p->plan = (struct plan){.n = gene->n,
                            .m = m,
                            .seen = p->seen,
                            .source = p->source,
                            .seen_place = p->seen_place,
                            .source_place = p->source_place,
                            .a = p->a,
                            .b = p->b,
                            .r = r,
                            .f = p->f,
                            .g = p->g,
                            .borrowed = start != NULL,
                            .costs = cost};
    return MONGE_OK;
}

/* Mass that stays: P_ij of row and column on one site. */
struct stay {
    const struct gene_plan *of;
    double mass;
};

static void add_stay(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *plan)
{
    struct stay *stay = context;
    (void)cost;
    for (int64_t k = 0; k < count; k++)
        stay->mass += stay->of->source[columns[k]] == stay->of->seen[row] ? plan[k] : 0.0;
}

/* x-hat = T P'1 / mass (the mass is 1 but for the marginal error), potentials kept for the next solve; *moved: share of molecules that
 * left their spot. */
static status read_plan(const struct gene_plan *p, struct seed_run *run, int64_t gene_index, double *moved)
{
    const struct seed_gene *gene = &run->genes[gene_index];
    for (int64_t e = gene->first; e < gene->first + gene->n; e++) {
        run->corrected[e] = 0.0;
        run->row_potential[e] = p->f[e - gene->first];
    }
    for (int64_t j = 0; j < p->plan.m; j++) {
        run->column_potential[p->entry[j]] = p->g[j];
        run->corrected[p->entry[j]] = gene->total * p->plan.result.col_marginal[j] / p->plan.result.mass;
    }
    struct stay stay = {p, 0.0};
    struct ot_problem problem = plan_problem(&p->plan);
    status code = ot_visit(&problem, &p->plan.result, add_stay, &stay);
    *moved = fmax(1.0 - stay.mass / p->plan.result.mass, 0.0);
    return code;
}

struct column_loss {
    const struct seed_run *run;
    const struct gene_plan *of;
    double total;
};

/* d loss / d P_ij = T d loss / d x-hat_j */
static double column_gradient(void *context, int64_t row, int64_t column)
{
    const struct column_loss *loss = context;
    (void)row;
    return loss->total * loss->run->bar[loss->of->entry[column]];
}

static status gene_gradients(const struct gene_plan *p, struct seed_run *run, int64_t gene_index)
{
    struct column_loss loss = {run, p, run->genes[gene_index].total};
    double r_bar = 0.0, phi_bar[PHI_PARAMETERS] = {0};
    status code = plan_adjoint(&p->plan, column_gradient, &loss, &r_bar, NULL, phi_bar);
    run->gradient[run->columns->n_genes + gene_index] = r_bar * p->plan.r;
    for (int k = 0; k < PHI_PARAMETERS && code == MONGE_OK; k++)
        exact_add(&run->phi_sum[k], phi_bar[k]);
    return code;
}

static void record(struct seed_result *result, const struct plan *plan, int64_t g, double moved, double tolerance)
{
    result->moved[g] = moved;
    result->unconverged += plan->error > tolerance;
    result->marginal_error = fmax(result->marginal_error, plan->error);
    result->iterations = plan->iterations > result->iterations ? plan->iterations : result->iterations;
    result->total_iterations += plan->total_iterations;
}

static status solve_gene(struct seed_run *run, int64_t g, const struct cost_table *cost, const struct seed_start *start, bool gradients,
                         struct seed_result *result)
{
    struct gene_plan p;
    status code = gene_plan_new(&p, run, g, cost, start);
    if (code == MONGE_OK)
        code = plan_solve(&p.plan, run->options->tolerance, run->options->max_iterations, run->warm || start);
    double moved = 0.0;
    if (code == MONGE_OK)
        code = read_plan(&p, run, g, &moved);
    if (code == MONGE_OK && gradients)
        code = gene_gradients(&p, run, g);
    else if (code == MONGE_OK)
        record(result, &p.plan, g, moved, run->options->tolerance);
    plan_free(&p.plan);
    free(p.memory);
    return code;
}

status seed_solve_plans(struct seed_run *run, bool gradients, struct seed_result *result)
{
    const struct gene_counts *columns = run->columns;
    struct cost_table cost;
    status code = agree(columns->grid->comm, cost_table_new(&cost, &run->section->slide, &run->phi));
    struct seed_start clusters = {0};
    if (code == MONGE_OK && !run->warm)
        code = seed_start_new(&clusters, run, &cost);
    const struct seed_start *start = clusters.k > 0 ? &clusters : NULL;
    if (!gradients) { /* figures are those of the last solve; the one for gradients starts from its end */
        result->unconverged = result->iterations = result->total_iterations = 0;
        result->marginal_error = 0.0;
    }
    int64_t rounds = correct_rounds(columns);
    for (int64_t batch = 0; batch < rounds && code == MONGE_OK; batch++) {
        int64_t first = batch < columns->n_batches ? columns->batch_start[batch] : columns->n_genes;
        int64_t end = batch < columns->n_batches ? columns->batch_start[batch + 1] : columns->n_genes;
        for (int64_t g = first; g < end && code == MONGE_OK; g++)
            if (run->genes[g].capacity > 0.0 && run->genes[g].n > 0)
                code = solve_gene(run, g, &cost, start, gradients, result);
        code = agree(columns->grid->comm, code);
        if (code == MONGE_OK)
            code = seed_training_safe_point(run->training);
    }
    seed_start_free(&clusters);
    cost_table_free(&cost);
    run->warm = code == MONGE_OK;
    return code;
}
