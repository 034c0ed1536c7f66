/* What a checkpoint holds of the literal formulation's training (io/checkpoint.h): step, losses at the start, and per gene and for the
 * network the parameters with Adam's two moments. Thresholds at the start, samples and losses are computed again. */
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/checkpoint.h"
#include "seed_parts.h"

enum { PER_GENE = 6, PER_WEIGHT = 3 }; /* q, r, first moments, second moments; weight, first, second moment */

/* Where the values of own gene g, or of weight k, stand. */
static void gene_places(const struct seed_training *t, int64_t g, double *place[PER_GENE])
{
    double *all[PER_WEIGHT] = {t->run->parameter, t->per_gene.first, t->per_gene.second};
    for (int i = 0; i < PER_WEIGHT; i++) {
        place[2 * i] = all[i] + g;
        place[2 * i + 1] = all[i] + t->run->columns->n_genes + g;
    }
}

static void weight_places(struct seed_training *t, double *all[PER_WEIGHT])
{
    all[0] = t->run->phi.parameter;
    all[1] = t->network.first;
    all[2] = t->network.second;
}

/* A checkpoint_writer. */
static status put_training(struct checkpoint *k, void *context)
{
    struct seed_training *t = context;
    const struct gene_counts *columns = t->run->columns;
    double *rows = checkpoint_room(k, (size_t)(columns->n_genes * PER_GENE) * sizeof *rows), *place[PER_GENE], *weights[PER_WEIGHT];
    if (!rows)
        return error_code();
    for (int64_t g = 0; g < columns->n_genes; g++) {
        gene_places(t, g, place);
        for (int i = 0; i < PER_GENE; i++)
            rows[g * PER_GENE + i] = *place[i];
    }
    weight_places(t, weights);
    checkpoint_put(k, "training steps", CHECKPOINT_LONG, 1, 1, &t->steps);
    checkpoint_put(k, "training start", CHECKPOINT_BYTES, (int64_t)sizeof *t->before, 1, t->before);
    checkpoint_put(k, "training weights", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[0]);
    checkpoint_put(k, "training first moments", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[1]);
    checkpoint_put(k, "training second moments", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[2]);
    checkpoint_put_keyed(k, "training genes", columns->n_genes, columns->gene, PER_GENE, rows);
    return MONGE_OK;
}

static status get_training(struct checkpoint *k, struct seed_training *t)
{
    const struct gene_counts *columns = t->run->columns;
    double *rows = malloc(((size_t)columns->n_genes * PER_GENE + 1) * sizeof *rows), *place[PER_GENE], *weights[PER_WEIGHT];
    weight_places(t, weights);
    status s = rows ? checkpoint_get(k, "training steps", CHECKPOINT_LONG, 1, 1, &t->steps) : error_memory("the training", 48.0);
    if (s == MONGE_OK)
        s = checkpoint_get(k, "training start", CHECKPOINT_BYTES, (int64_t)sizeof *t->before, 1, t->before);
    if (s == MONGE_OK)
        s = checkpoint_get(k, "training weights", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[0]);
    if (s == MONGE_OK)
        s = checkpoint_get(k, "training first moments", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[1]);
    if (s == MONGE_OK)
        s = checkpoint_get(k, "training second moments", CHECKPOINT_REAL, PHI_PARAMETERS, 1, weights[2]);
    if (s == MONGE_OK)
        s = checkpoint_get_keyed(k, "training genes", columns->n_genes, columns->gene, PER_GENE, rows, NULL);
    for (int64_t g = 0; g < columns->n_genes && s == MONGE_OK; g++) {
        gene_places(t, g, place);
        for (int i = 0; i < PER_GENE; i++)
            *place[i] = rows[g * PER_GENE + i];
    }
    t->per_gene.steps = t->network.steps = t->steps;
    free(rows);
    return s;
}

/* Plans that are solved on the way start from the ones before, which are not kept. */
static struct checkpoint *checkpoint_of(const struct seed_training *t)
{
    return t->run->options->solve_every > 0 ? NULL : t->run->section->checkpoint;
}

status seed_training_resume(struct seed_training *t)
{
    struct checkpoint *k = checkpoint_of(t);
    status s = agree(t->run->columns->grid->comm, checkpoint_holds(k, "training steps") ? get_training(k, t) : MONGE_OK);
    checkpoint_caught_up(k);
    return s;
}

status seed_training_safe_point(struct seed_training *t)
{
    return checkpoint_safe_point(checkpoint_of(t), put_training, t);
}
