/* What a job takes: the estimates of its steps (step.h) for the size of each section, which only the heads of the inputs tell. */
#include <math.h>

#include "monge/section_io.h"
#include "monge/submit.h"

/* Of one rank besides its steps: program, MPI and libraries; slide and names, held whole; own counts with the buffers they pass through. */
static const double BASE_BYTES = 1e8, SITE_BYTES = 150.0, GENE_BYTES = 300.0, ENTRY_BYTES = 24.0;
static const double START_SECONDS = 5.0, ENTRY_SECONDS = 3e-7; /* starting all ranks; reading and writing a count, on one rank */

static status size_of(struct section_size *size, const struct run_options *options, const char *input, const struct pipeline_step *first)
{
    if (!input) {
        *size = first->verb->created_size(first->values);
        return MONGE_OK;
    }
    const struct read_options read = {.layer = options->layer, .holes = (enum holes)options->holes, .need_spatial = true};
    return section_size_read(size, input, &read);
}

static struct step_cost cost_of(const struct section_size *size, int n_ranks, const struct pipeline_step *steps, int n_steps)
{
    double entries = (double)size->n_entries / n_ranks;
    double held = BASE_BYTES + SITE_BYTES * (double)size->n_sites + GENE_BYTES * (double)size->n_genes + ENTRY_BYTES * entries;
    struct step_cost sum = {0.0, ENTRY_SECONDS * entries};
    for (int i = 0; i < n_steps; i++) {
        const struct step *step = steps[i].verb->step;
        struct step_cost cost = step && step->cost ? step->cost(size, n_ranks, steps[i].values) : (struct step_cost){0.0, 0.0};
        sum.bytes = fmax(sum.bytes, cost.bytes);
        sum.seconds += cost.seconds;
    }
    sum.bytes += held;
    return sum;
}

static void add(struct submit_needs *needs, const struct section_size *size, const struct step_cost *cost)
{
    if (size->n_entries >= needs->largest.n_entries)
        needs->largest = *size;
    needs->cost.bytes = fmax(needs->cost.bytes, cost->bytes);
    needs->cost.seconds += cost->seconds;
    needs->n_sections++;
}

/* One section after the other, each on all ranks. */
static status estimate_plain(struct submit_needs *needs, const struct job *job, int n_ranks)
{
    int n = job->options.input.n ? job->options.input.n : 1;
    for (int i = 0; i < n; i++) {
        struct section_size size;
        status done = size_of(&size, &job->options, job->options.input.n ? job->options.input.values[i] : NULL, &job->steps[0]);
        if (done != MONGE_OK)
            return done;
        struct step_cost cost = cost_of(&size, n_ranks, job->steps, job->n_steps);
        add(needs, &size, &cost);
    }
    return MONGE_OK;
}

status submit_estimate(struct submit_needs *needs, const struct job *job, int n_ranks)
{
    *needs = (struct submit_needs){0};
    status done = estimate_plain(needs, job, n_ranks);
    needs->cost.seconds += START_SECONDS;
    return done;
}
