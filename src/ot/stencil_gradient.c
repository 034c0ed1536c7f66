/* The distance classes of a stencil. */
#include <math.h>

#include "operator_stencil.h"

int stencil_classes(const struct spot_operator *op, double *distance)
{
    const struct offsets *offsets = &((const struct stencil_state *)op->state)->offsets;
    int n = 0;
    for (int32_t squared = -1, next;; squared = next) {
        next = INT32_MAX;
        for (int k = 0; k < offsets->n[0]; k++) /* both parities have the same distances */
            if (offsets->squared[0][k] > squared && offsets->squared[0][k] < next)
                next = offsets->squared[0][k];
        if (next == INT32_MAX)
            return n;
        if (distance)
            distance[n] = sqrt((double)next);
        n++;
    }
}
