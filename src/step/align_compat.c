/* `monge align --compat diffbio EXAMPLE.h5` (or two small .h5ad): the twelve published figures of that operator, and what its formula gives once
 * its two defects are mended (ot/diffbio.c). */
#include "align_parts.h"
#include "monge/diffbio.h"

bool align_wants_compat(const void *options)
{
    return ((const struct align_options *)options)->compat == ALIGN_COMPAT_DIFFBIO;
}

status align_compat_table(const char *const *paths, struct text *table)
{
    struct real_slice first = {0}, second = {0};
    if (paths[1] && paths[2])
        return error_set(MONGE_USAGE, "--compat diffbio takes its example file, or two small .h5ad");
    status fault = paths[1] ? real_slice_read(&first, paths[0]) : real_slice_read_pair(&first, &second, paths[0]);
    if (!fault && paths[1])
        fault = real_slice_read(&second, paths[1]);
    if (!fault)
        fault = diffbio_table(&first, &second, table);
    real_slice_free(&first);
    real_slice_free(&second);
    return fault;
}
