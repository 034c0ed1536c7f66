/* Building the one-pass form of a kernel: the site factors of its components at the ghosts. */
#include "kernel_stencil.h"

#include <stdlib.h>

#include "monge/agree.h"

void kernel_stencil_free(struct kernel_stencil *stencil)
{
    if (!stencil)
        return;
    patches_free(stencil->patches);
    for (int c = 0; c < KERNEL_MAX_COMPONENTS; c++)
        free(stencil->ghost_norm[c]);
    free(stencil->ghost_destination);
    free(stencil->patch);
    free(stencil);
}

/* The patches that all lateral components share, or NULL. */
static struct patches *common_patches(const struct kernel *kernel)
{
    struct patches *common = NULL;
    for (int c = 1; c < kernel->n_components - 1; c++) {
        if (kernel->local[c].apply_f64 != stencil_apply_f64)
            return NULL;
        struct patches *patches = ((const struct stencil_state *)kernel->local[c].state)->patches;
        if (common && common != patches)
            return NULL;
        common = patches;
    }
    return common;
}

static status allocate(struct kernel_stencil *stencil, const struct kernel *kernel)
{
    size_t n = (size_t)stencil->patches->n_ghosts + 1;
    size_t patch_bytes = stencil->patches->patch_bytes * (size_t)(kernel->n_components - 2);
    stencil->patch = aligned_alloc(STENCIL_ALIGNMENT, patch_bytes);
    stencil->ghost_destination = malloc(n * sizeof *stencil->ghost_destination);
    bool complete = stencil->patch && stencil->ghost_destination;
    for (int c = 1; c < kernel->n_components - 1; c++) {
        stencil->offsets[c] = &((const struct stencil_state *)kernel->local[c].state)->offsets;
        stencil->ghost_norm[c] = malloc(n * sizeof *stencil->ghost_norm[c]);
        complete = complete && stencil->ghost_norm[c];
    }
    return complete ? MONGE_OK : error_memory("the kernel's patches", (double)patch_bytes + 8.0 * (double)n * kernel->n_components);
}

static status fetch(struct halo *halo, const double *own, double *ghost)
{
    status s = halo_start(halo, sizeof *own, own, ghost);
    return s == MONGE_OK ? halo_finish(halo) : s;
}

status kernel_stencil_new(struct kernel *kernel)
{
    struct patches *patches = common_patches(kernel);
    if (!patches)
        return MONGE_OK;
    struct kernel_stencil *stencil = kernel->stencil = calloc(1, sizeof *stencil);
    status s = stencil ? MONGE_OK : error_memory("the kernel's patches", (double)sizeof *stencil);
    if (s == MONGE_OK) {
        stencil->patches = patches;
        patches->references++;
        s = allocate(stencil, kernel);
    }
    s = agree(kernel->sites->comm, s);
    if (s == MONGE_OK)
        s = fetch(patches->halo, kernel->destination, stencil->ghost_destination);
    for (int c = 1; s == MONGE_OK && c < kernel->n_components - 1; c++)
        s = fetch(patches->halo, kernel->inverse_norm[c], stencil->ghost_norm[c]);
    return s;
}
