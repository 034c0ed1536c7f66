/* Counter-based random numbers (Random123 Philox4x32-10; Salmon et al. 2011): a draw is a function of (seed, stream, a, b), never of
 * the rank or of the order of drawing. Streams are named below so that two uses never share numbers. */
#ifndef MONGE_RNG_H
#define MONGE_RNG_H

#include <stdint.h>

enum rng_stream {
    RNG_LOWRANK_START = 1,
    RNG_THINNING,
    RNG_KMEANS,
    RNG_SIMULATE_TISSUE,
    RNG_SIMULATE_GENE,
    RNG_SIMULATE_COUNT,
    RNG_SIMULATE_SPREAD,
    RNG_SIMULATE_CAPTURE,
    RNG_SEED_TRAINING,
    RNG_TEST,
    RNG_NMF_ROW,
    RNG_NMF_GENE,
    RNG_GLM_PCA_ROW,
    RNG_GLM_PCA_GENE,
    RNG_SIMULATE_SLICE,
    RNG_SIMULATE_SLICE_SPOT,
    RNG_ALIGN_PAIRS,
    RNG_NN_WEIGHT,
    RNG_KMEANS_ROW,
    RNG_EIGENVECTOR
};

/* The four words of the block (seed, stream, a, b): key = seed (2 words); counter = (low a, low b, high a << 16 ^ high b, stream). */
void rng_block(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b, uint32_t words[4]);

/* A sequence of draws inside one (seed, stream, a): successive b. For rejection methods; cheap to start anywhere. */
struct rng {
    uint64_t seed, a, b;
    enum rng_stream stream;
    uint32_t words[4];
    int left;
};
struct rng rng_start(uint64_t seed, enum rng_stream stream, uint64_t a);
double rng_uniform(struct rng *rng);             /* in (0, 1), 53 bits */
double rng_normal(struct rng *rng);              /* Box-Muller */
double rng_gamma(struct rng *rng, double shape); /* scale 1; Marsaglia & Tsang 2000 */
int64_t rng_poisson(struct rng *rng, double mean);
int64_t rng_binomial(struct rng *rng, int64_t n, double p);

#endif
