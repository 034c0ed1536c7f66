/* A round of expectation maximisation over the rows: scores, probabilities, sums. Block by block, so that nothing of the size rows x k is kept. */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include "mixture_parts.h"
#include "monge/vector_math.h"

/* ---- scores of a block: score [k x count] = log w_k + log N_k, but for what all components share ---- */

static void score_linear(const struct mixture_work *work, const double *x, int64_t count)
{
    const int k = work->options.k, columns = work->x->columns;
    double *score = work->score;
    for (int c = 0; c < k; c++)
        for (int64_t i = 0; i < count; i++)
            score[c * count + i] = work->density.offset[c];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k, (int)count, columns, 1.0, work->density.linear, columns, x, columns, 1.0, score,
                (int)count);
}

static void score_squares(const struct mixture_work *work, const double *x, int64_t count)
{
    const int k = work->options.k, columns = work->x->columns;
    for (int64_t i = 0; i < count * columns; i++)
        work->product[i] = x[i] * x[i];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k, (int)count, columns, -0.5, work->density.square, columns, work->product,
                columns, 1.0, work->score, (int)count);
}

/* work->product [(k columns) x count] = P_k x */
static void score_full(const struct mixture_work *work, const double *x, int64_t count)
{
    const int k = work->options.k, columns = work->x->columns;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, k * columns, (int)count, columns, 1.0, work->density.linear, columns, x, columns,
                0.0, work->product, (int)count);
    for (int c = 0; c < k; c++) {
        double *score = work->score + c * count;
        memset(score, 0, (size_t)count * sizeof *score);
        for (int j = 0; j < columns; j++) {
            const double *white = work->product + ((int64_t)c * columns + j) * count, centre = work->density.square[c * columns + j];
            for (int64_t i = 0; i < count; i++)
                score[i] = fused_inline(white[i] - centre, white[i] - centre, score[i]);
        }
        for (int64_t i = 0; i < count; i++)
            score[i] = fused_inline(-0.5, score[i], work->density.offset[c]);
    }
}

/* Scores become probabilities; returns the sum of log sum_k exp score. */
static double normalise(const struct mixture_work *work, int64_t count)
{
    const int k = work->options.k;
    double *score = work->score, *most = work->lane, *sum = work->lane + count;
    memcpy(most, score, (size_t)count * sizeof *most);
    for (int c = 1; c < k; c++)
        for (int64_t i = 0; i < count; i++)
            most[i] = score[c * count + i] > most[i] ? score[c * count + i] : most[i];
    memset(sum, 0, (size_t)count * sizeof *sum);
    for (int c = 0; c < k; c++)
        for (int64_t i = 0; i < count; i++) {
            double share = exp_inline(score[c * count + i] - most[i]);
            score[c * count + i] = share;
            sum[i] += share;
        }
    for (int64_t i = 0; i < count; i++) {
        most[i] += log_inline(sum[i]);
        sum[i] = 1.0 / sum[i];
    }
    for (int c = 0; c < k; c++)
        for (int64_t i = 0; i < count; i++)
            score[c * count + i] *= sum[i];
    return lane_sum(count, most);
}

/* work->score: probabilities of a block of rows; returns its part of the log-likelihood. */
static double expect_block(const struct mixture_work *work, const double *x, int64_t count)
{
    if (work->options.covariance == MIXTURE_FULL) {
        score_full(work, x, count);
    } else {
        score_linear(work, x, count);
        if (work->options.covariance == MIXTURE_DIAGONAL)
            score_squares(work, x, count);
    }
    return normalise(work, count);
}

static void label_block(const struct mixture_work *work, const int32_t *label, int64_t count)
{
    memset(work->score, 0, (size_t)(work->options.k * count) * sizeof *work->score);
    for (int64_t i = 0; i < count; i++)
        work->score[label[i] * count + i] = 1.0;
}

/* ---- sums of a block ---- */

/* square [columns x columns] = sum_i p_i x_i x_i' */
static void sum_products(const struct mixture_work *work, const double *p, const double *x, int64_t count, double *square)
{
    const int columns = work->x->columns;
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < columns; j++)
            work->product[i * columns + j] = p[i] * x[i * columns + j];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, columns, columns, (int)count, 1.0, x, columns, work->product, columns, 0.0, square,
                columns);
}

static void sum_block(struct mixture_work *work, const double *x, int64_t count)
{
    const int k = work->options.k, columns = work->x->columns;
    double *weight = work->sums.portion + 1, *mean = weight + k, *square = mean + (int64_t)k * columns;
    for (int c = 0; c < k; c++)
        weight[c] = lane_sum(count, work->score + c * count);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, columns, (int)count, 1.0, work->score, (int)count, x, columns, 0.0, mean,
                columns);
    if (work->options.covariance == MIXTURE_DIAGONAL) {
        for (int64_t i = 0; i < count * columns; i++)
            work->product[i] = x[i] * x[i];
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, k, columns, (int)count, 1.0, work->score, (int)count, work->product, columns,
                    0.0, square, columns);
    }
    for (int c = 0; c < k && work->options.covariance == MIXTURE_FULL; c++)
        sum_products(work, work->score + c * count, x, count, square + (int64_t)c * columns * columns);
}

void mixture_round(struct mixture_work *work, const int32_t *label)
{
    const struct partition *rows = work->x->rows;
    block_sums_clear(&work->sums);
    for (int64_t b = rows->first_block; b < rows->end_block; b++) {
        int64_t count, first = centred_rows_block(work->x, b, &count);
        const double *x = work->x->value + first * work->x->columns;
        if (count == 0)
            continue;
        if (label)
            label_block(work, label + first, count);
        else
            work->sums.portion[0] = expect_block(work, x, count);
        sum_block(work, x, count);
        block_sums_add(&work->sums);
    }
    block_sums_total(&work->sums, rows->comm, work->total);
    work->log_likelihood = work->total[0] + work->density.shared;
}

void mixture_scatter(struct mixture_work *work)
{
    const struct partition *rows = work->x->rows;
    const int columns = work->x->columns;
    block_sums_clear(&work->sums);
    for (int64_t b = rows->first_block; b < rows->end_block; b++) {
        int64_t count, first = centred_rows_block(work->x, b, &count);
        const double *x = work->x->value + first * columns;
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, columns, columns, (int)count, 1.0, x, columns, x, columns, 0.0,
                    work->sums.portion, columns);
        block_sums_add(&work->sums);
    }
    block_sums_total(&work->sums, rows->comm, work->total);
    memcpy(work->scatter, work->total, (size_t)(columns * columns) * sizeof *work->scatter);
}

void mixture_posterior(struct mixture_work *work, double *posterior, int32_t *label)
{
    const struct partition *rows = work->x->rows;
    const int k = work->options.k;
    for (int64_t b = rows->first_block; b < rows->end_block; b++) {
        int64_t count, first = centred_rows_block(work->x, b, &count);
        if (count > 0)
            (void)expect_block(work, work->x->value + first * work->x->columns, count);
        for (int64_t i = 0; i < count; i++) {
            int32_t best = 0;
            for (int c = 0; c < k; c++) {
                double p = work->score[c * count + i];
                posterior[(first + i) * k + c] = p;
                best = p > work->score[best * count + i] ? c : best;
            }
            label[first + i] = best;
        }
    }
}
