/* The Hilbert curve, one quadrant per step from the largest to the smallest; after each step the frame is turned so that the
 * curve inside the quadrant begins where the last one ended. Source: D. Hilbert 1891; Lam & Shapiro 1994 (bit by bit). */
#include "monge/hilbert.h"

uint64_t hilbert_key(int order, uint32_t x, uint32_t y)
{
    uint64_t key = 0;
    for (int bit = order - 1; bit >= 0; bit--) {
        uint32_t right = (x >> bit) & 1u, up = (y >> bit) & 1u;
        key = (key << 2) | ((3u * right) ^ up);
        if (!up) {
            if (right) {
                x = ~x;
                y = ~y;
            }
            uint32_t swap = x;
            x = y;
            y = swap;
        }
    }
    return key;
}
