/* Where a solve stands between two levels (fgw_sparse.h): handed to the caller, who may keep it or stop, and taken back. */
#include <stdlib.h>
#include <string.h>

#include "fgw_multilevel.h"

void stage_free(struct fgw_stage *stage)
{
    transport_plan_free(&stage->plan);
    *stage = (struct fgw_stage){0};
}

status multilevel_resume(struct multilevel *m, const struct fgw_search *from)
{
    struct fgw_search *search = &m->search;
    int last = m->n_levels > 1 ? m->n_levels - 1 : 1;
    bool fits = from->levels <= last && from->kept >= 1 && from->kept <= m->options->keep && from->n_starts >= 1;
    for (int k = 0; fits && k < from->kept; k++) {
        const struct fgw_stage *stage = &from->stages[k];
        fits = stage->start >= 0 && stage->start < from->n_starts && stage->plan.n == m->a[from->levels - 1].n &&
               stage->plan.m == m->b[from->levels - 1].n;
    }
    if (!fits)
        return error_set(MONGE_BAD_DATA, "alignment: the search to go on from is that of other slices or options");
    search->starts = malloc((size_t)from->n_starts * sizeof *search->starts);
    if (!search->starts)
        return error_memory("the starts", 64.0 * from->n_starts);
    memcpy(search->starts, from->starts, (size_t)from->n_starts * sizeof *search->starts);
    search->n_starts = from->n_starts;
    search->levels = from->levels;
    for (; search->kept < from->kept; search->kept++) {
        struct fgw_stage *stage = &search->stages[search->kept];
        *stage = from->stages[search->kept];
        stage->plan = (struct transport_plan){0};
        if (transport_plan_copy(&stage->plan, &from->stages[search->kept].plan) != MONGE_OK)
            return error_code();
    }
    return MONGE_OK;
}

status multilevel_pause(const struct multilevel *m, bool level_done)
{
    const struct fgw_scalable_problem *p = m->problem;
    return p->safe_point ? p->safe_point(p->safe_point_context, &m->search, level_done) : MONGE_OK;
}

void fgw_search_free(struct fgw_search *search)
{
    for (int k = 0; search->stages && k < search->kept; k++)
        stage_free(&search->stages[k]);
    free(search->stages);
    free(search->starts);
    *search = (struct fgw_search){0};
}
