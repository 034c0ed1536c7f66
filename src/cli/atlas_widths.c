/* How wide a group each section gets.
 *
 * One rank per section wastes nothing inside a section but leaves ranks idle at the end, when the last long ones run; all ranks per
 * section idles nobody but wastes what does not scale. A section is therefore given more than one rank if its time on one would be
 * more than some share of the time that the whole atlas needs at best; the dealing (longest first, to the group that is free first; a
 * group with nothing left for its width halves) is played through for several shares and the best is kept. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "monge/atlas.h"

static const double FIXED = 2.0;   /* seconds of any section that more ranks do not shorten: opening files, fitting one field */
static const double SERIAL = 0.05; /* the same as a part of the rest */

double atlas_seconds(double seconds, int ranks)
{
    double fixed = fmin(seconds, FIXED);
    return fixed + (seconds - fixed) * (SERIAL + (1.0 - SERIAL) / ranks);
}

int atlas_width(int ranks, int halvings)
{
    while (halvings-- > 0 && ranks > 1)
        ranks -= ranks / 2;
    return ranks;
}

/* Widths for which a section takes at most `most` seconds, if its memory allows them; else the nearest. */
static void choose_widths(struct atlas_share *shares, int n, int ranks, double most)
{
    for (int i = 0; i < n; i++) {
        int width = ranks;
        while (width > 1 && width - width / 2 >= shares[i].least && atlas_seconds(shares[i].seconds, width - width / 2) <= most)
            width -= width / 2;
        shares[i].width = width;
    }
}

struct group {
    double free_at;
    int ranks;
};

/* Sections by width, longest first: list [first[d], first[d + 1]) of `sections`, of which those before next[d] are dealt, want
 * width[d] ranks. */
struct queues {
    int n;
    int width[34], first[35], next[34];
    int *sections;
};

static void fill_queues(struct queues *queues, const struct atlas_share *shares, int n, const int *order, int ranks)
{
    int filled = 0;
    queues->n = 0;
    for (int width = 0; width != 1; queues->n++) {
        int d = queues->n;
        width = queues->width[d] = atlas_width(ranks, d);
        queues->first[d] = queues->next[d] = filled;
        for (int k = 0; k < n; k++)
            if (shares[order[k]].seconds > 0.0 && shares[order[k]].width == width)
                queues->sections[filled++] = order[k];
    }
    queues->first[queues->n] = filled;
}

/* The longest that a group of so many ranks may take, or -1. */
static int take_longest(struct queues *queues, const struct atlas_share *shares, int ranks)
{
    int best = -1;
    for (int d = 0; d < queues->n && queues->width[d] >= ranks; d++) {
        if (queues->next[d] == queues->first[d + 1])
            continue;
        int head = queues->sections[queues->next[d]];
        if (best < 0 || shares[head].seconds > shares[queues->sections[queues->next[best]]].seconds)
            best = d;
    }
    return best < 0 ? -1 : queues->sections[queues->next[best]++];
}

static int free_first(const struct group *groups, int n)
{
    int best = 0;
    for (int g = 1; g < n; g++)
        if (groups[g].free_at < groups[best].free_at)
            best = g;
    return best;
}

/* Plays the dealing through; returns when the last section ends. groups: room for ranks * worlds. */
static double play(struct queues *queues, const struct atlas_share *shares, struct group *groups, int ranks, int worlds)
{
    int n = worlds;
    double end = 0.0;
    for (int w = 0; w < worlds; w++)
        groups[w] = (struct group){.ranks = ranks};
    while (n > 0) {
        struct group *group = &groups[free_first(groups, n)];
        int i = take_longest(queues, shares, group->ranks);
        if (i >= 0) {
            group->free_at += atlas_seconds(shares[i].seconds, group->ranks);
            end = fmax(end, group->free_at);
        } else if (group->ranks > 1) {
            groups[n++] = (struct group){group->free_at, group->ranks / 2};
            group->ranks -= group->ranks / 2;
        } else {
            *group = groups[--n];
        }
    }
    return end;
}

double atlas_widths(struct atlas_share *shares, int n, const int *order, int ranks, int worlds)
{
    static const double parts[] = {DBL_MAX, 1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02, 0.0};
    enum { N_PARTS = sizeof parts / sizeof *parts };
    double all = 0.0, best = DBL_MAX, best_part = DBL_MAX;
    for (int i = 0; i < n; i++)
        all += shares[i].seconds / ((double)ranks * worlds);
    struct queues queues = {.sections = malloc((size_t)(n + 1) * sizeof(int))};
    struct group *groups = malloc((size_t)ranks * (size_t)worlds * sizeof *groups);
    for (int p = 0; p < N_PARTS && queues.sections && groups; p++) {
        choose_widths(shares, n, ranks, p ? parts[p] * all : DBL_MAX);
        fill_queues(&queues, shares, n, order, ranks);
        double seconds = play(&queues, shares, groups, ranks, worlds);
        if (seconds < 0.999 * best) { /* as wide as it helps, not wider */
            best = seconds;
            best_part = p ? parts[p] * all : DBL_MAX;
        }
    }
    free(queues.sections);
    free(groups);
    choose_widths(shares, n, ranks, best_part); /* out of memory: as narrow as memory allows */
    return best < DBL_MAX ? best : all;
}
