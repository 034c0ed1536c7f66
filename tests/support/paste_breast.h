/* The four layers of breast cancer of $MONGE_DATA/data/paste_breast as sparse counts, filtered and reduced to common genes. */
#ifndef TESTS_PASTE_BREAST_H
#define TESTS_PASTE_BREAST_H

#include "monge/section.h"

struct breast_slice {
    int64_t n_spots, n_genes;
    struct sparse_rows counts; /* all spots */
    char **gene;               /* n_genes */
    double *x;                 /* n_spots x 2, units of the array */
};

/* Slice 1 .. 4 after PASTE's filters (genes with a total >= 15, then spots with a total >= 100), whole on every rank. False (and
 * "skipped" printed) without the data; fails the test on a file that cannot be read. */
bool breast_read(struct breast_slice *slice, int number);
void breast_free(struct breast_slice *slice);

/* Reduces both to their common genes, in the order of a. Returns their number. */
int64_t breast_common_genes(struct breast_slice *a, struct breast_slice *b);

#endif
