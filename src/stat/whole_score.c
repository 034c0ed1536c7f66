/* Scores of whole fields: each rank in turn is dealt a gene of the batch, gathers its truth, raw and corrected field, and ranks the spots
 * of a marker's domain against the rest or walks along sorted projections. Sliced Wasserstein: Rabin, Peyré, Delon & Bernot 2011. */
#include "monge/whole_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

enum { FIELD_TRUTH, FIELD_RAW, FIELD_CORRECTED };
enum { AUC, L2FC = AUC + SCORE_FIELDS, SLICED = L2FC + SCORE_FIELDS, N_OUTCOMES = SLICED + SCORE_FIELDS - 1 };

static const double fold_floor = 0.01;

static int by_value(const void *a, const void *b)
{
    const struct ranked_site *p = a, *q = b;
    return p->value != q->value ? (p->value > q->value) - (p->value < q->value) : (p->tag > q->tag) - (p->tag < q->tag);
}

/* ---- what stays the same over all genes ---- */

/* The sites along a direction and the steps between them. */
static void sort_sites(struct whole_score *whole, int direction)
{
    double angle = M_PI * direction / SCORE_DIRECTIONS, c = cos(angle), s = sin(angle);
    int64_t n = 0;
    for (int64_t site = 0; site < whole->slide->n_sites; site++)
        if (whole->slide->kind[site] != SITE_OFF) {
            double x, y;
            slide_position(whole->slide, site, &x, &y);
            whole->ranked[n++] = (struct ranked_site){c * x + s * y, (int32_t)site};
        }
    qsort(whole->ranked, (size_t)n, sizeof *whole->ranked, by_value);
    for (int64_t k = 0; k < n; k++) {
        whole->order[direction][k] = whole->ranked[k].tag;
        whole->gap[direction][k] = k + 1 < n ? (float)(whole->ranked[k + 1].value - whole->ranked[k].value) : 0.0F;
    }
}

static status allocate(struct whole_score *whole, bool domains)
{
    const struct partition *sites = whole->sites;
    size_t n = (size_t)whole->slide->n_sites + 1, placed = (size_t)whole->n_placed + 1, lanes = (size_t)whole->lanes;
    whole->ranked = malloc(n * sizeof *whole->ranked);
    whole->leaving = malloc(((size_t)sites->n_own * lanes + 1) * sizeof *whole->leaving);
    whole->whole = malloc(SCORE_FIELDS * n * sizeof *whole->whole);
    whole->outcome = malloc(lanes * N_OUTCOMES * sizeof *whole->outcome);
    whole->count = malloc(4 * (size_t)sites->size * sizeof *whole->count);
    whole->wanted = malloc(lanes * sizeof *whole->wanted);
    whole->domain = domains ? malloc(n * sizeof *whole->domain) : NULL;
    bool done =
        whole->ranked && whole->leaving && whole->whole && whole->outcome && whole->count && whole->wanted && (whole->domain || !domains);
    bool slices = sites->rank * SCORE_EVERY < whole->lanes; /* every 4th gene is dealt to the first ranks */
    for (int d = 0; d < SCORE_DIRECTIONS && slices; d++) {
        whole->order[d] = malloc(placed * sizeof *whole->order[d]);
        whole->gap[d] = malloc(placed * sizeof *whole->gap[d]);
        done &= whole->order[d] && whole->gap[d];
    }
    return done ? MONGE_OK : error_memory("scores of whole fields", 100.0 * (double)n);
}

/* Own sites of every rank, and where they begin. */
static void spans(const struct partition *sites, int *count, int *from)
{
    for (int r = 0; r < sites->size; r++) {
        from[r] = (int)sites->block_start[sites->rank_block[r]];
        count[r] = (int)sites->block_start[sites->rank_block[r + 1]] - from[r];
    }
}

