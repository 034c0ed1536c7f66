/* Count rows of any sites, wherever they are held. */
#ifndef MONGE_ROW_FETCH_H
#define MONGE_ROW_FETCH_H

#include "monge/section.h"

/* Collective over section->comm. This rank asks for the counts of n global sites (any order, several times the same; n may be 0) and gets
 * them as rows 0 .. n - 1 (to be freed with sparse_rows_free). MONGE_INTERNAL on all ranks: a site that is not there, memory. */
status section_fetch_rows(const struct section *section, int64_t n, const int64_t *sites, struct sparse_rows *rows);

/* The same for rows of any layout: own rows are those of the sites that `sites` deals to this rank. Collective over sites->comm. portion: see
 * row_exchange.h. */
status rows_fetch(const struct partition *sites, const struct sparse_rows *own, int64_t n, const int64_t *wanted, int64_t portion,
                  struct sparse_rows *rows);

#endif
