/* The Hilbert curve: an order of the plane in which near places stay near. */
#ifndef MONGE_HILBERT_H
#define MONGE_HILBERT_H

#include <stdint.h>

/* Distance along the Hilbert curve of order `order` (a 2^order x 2^order grid, order <= 31) of the cell (x, y). */
uint64_t hilbert_key(int order, uint32_t x, uint32_t y);

#endif
