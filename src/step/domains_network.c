/* What networks of the domains step have in common in both precisions. */
#include "domains_network.h"

#include <stdlib.h>
#include <string.h>

void network_result_free(struct network_result *result)
{
    free(result->z);
    free(result->loss);
    free(result->gradient);
    memset(result, 0, sizeof *result);
}

/* Counted as in domains.md, section 3, and docs/nn.md: forward and backward of two sparse products, of the Gram form and of the small
 * layers; rows of the tape with their gradients. */
struct network_cost network_cost(const struct network_settings *s, double non_zeros, double degree)
{
    double h = s->hidden, l = s->latent;
    struct network_cost cost;
    if (s->model == NETWORK_GATV2) {
        cost.flop = 2.0 * 2.0 * 2.0 * non_zeros * h + 3.0 * 2.0 * 8.0 * h * h + 2.0 * 3.0 * 2.0 * degree * h + 3.0 * 2.0 * h * h;
        cost.bytes = 4.0 * 26.0 * h + 2.0 * degree * (4.0 * 6.0 * s->heads + 16.0) + 16.0 * non_zeros;
        return cost;
    }
    double graphs = s->alpha > 0.0 ? 2.0 : 1.0, products = s->split ? 4.0 : 2.0;
    cost.flop = products * 2.0 * non_zeros * h + 6.0 * h * h / 2.0 + 12.0 * h * l + graphs * 4.0 * degree * (h + l);
    cost.bytes = 4.0 * (7.0 + 2.0 * graphs) * h + 8.0 * l + graphs * degree * 48.0 + 16.0 * non_zeros;
    return cost;
}
