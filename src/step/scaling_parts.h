/* The parts of a scaling study: what is collected once, and the table and page made from it. */
#ifndef SCALING_PARTS_H
#define SCALING_PARTS_H

#include "monge/run_log.h"
#include "monge/scaling.h"
#include "monge/scaling_model.h"
#include "monge/text.h"

/* Where the wall-clock time of a run or a phase goes; the parts add up to seconds. */
struct scaling_split {
    double seconds;       /* mean over ranks (they hardly differ) */
    double compute;       /* mean over ranks of the seconds outside of MPI and files */
    double imbalance;     /* the slowest rank's computing beyond that mean: what the others wait for it */
    double communication; /* the rest of the seconds in MPI */
    double io;            /* of the rank that was longest in files */
    double neighbour;     /* not a further part: mean seconds in neighbourhood exchange and messages, waiting included */
    double calls, sent;   /* MPI calls and bytes sent, mean over ranks */
};

/* All runs on one number of ranks. */
struct scaling_row {
    int ranks, nodes, n_runs;
    const struct run_entry *run; /* the one with the median time: the breakdown is its */
    double work;                 /* counts of its input, relative to that of the fewest ranks */
    double seconds, fastest, slowest;
    double speedup, efficiency; /* against the fewest ranks */
    struct scaling_split all;
    double memory_mean, memory_max; /* bytes per rank */
};

struct scaling_data {
    struct run_history history;
    int n_used;
    const struct run_entry **used; /* finished runs of one job, by ranks, then seconds */
    int n_rows;
    struct scaling_row *rows; /* by ranks */
    int n_phases;
    const char **phase;         /* names, in the order of the first row that has them */
    struct scaling_split *part; /* n_rows x n_phases; zeros where a run lacks the phase */
    bool weak;
    struct scaling_point *points; /* n_used */
    bool has_model;
    struct scaling_model model;
};

/* scaling_collect.c */
status scaling_collect(struct scaling_data *data, int n, const char *const *results, bool weak);
void scaling_data_free(struct scaling_data *data);

/* scaling.c: work and nodes that a projection stands for; "strong scaling of correct"; what the model says, one sentence per line */
double scaling_work(const struct scaling_data *data, double ranks);
int scaling_nodes(const struct scaling_data *data, double ranks);
double scaling_speedup(const struct scaling_data *data, double ranks, double seconds);
void scaling_name(const struct scaling_data *data, struct text *text);
void scaling_conditions(const struct scaling_data *data, struct text *text);
void scaling_model_words(const struct scaling_data *data, struct text *text);
const struct scaling_split *scaling_part(const struct scaling_data *data, int row, int phase);
/* Seconds of a phase at the most ranks beyond the ideal, its time on the fewest ranks divided as the ranks grew. */
double scaling_beyond_ideal(const struct scaling_data *data, int phase);

/* scaling_table.c, scaling_page.c. ranks [n]: where to project to */
void scaling_table(struct text *text, const struct scaling_data *data, int n, const double *ranks);
status scaling_page(struct text *page, const struct scaling_data *data, const char *title, int n, const double *ranks);

#endif
