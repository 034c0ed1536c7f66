/* A program with one step of each kind, for tests of job files: smooth (works on a section), invent (makes one), show (reads the finished
 * output), join (takes two or three sections as one), and smile, which is no step. None of them does anything. */
#ifndef TESTS_TOY_PROGRAM_H
#define TESTS_TOY_PROGRAM_H

#include "monge/verb.h"

struct smooth_options {
    int64_t rank;
    double alpha;
    bool fast;
    int kernel;
    char *model;
    struct option_reals widths;
    struct option_texts genes;
};
extern const struct option_table toy_smooth_table; /* of struct smooth_options */
extern const struct program toy_program;

#endif
