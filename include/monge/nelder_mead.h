/* Minimisation without derivatives: the simplex method of Nelder & Mead 1965, inside a box. Deterministic. */
#ifndef MONGE_NELDER_MEAD_H
#define MONGE_NELDER_MEAD_H

#include "monge/error.h"

enum { NELDER_MEAD_MAX = 8 };

struct nelder_mead {
    int n;                                                /* variables, at most NELDER_MEAD_MAX */
    double low[NELDER_MEAD_MAX], high[NELDER_MEAD_MAX];   /* points outside are moved to the nearest face */
    double start[NELDER_MEAD_MAX], step[NELDER_MEAD_MAX]; /* first vertex, and the length of the simplex along each axis */
    int max_evaluations;
    double value_tolerance;                   /* stops when the values of all vertices agree to this */
    double best[NELDER_MEAD_MAX], best_value; /* results */
    int evaluations;
};

/* The value of a point; its status ends the search. */
typedef status (*nelder_mead_function)(const double *point, void *context, double *value);

status nelder_mead_minimise(struct nelder_mead *search, nelder_mead_function function, void *context);

#endif
