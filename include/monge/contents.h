/* What an .h5ad file holds besides its counts, for `monge info`. */
#ifndef MONGE_CONTENTS_H
#define MONGE_CONTENTS_H

#include "monge/error.h"
#include "monge/text.h"

/* Local (one rank; no parallel I/O). Adds lines "  layers        corrected, truth" for layers, obs, obsm, obsp and varm, then one line per result
 * of monge (uns/monge): scalars with their value, arrays with their size. A path that is no HDF5 file (an outs/ folder, a .csv) adds nothing.
 * MONGE_NO_INPUT if an HDF5 file cannot be read. */
status contents_add(struct text *text, const char *path);

#endif
