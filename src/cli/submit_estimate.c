/* What a job takes: the estimates of its steps (step.h) for the size of each section, which only the heads of the inputs tell. */
#include <math.h>
#include <stdlib.h>

#include "monge/atlas.h"
#include "monge/log.h"
#include "monge/section_io.h"
#include "monge/submit.h"

/* Of one rank besides its steps: program, MPI and libraries; slide and names, held whole; own counts with the buffers they pass through. */
static const double BASE_BYTES = 1e8, SITE_BYTES = 150.0, GENE_BYTES = 300.0, ENTRY_BYTES = 24.0;
static const double START_SECONDS = 5.0, ENTRY_SECONDS = 3e-7; /* starting all ranks; reading and writing a count, on one rank */

static status size_of(struct section_size *size, const struct run_options *options, const char *input, bool alone,
                      const struct pipeline_step *first)
{
    if (!input) {
        *size = first->verb->created_size(first->values);
        return MONGE_OK;
    }
    const struct read_options read = {.layer = options->layer,
                                      .holes = (enum holes)options->holes,
                                      .need_spatial = alone,
                                      .all_tissue = first->verb->step && first->verb->step->all_tissue};
    return section_size_read(size, input, &read);
}

/* Of a stack: its parts together; it has at most the genes of the part with the fewest. */
static status size_of_all(struct section_size *size, const struct run_options *options, const struct option_texts *inputs,
                          const struct pipeline_step *first)
{
    status done = size_of(size, options, inputs->n ? inputs->values[0] : NULL, inputs->n <= 1, first);
    for (int i = 1; i < inputs->n && done == MONGE_OK; i++) {
        struct section_size part;
        done = size_of(&part, options, inputs->values[i], false, first);
        size->n_spots += part.n_spots;
        size->n_sites += part.n_sites;
        size->n_entries += part.n_entries;
        size->n_genes = part.n_genes < size->n_genes ? part.n_genes : size->n_genes;
    }
    return done;
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
    for (int i = 0; i < job_outputs(job); i++) {
        struct option_texts inputs = job_inputs(job, i);
        struct section_size size;
        status done = size_of_all(&size, &job->options, &inputs, &job->steps[0]);
        if (done != MONGE_OK)
            return done;
        struct step_cost cost = cost_of(&size, n_ranks, job->steps, job->n_steps);
        add(needs, &size, &cost);
    }
    return MONGE_OK;
}

/* ---- an atlas ---- */

static const double USUAL_BYTES = 4e9; /* of a core: a section that needs more on one rank is expected on more ranks */

static int fewest_ranks(const struct section_size *size, int n_ranks, const struct job *job, const struct job_section *section)
{
    int halvings = 0;
    while (atlas_width(n_ranks, halvings) > 1 &&
           cost_of(size, atlas_width(n_ranks, halvings + 1), section->steps, job->n_steps).bytes <= USUAL_BYTES)
        halvings++;
    return atlas_width(n_ranks, halvings);
}

static const struct atlas_share *sorted; /* for by_length: qsort takes no context */

static int by_length(const void *a, const void *b)
{
    int i = *(const int *)a, j = *(const int *)b;
    double x = sorted[i].seconds, y = sorted[j].seconds;
    return x != y ? (x < y) - (x > y) : (i > j) - (i < j);
}

/* Sections side by side, as atlas_run deals them. One that cannot be read takes nothing: it is one failure among the others. */
static void estimate_sections(struct submit_needs *needs, const struct job *job, int n_ranks, int n_tasks, struct atlas_share *shares,
                              struct section_size *sizes, int *order)
{
    for (int i = 0; i < job->n_sections; i++) {
        const struct job_section *section = &job->sections[i];
        order[i] = i;
        if (size_of(&sizes[i], &section->options, section->input, true, &section->steps[0]) != MONGE_OK) {
            log_warn("this section will fail: %s", error_message());
            error_clear();
            continue;
        }
        shares[i].seconds = cost_of(&sizes[i], 1, section->steps, job->n_steps).seconds;
        shares[i].least = fewest_ranks(&sizes[i], n_ranks, job, section);
    }
    sorted = shares;
    qsort(order, (size_t)job->n_sections, sizeof *order, by_length);
    double seconds = atlas_widths(shares, job->n_sections, order, n_ranks, n_tasks);
    for (int i = 0; i < job->n_sections; i++) {
        if (shares[i].seconds == 0.0)
            continue;
        struct step_cost cost = cost_of(&sizes[i], shares[i].width, job->sections[i].steps, job->n_steps);
        add(needs, &sizes[i], &cost);
    }
    needs->n_sections = job->n_sections;
    needs->cost.seconds = seconds;
}

static status estimate_atlas(struct submit_needs *needs, const struct job *job, int n_ranks, int n_tasks)
{
    size_t n = (size_t)job->n_sections;
    struct atlas_share *shares = calloc(n, sizeof *shares);
    struct section_size *sizes = calloc(n, sizeof *sizes);
    int *order = malloc(n * sizeof *order);
    status done = shares && sizes && order ? MONGE_OK : error_memory("the sections", (double)(n * sizeof *sizes));
    if (done == MONGE_OK)
        estimate_sections(needs, job, n_ranks, n_tasks, shares, sizes, order);
    free(shares);
    free(sizes);
    free(order);
    return done;
}

status submit_estimate(struct submit_needs *needs, const struct job *job, int n_ranks, int n_tasks)
{
    *needs = (struct submit_needs){0};
    status done = job->n_sections ? estimate_atlas(needs, job, n_ranks, n_tasks) : estimate_plain(needs, job, n_ranks);
    needs->cost.bytes = fmax(needs->cost.bytes, BASE_BYTES);
    needs->cost.seconds += START_SECONDS;
    return done;
}