status whole_score_new(struct whole_score *whole, const struct slide *slide, const struct partition *sites, int lanes, int64_t n_genes,
                       const double *own_domain, const double *marker_domain)
{
    *whole = (struct whole_score){.slide = slide, .sites = sites, .lanes = lanes, .n_genes = n_genes, .marker_domain = marker_domain};
    whole->n_placed = slide->n_sites - slide_count(slide, SITE_OFF);
    status fault = agree(sites->comm, allocate(whole, marker_domain != NULL));
    if (fault) {
        whole_score_free(whole);
        return fault;
    }
    if (marker_domain) {
        spans(sites, whole->count, whole->count + sites->size);
        MPI_Allgatherv(own_domain, (int)sites->n_own, MPI_DOUBLE, whole->domain, whole->count, whole->count + sites->size, MPI_DOUBLE,
                       sites->comm);
    }
    for (int d = 0; d < SCORE_DIRECTIONS && whole->order[d]; d++)
        sort_sites(whole, d);
    return MONGE_OK;
}

void whole_score_free(struct whole_score *whole)
{
    for (int d = 0; d < SCORE_DIRECTIONS; d++) {
        free(whole->order[d]);
        free(whole->gap[d]);
    }
    free(whole->domain);
    free(whole->ranked);
    free(whole->leaving);
    free(whole->whole);
    free(whole->outcome);
    free(whole->count);
    free(whole->wanted);
    *whole = (struct whole_score){0};
}

/* ---- one gene, its field whole ---- */

/* Pairs of one spot inside and one outside the domain, counted twice so that ties stay whole numbers. Most spots hold nothing: they are
 * counted, not sorted. */
static void score_marker(const struct whole_score *whole, double domain, const double *field, double *auc, double *l2fc)
{
    int64_t n[2] = {0, 0}, empty[2] = {0, 0}, n_ranked = 0;
    double sum[2] = {0.0, 0.0};
    for (int64_t site = 0; site < whole->slide->n_sites; site++) {
        if (whole->slide->kind[site] != SITE_TISSUE)
            continue;
        int inside = whole->domain[site] == domain;
        n[inside]++;
        sum[inside] += field[site];
        if (field[site] > 0.0)
            whole->ranked[n_ranked++] = (struct ranked_site){field[site], inside};
        else
            empty[inside]++;
    }
    *auc = *l2fc = NAN;
    if (n[0] == 0 || n[1] == 0)
        return;
    qsort(whole->ranked, (size_t)n_ranked, sizeof *whole->ranked, by_value);
    int64_t won_twice = empty[0] * empty[1], below = empty[0];
    for (int64_t k = 0, next; k < n_ranked; k = next) {
        int64_t equal[2] = {0, 0};
        for (next = k; next < n_ranked && whole->ranked[next].value == whole->ranked[k].value; next++)
            equal[whole->ranked[next].tag]++;
        won_twice += equal[1] * (2 * below + equal[0]);
        below += equal[0];
    }
    *auc = (double)won_twice / (2.0 * (double)n[0] * (double)n[1]);
    *l2fc = log2((sum[1] / (double)n[1] + fold_floor) / (sum[0] / (double)n[0] + fold_floor));
}

static double total_of(const struct slide *slide, const double *field)
{
    double total = 0.0;
    for (int64_t site = 0; site < slide->n_sites; site++)
        total += slide->kind[site] != SITE_OFF ? field[site] : 0.0;
    return total;
}

/* On a line the distance is the area between the two cumulative shares. `field` becomes the difference of the shares. */
static double slice(const struct whole_score *whole, const double *truth, double *field)
{
    double per_truth = 1.0 / total_of(whole->slide, truth), per_field = 1.0 / total_of(whole->slide, field), sum = 0.0;
    if (isinf(per_truth) || isinf(per_field))
        return NAN;
    for (int64_t site = 0; site < whole->slide->n_sites; site++)
        field[site] = field[site] * per_field - truth[site] * per_truth;
    for (int d = 0; d < SCORE_DIRECTIONS; d++) {
        double surplus = 0.0;
        for (int64_t k = 0; k < whole->n_placed; k++) {
            surplus += field[whole->order[d][k]];
            sum += fabs(surplus) * (double)whole->gap[d][k];
        }
    }
    return sum / SCORE_DIRECTIONS;
}

static bool is_sliced(int64_t gene)
{
    return gene % SCORE_EVERY == 0;
}

static bool is_marker(const struct whole_score *whole, int64_t gene)
{
    return whole->marker_domain && whole->marker_domain[gene] >= 0.0;
}

