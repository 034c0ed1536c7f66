/* The network, its cost and the dense kernel, each beside its adjoint. */
#include "monge/phi.h"

#include <math.h>
#include <string.h>

#include "monge/rng.h"

static const double SOFTPLUS_SHIFT = 0.54132485461291801; /* ln(e - 1): softplus of it is 1 */

static double slide_extent(const struct slide *slide)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int64_t i = 0; i < slide->n_sites; i++) {
        double at[2];
        slide_position(slide, i, &at[0], &at[1]);
        for (int k = 0; k < 2; k++) {
            low[k] = fmin(low[k], at[k]);
            high[k] = fmax(high[k], at[k]);
        }
    }
    return slide->n_sites > 1 ? hypot(high[0] - low[0], high[1] - low[1]) : 1.0;
}

void phi_start(struct phi *phi, const struct slide *slide, double power, uint64_t seed)
{
    memset(phi, 0, sizeof *phi);
    phi->d_max = slide_extent(slide);
    phi->power = power;
    struct rng rng = rng_start(seed, RNG_SEED_TRAINING, 0);
    for (int k = 0; k < PHI_A2; k++)
        phi->parameter[k] = rng_uniform(&rng) - 0.5;
}

struct activation {
    double input[PHI_INPUTS], hidden[PHI_HIDDEN], before; /* before softplus */
};

static struct activation forward(const struct phi *phi, double distance, bool seen, bool source)
{
    const double *p = phi->parameter;
    struct activation a = {{distance / phi->d_max, seen, source, seen != source}, {0}, p[PHI_C2] + SOFTPLUS_SHIFT};
    for (int h = 0; h < PHI_HIDDEN; h++) {
        double sum = p[PHI_C1 + h];
        for (int k = 0; k < PHI_INPUTS; k++)
            sum += p[PHI_A1 + h * PHI_INPUTS + k] * a.input[k];
        a.hidden[h] = tanh(sum);
        a.before += p[PHI_A2 + h] * a.hidden[h];
    }
    return a;
}

static double softplus(double z)
{
    return fmax(z, 0.0) + log1p(exp(-fabs(z)));
}

double phi_weight(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue)
{
    return softplus(forward(phi, distance, seen_in_tissue, source_in_tissue).before);
}

void phi_weight_adjoint(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue, double weight_bar,
                        double *parameter_bar)
{
    struct activation a = forward(phi, distance, seen_in_tissue, source_in_tissue);
    double before_bar = weight_bar / (1.0 + exp(-a.before));
    parameter_bar[PHI_C2] += before_bar;
    for (int h = 0; h < PHI_HIDDEN; h++) {
        parameter_bar[PHI_A2 + h] += before_bar * a.hidden[h];
        double sum_bar = before_bar * phi->parameter[PHI_A2 + h] * (1.0 - a.hidden[h] * a.hidden[h]);
        parameter_bar[PHI_C1 + h] += sum_bar;
        for (int k = 0; k < PHI_INPUTS; k++)
            parameter_bar[PHI_A1 + h * PHI_INPUTS + k] += sum_bar * a.input[k];
    }
}

double phi_cost(const struct phi *phi, double distance, bool seen_in_tissue, bool source_in_tissue)
{
    return phi_weight(phi, distance, seen_in_tissue, source_in_tissue) * pow(distance, phi->power);
}

void phi_dense_kernel(const struct phi *phi, int64_t n, const double *distance, const uint8_t *tissue, double r, double *kernel)
{
    for (int64_t j = 0; j < n; j++) {
        double sum = 0.0; /* the cost at distance 0 is 0, the least: no shift is needed */
        for (int64_t i = 0; i < n; i++)
            sum += kernel[i * n + j] = exp(-phi_cost(phi, distance[i * n + j], tissue[i], tissue[j]) / r);
        for (int64_t i = 0; i < n; i++)
            kernel[i * n + j] /= sum;
    }
}

/* With Lambda = log K and Lambda-bar = K-bar * K:  M-bar_ij = -(Lambda-bar_ij - K_ij sum_i Lambda-bar_ij) / r,
 * r-bar = sum_ij Lambda-bar_ij (M_ij - sum_i K_ij M_ij) / r^2 = -(1/r) sum_ij M-bar_ij M_ij. */
double phi_dense_adjoint(const struct phi *phi, int64_t n, const double *distance, const uint8_t *tissue, double r, const double *kernel,
                         const double *kernel_bar, double *parameter_bar)
{
    double r_bar = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double column = 0.0;
        for (int64_t i = 0; i < n; i++)
            column += kernel_bar[i * n + j] * kernel[i * n + j];
        for (int64_t i = 0; i < n; i++) {
            double d = distance[i * n + j], cost_bar = -kernel[i * n + j] * (kernel_bar[i * n + j] - column) / r;
            r_bar -= cost_bar * phi_cost(phi, d, tissue[i], tissue[j]) / r;
            phi_weight_adjoint(phi, d, tissue[i], tissue[j], cost_bar * pow(d, phi->power), parameter_bar);
        }
    }
    return r_bar;
}
