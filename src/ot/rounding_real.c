/* Largest-remainder rounding of every lane to integers of a given total (Hamilton's method), distributed over sites.
 *
 * All lanes are rounded down; the missing units go to the largest remainders, ties to the lower global site. The smallest
 * remainder that gets a unit is found digit by digit: histograms of the leading 10 bits of the remainders, added over the ranks, show
 * the bin where the units run out; its members alone go on to the next 10 bits. Remainders that agree to 2^-70 are ties. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/correct_model.h"
#include "monge/real.h"

enum { BINS = 1024, DIGITS = 7 };

struct candidate {
    int64_t at;  /* index in the field; lane = at % lanes, so ascending means ascending sites within a lane */
    double rest; /* remainder x BINS^digit, less the digits seen */
};

struct selection {
    const struct partition *sites;
    int lanes;
    real *field;
    int64_t *units;     /* lanes: still to give; given as `sign` each */
    double *sign;       /* lanes: 1, or -1 where units must be taken away (totals below the rounded-down field) */
    int64_t *histogram; /* lanes x BINS */
    int *edge;          /* lanes: all members of bins >= edge get a unit; units run out in the bin before it */
    struct candidate *list;
    int64_t n_list;
};

static void selection_free(struct selection *s)
{
    free(s->units);
    free(s->sign);
    free(s->histogram);
    free(s->edge);
    free(s->list);
}

static status selection_new(struct selection *s, const struct partition *sites, int lanes, real *field)
{
    size_t n = (size_t)lanes, size = (size_t)sites->n_own * n;
    *s = (struct selection){.sites = sites, .lanes = lanes, .field = field};
    s->units = calloc(n, sizeof *s->units);
    s->sign = calloc(n, sizeof *s->sign);
    s->histogram = calloc(n * BINS, sizeof *s->histogram);
    s->edge = calloc(n, sizeof *s->edge);
    s->list = malloc((size + 1) * sizeof *s->list);
    if (!s->units || !s->sign || !s->histogram || !s->edge || !s->list)
        return error_memory("rounding", 16.0 * (double)size);
    return MONGE_OK;
}

/* Rounds down; returns the units each lane misses, summed over ranks. */
static void round_down(struct selection *s, const double *total)
{
    for (int64_t i = 0; i < s->sites->n_own; i++)
        for (int g = 0; g < s->lanes; g++)
            s->units[g] -= (int64_t)floor((double)s->field[i * s->lanes + g]);
    MPI_Allreduce(MPI_IN_PLACE, s->units, s->lanes, MPI_INT64_T, MPI_SUM, s->sites->comm);
    for (int g = 0; g < s->lanes; g++) {
        s->units[g] += (int64_t)llround(total[g]);
        s->sign[g] = s->units[g] < 0 ? -1.0 : 1.0;
        s->units[g] = s->units[g] < 0 ? -s->units[g] : s->units[g];
    }
}

/* The whole field becomes the list; where units are to be taken away, from the smallest remainders of values >= 1. */
static void list_field(struct selection *s)
{
    const double below_one = 1.0 - 0x1p-53;
    s->n_list = 0;
    for (int64_t i = 0; i < s->sites->n_own * s->lanes; i++) {
        int g = (int)(i % s->lanes);
        double value = (double)s->field[i], whole = floor(value), rest = value - whole;
        s->field[i] = (real)whole;
        if (s->units[g] == 0 || (s->sign[g] < 0.0 && whole < 1.0))
            continue;
        s->list[s->n_list++] = (struct candidate){i, s->sign[g] > 0.0 ? rest : fmax(0.0, below_one - rest)};
    }
}

static void give(struct selection *s, int64_t at)
{
    s->field[at] = (real)((double)s->field[at] + s->sign[at % s->lanes]);
}

/* One digit: members from the edge on get their unit, those of the bin before it stay if units are left. Returns whether any are. */
static bool next_digit(struct selection *s)
{
    memset(s->histogram, 0, (size_t)s->lanes * BINS * sizeof *s->histogram);
    for (int64_t c = 0; c < s->n_list; c++)
        s->histogram[(s->list[c].at % s->lanes) * BINS + (int)(s->list[c].rest * BINS)]++;
    MPI_Allreduce(MPI_IN_PLACE, s->histogram, s->lanes * BINS, MPI_INT64_T, MPI_SUM, s->sites->comm);
    bool open = false;
    for (int g = 0; g < s->lanes; g++) {
        const int64_t *bins = s->histogram + (int64_t)g * BINS;
        int bin = BINS;
        while (bin > 0 && bins[bin - 1] <= s->units[g])
            s->units[g] -= bins[--bin];
        s->edge[g] = bin;
        open = open || s->units[g] > 0;
    }
    int64_t kept = 0;
    for (int64_t c = 0; c < s->n_list; c++) {
        struct candidate *one = &s->list[c];
        int g = (int)(one->at % s->lanes), bin = (int)(one->rest * BINS);
        if (bin >= s->edge[g])
            give(s, one->at);
        else if (s->units[g] > 0 && bin == s->edge[g] - 1)
            s->list[kept++] = (struct candidate){one->at, one->rest * BINS - bin};
    }
    s->n_list = kept;
    return open;
}

/* The rest are ties: in order of global site, so after the members of lower ranks. */
static status give_ties(struct selection *s)
{
    int64_t *mine = s->histogram, *before = s->histogram + s->lanes, *all = s->histogram + 2 * s->lanes;
    memset(mine, 0, (size_t)s->lanes * sizeof *mine);
    for (int64_t c = 0; c < s->n_list; c++)
        mine[s->list[c].at % s->lanes]++;
    MPI_Allreduce(mine, all, s->lanes, MPI_INT64_T, MPI_SUM, s->sites->comm);
    for (int g = 0; g < s->lanes; g++)
        if (all[g] < s->units[g])
            return error_set(MONGE_INTERNAL, "rounding: lane %d misses its total by %lld counts", g, (long long)(s->units[g] - all[g]));
    MPI_Exscan(mine, before, s->lanes, MPI_INT64_T, MPI_SUM, s->sites->comm);
    if (s->sites->rank == 0)
        memset(before, 0, (size_t)s->lanes * sizeof *before);
    for (int64_t c = 0; c < s->n_list; c++)
        if (before[s->list[c].at % s->lanes]++ < s->units[s->list[c].at % s->lanes])
            give(s, s->list[c].at);
    return MONGE_OK;
}

status REAL(round_largest_remainder)(const struct partition *sites, int lanes, const double *total, real *field)
{
    struct selection s;
    status st = selection_new(&s, sites, lanes, field);
    for (int64_t i = 0; i < sites->n_own * lanes && !st; i++)
        if (!(field[i] >= 0 && (double)field[i] < 0x1p62))
            st = error_set(MONGE_INTERNAL, "rounding: value %g at site %lld is not a count", (double)field[i],
                           (long long)(sites->first + i / lanes));
    st = agree(sites->comm, st);
    if (!st) {
        round_down(&s, total);
        list_field(&s);
        bool open = true;
        for (int digit = 0; digit < DIGITS && open; digit++)
            open = next_digit(&s);
        if (open)
            st = give_ties(&s);
    }
    selection_free(&s);
    return st;
}
