/* Private to io/: the way between the file's row order (equal shares per rank) and slide order (whole blocks per rank). */
#ifndef IO_ROW_ORDER_H
#define IO_ROW_ORDER_H

#include <stddef.h>

#include "monge/row_exchange.h"

struct row_order {
    MPI_Comm comm;
    int size;
    struct row_side file, site;
};

/* Collective over section->comm. Needs slide, sites and n_spots; every file row must have a site. */
status row_order_new(struct row_order *order, const struct section *section);
void row_order_free(struct row_order *order);

/* Collective. Rows without a counterpart stay empty. */
status row_order_to_sites(const struct row_order *order, const struct sparse_rows *file, struct sparse_rows *sites);
status row_order_to_file(const struct row_order *order, const struct sparse_rows *sites, struct sparse_rows *file);

/* Collective. own [own sites] -> file [own file rows], records of `bytes` bytes. */
status row_order_values_to_file(const struct row_order *order, size_t bytes, const void *own, void *file);

#endif