static void score_gene(const struct whole_score *whole, int64_t gene, double *outcome)
{
    int64_t n = whole->slide->n_sites;
    for (int k = 0; k < N_OUTCOMES; k++)
        outcome[k] = NAN;
    for (int f = 0; f < SCORE_FIELDS && is_marker(whole, gene); f++)
        score_marker(whole, whole->marker_domain[gene], whole->whole + f * n, &outcome[AUC + f], &outcome[L2FC + f]);
    for (int f = FIELD_RAW; f < SCORE_FIELDS && is_sliced(gene); f++)
        outcome[SLICED + f - FIELD_RAW] = slice(whole, whole->whole, whole->whole + f * n);
}

/* ---- a batch: lanes are dealt round by round ---- */

/* Genes that are sliced come first, so that few ranks need the sorted sites. */
static int list_wanted(const struct whole_score *whole, int64_t first, int lanes)
{
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int lane = 0; lane < lanes && first + lane < whole->n_genes; lane++)
            if (is_sliced(first + lane) == (pass == 0) && (pass == 0 || is_marker(whole, first + lane)))
                whole->wanted[n++] = lane;
    return n;
}

/* Wanted lanes [round, round + ranks) of a field: the k-th goes to rank k, whole. */
static void deal_lanes(const struct whole_score *whole, int round, int n_wanted, int lanes, const double *field, double *arrived)
{
    const struct partition *sites = whole->sites;
    int *sent = whole->count, *to = sent + sites->size, *received = to + sites->size, *from = received + sites->size;
    int dealt = n_wanted - round < sites->size ? n_wanted - round : sites->size;
    spans(sites, received, from);
    for (int r = 0; r < sites->size; r++) {
        sent[r] = r < dealt ? (int)sites->n_own : 0;
        to[r] = r < dealt ? r * (int)sites->n_own : 0;
        received[r] = sites->rank < dealt ? received[r] : 0;
    }
    for (int k = 0; k < dealt; k++)
        for (int64_t i = 0; i < sites->n_own; i++)
            whole->leaving[k * sites->n_own + i] = field[i * lanes + whole->wanted[round + k]];
    MPI_Alltoallv(whole->leaving, sent, to, MPI_DOUBLE, arrived, received, from, MPI_DOUBLE, sites->comm);
}

void whole_score_genes(const struct whole_score *whole, int64_t first, int lanes, const double *truth, const double *raw,
                       const double *corrected, struct gene_score *score)
{
    const struct partition *sites = whole->sites;
    const double *fields[SCORE_FIELDS] = {truth, raw, corrected};
    int n_wanted = list_wanted(whole, first, lanes);
    memset(whole->outcome, 0, (size_t)lanes * N_OUTCOMES * sizeof *whole->outcome);
    for (int round = 0; round < n_wanted; round += sites->size) {
        for (int f = 0; f < SCORE_FIELDS; f++)
            deal_lanes(whole, round, n_wanted, lanes, fields[f], whole->whole + f * whole->slide->n_sites);
        if (round + sites->rank < n_wanted) {
            int lane = whole->wanted[round + sites->rank];
            score_gene(whole, first + lane, whole->outcome + lane * N_OUTCOMES);
        }
    }
    /* every lane was scored on one rank, elsewhere it is 0: the sum is exact */
    MPI_Allreduce(MPI_IN_PLACE, whole->outcome, lanes * N_OUTCOMES, MPI_DOUBLE, MPI_SUM, sites->comm);
    for (int k = 0; k < n_wanted; k++) {
        const double *outcome = whole->outcome + whole->wanted[k] * N_OUTCOMES;
        struct gene_score *one = &score[whole->wanted[k]];
        one->auc_truth = outcome[AUC + FIELD_TRUTH];
        one->auc_raw = outcome[AUC + FIELD_RAW];
        one->auc = outcome[AUC + FIELD_CORRECTED];
        one->l2fc_truth = outcome[L2FC + FIELD_TRUTH];
        one->l2fc_raw = outcome[L2FC + FIELD_RAW];
        one->l2fc = outcome[L2FC + FIELD_CORRECTED];
        one->sw1_raw = outcome[SLICED];
        one->sw1 = outcome[SLICED + 1];
    }
}
