/* Halo exchange: the values of remote sites that own sites need.
 *
 * Built once from the list of wanted remote sites; used many times on fields of any number of lanes. MPI neighbourhood
 * collectives on a distributed-graph communicator; start/finish so that interior work overlaps the messages. */
#ifndef MONGE_HALO_H
#define MONGE_HALO_H

#include <stddef.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"

struct halo; /* opaque */

/* Collective over sites->comm. wanted [n_wanted]: global indices of sites owned by other ranks, ascending, no duplicates.
 * `sites` must outlive the halo. */
status halo_new(struct halo **halo, const struct partition *sites, int64_t n_wanted, const int64_t *wanted);
void halo_free(struct halo *halo);

/* Collective. own: own sites x bytes_per_site; ghost: n_wanted x bytes_per_site, in the order of `wanted`; both must stay
 * untouched between start and finish. One exchange at a time per halo. */
status halo_start(struct halo *halo, size_t bytes_per_site, const void *own, void *ghost);
status halo_finish(struct halo *halo);

#endif
