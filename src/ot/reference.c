/* Reference cells next to each spot, their expression by gene on the rank that owns the gene, and the mixed prior mean. */
#include "monge/reference.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "reference_latent.h"

void reference_free(struct reference *reference)
{
    free(reference->present);
    free(reference->start);
    free(reference->cell);
    free(reference->value);
    free(reference->mean);
    free(reference->neighbour);
    free(reference->depth);
    free(reference->spot_latent);
    free(reference->cell_latent);
    memset(reference, 0, sizeof *reference);
}

/* ---- nearest cells ---- */

enum { CELL_BLOCK = 512 };

/* The k nearest so far, ascending by distance, then by cell. */
struct nearest {
    int n, k;
    double distance[REFERENCE_NEIGHBOURS];
    int32_t cell[REFERENCE_NEIGHBOURS];
};

static void offer(struct nearest *nearest, int32_t cell, double distance)
{
    if (nearest->n == nearest->k && distance >= nearest->distance[nearest->n - 1])
        return; /* cells come in ascending order, so the earlier of equals stays */
    int place = nearest->n < nearest->k ? nearest->n++ : nearest->n - 1;
    for (; place > 0 && nearest->distance[place - 1] > distance; place--) {
        nearest->distance[place] = nearest->distance[place - 1];
        nearest->cell[place] = nearest->cell[place - 1];
    }
    nearest->distance[place] = distance;
    nearest->cell[place] = cell;
}

/* Squared distances of one spot to a block of cells; latent by component: [width][n_cells]. */
static void block_distances(const double *spot, const double *by_component, int64_t n_cells, int width, int64_t first, int64_t count,
                            double *distance)
{
    memset(distance, 0, (size_t)count * sizeof *distance);
    for (int k = 0; k < width; k++) {
        const double *cells = by_component + k * n_cells + first;
        for (int64_t c = 0; c < count; c++)
            distance[c] += (spot[k] - cells[c]) * (spot[k] - cells[c]);
    }
}

static status nearest_cells(const struct reference *reference, const struct section *section, int32_t *own)
{
    int64_t n_cells = reference->n_cells;
    int width = reference->n_components, k = reference->n_neighbours;
    double *by_component = malloc(((size_t)n_cells * (size_t)width + 1) * sizeof *by_component);
    if (!by_component)
        return error_memory("the reference's latent space", 8.0 * (double)n_cells * width);
    for (int64_t c = 0; c < n_cells; c++)
        for (int j = 0; j < width; j++)
            by_component[j * n_cells + c] = reference->cell_latent[c * width + j];
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        struct nearest nearest = {.k = k};
        bool tissue = section->slide.kind[section->sites.first + i] == SITE_TISSUE;
        for (int64_t first = 0; tissue && first < n_cells; first += CELL_BLOCK) {
            double distance[CELL_BLOCK];
            int64_t count = n_cells - first < CELL_BLOCK ? n_cells - first : CELL_BLOCK;
            block_distances(reference->spot_latent + i * width, by_component, n_cells, width, first, count, distance);
            for (int64_t c = 0; c < count; c++)
                offer(&nearest, (int32_t)(first + c), distance[c]);
        }
        for (int j = 0; j < k; j++)
            own[i * k + j] = tissue ? nearest.cell[j] : -1;
    }
    free(by_component);
    return MONGE_OK;
}

/* Own rows of the section's partition (width numbers of `bytes` bytes each) -> rows of the grid's own sites. Collective over comm. */
static status to_grid(const struct partition *from, const struct partition *to, int width, MPI_Datatype type, size_t bytes, const void *own,
                      void *grid_own)
{
    char *all = malloc((size_t)from->n * (size_t)width * bytes + 1);
    int *counts = malloc(2 * (size_t)from->size * sizeof *counts);
    status s = all && counts ? MONGE_OK : error_memory("fields of the slide", (double)from->n * width * (double)bytes);
    if (s == MONGE_OK && from->n * width > INT_MAX)
        s = error_set(MONGE_BAD_DATA, "the slide has too many spots (%lld) for a reference", (long long)from->n);
    s = agree(from->comm, s);
    if (s == MONGE_OK) {
        for (int r = 0; r < from->size; r++) {
            int64_t first = from->block_start[from->rank_block[r]], end = from->block_start[from->rank_block[r + 1]];
            counts[r] = (int)((end - first) * width);
            counts[from->size + r] = (int)(first * width);
        }
        MPI_Allgatherv(own, counts[from->rank], type, all, counts, counts + from->size, type, from->comm);
        memcpy(grid_own, all + (size_t)to->first * (size_t)width * bytes, (size_t)to->n_own * (size_t)width * bytes);
    }
    free(all);
    free(counts);
    return s;
}

static status find_neighbours(struct reference *reference, const struct section *section, const struct partition *grid_sites)
{
    size_t k = (size_t)reference->n_neighbours, n = (size_t)section->sites.n_own, m = (size_t)grid_sites->n_own;
    int32_t *own = malloc((n * k + 1) * sizeof *own);
    double *depth = calloc(n + 1, sizeof *depth);
    reference->neighbour = malloc((m * k + 1) * sizeof *reference->neighbour);
    reference->depth = malloc((m + 1) * sizeof *reference->depth);
    status s = own && depth && reference->neighbour && reference->depth
                   ? nearest_cells(reference, section, own)
                   : error_memory("neighbours in the reference", 4.0 * (double)(n * k));
    s = agree(section->comm, s);
    if (s == MONGE_OK) {
        const struct sparse_rows *counts = &section->counts;
        for (int64_t i = 0; i < counts->n_rows; i++)
            for (int64_t e = counts->start[i]; e < counts->start[i + 1]; e++)
                depth[i] += (double)counts->value[e];
        s = to_grid(&section->sites, grid_sites, (int)k, MPI_INT32_T, sizeof(int32_t), own, reference->neighbour);
    }
    if (s == MONGE_OK)
        s = to_grid(&section->sites, grid_sites, 1, MPI_DOUBLE, sizeof(double), depth, reference->depth);
    free(own);
    free(depth);
    return s;
}

/* ---- the reference by gene ---- */

struct triple {
    int32_t gene, cell;
    float value;
};
struct triples {
    int64_t n, capacity;
    struct triple *entry;
};

static status triples_add(struct triples *list, struct triple entry)
{
    if (list->n == list->capacity) {
        int64_t capacity = list->capacity > 0 ? 2 * list->capacity : 4096;
        struct triple *larger = realloc(list->entry, (size_t)capacity * sizeof *larger);
        if (!larger)
            return error_memory("the reference by gene", 12.0 * (double)capacity);
        list->entry = larger;
        list->capacity = capacity;
    }
    list->entry[list->n++] = entry;
    return MONGE_OK;
}

/* Own gene of the columns for each gene of the reference, or -1. */
static int32_t *own_gene_of_cells(const struct section *cells, const struct shared_genes *shared, const struct gene_counts *columns)
{
    int32_t *of_shared = malloc(((size_t)shared->n + 1) * sizeof *of_shared);
    int32_t *own = malloc(((size_t)cells->n_genes + 1) * sizeof *own);
    if (of_shared && own) {
        memset(of_shared, 0xff, ((size_t)shared->n + 1) * sizeof *of_shared);
        for (int64_t g = 0; g < columns->n_genes; g++)
            if (shared->of_section[columns->gene[g]] >= 0)
                of_shared[shared->of_section[columns->gene[g]]] = (int32_t)g;
        for (int64_t g = 0; g < cells->n_genes; g++)
            own[g] = shared->of_cells[g] >= 0 ? of_shared[shared->of_cells[g]] : -1;
    } else {
        free(own);
        own = NULL;
    }
    free(of_shared);
    return own;
}

/* One rank's rows on all ranks. `mine`: this rank is the root. */
static status broadcast_rows(const struct section *cells, int root, bool mine, struct sparse_rows *rows)
{
    int64_t sizes[2] = {cells->counts.n_rows, cells->counts.start[cells->counts.n_rows]};
    MPI_Bcast(sizes, 2, MPI_INT64_T, root, cells->comm);
    *rows = (struct sparse_rows){.n_rows = sizes[0]};
    if (mine) {
        *rows = cells->counts;
    } else {
        rows->start = malloc(((size_t)sizes[0] + 1) * sizeof *rows->start);
        rows->column = malloc(((size_t)sizes[1] + 1) * sizeof *rows->column);
        rows->value = malloc(((size_t)sizes[1] + 1) * sizeof *rows->value);
    }
    status s = rows->start && rows->column && rows->value ? MONGE_OK : error_memory("a part of the reference", 8.0 * (double)sizes[1]);
    if (s == MONGE_OK && (sizes[1] > INT_MAX || sizes[0] >= INT_MAX))
        s = error_set(MONGE_INTERNAL, "more than 2^31 counts of the reference on one rank; use more ranks");
    s = agree(cells->comm, s);
    if (s == MONGE_OK) {
        MPI_Bcast(rows->start, (int)sizes[0] + 1, MPI_INT64_T, root, cells->comm);
        MPI_Bcast(rows->column, (int)sizes[1], MPI_INT32_T, root, cells->comm);
        MPI_Bcast(rows->value, (int)sizes[1], MPI_FLOAT, root, cells->comm);
    }
    return s;
}

static status pick_own_genes(const struct sparse_rows *rows, const int32_t *own_gene, int64_t first_cell, struct triples *list)
{
    for (int64_t i = 0; i < rows->n_rows; i++) {
        double total = 0.0;
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
            total += (double)rows->value[e];
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++) {
            int32_t gene = own_gene[rows->column[e]];
            struct triple entry = {gene, (int32_t)(first_cell + i), (float)(1e4 * (double)rows->value[e] / total)};
            status s = gene >= 0 ? triples_add(list, entry) : MONGE_OK;
            if (s != MONGE_OK)
                return s;
        }
    }
    return MONGE_OK;
}

/* Counting sort by gene; cells stay ascending. */
static status sort_by_gene(struct reference *reference, const struct triples *list, int64_t n_genes)
{
    reference->start = calloc((size_t)n_genes + 2, sizeof *reference->start);
    reference->cell = malloc(((size_t)list->n + 1) * sizeof *reference->cell);
    reference->value = malloc(((size_t)list->n + 1) * sizeof *reference->value);
    reference->mean = calloc((size_t)n_genes + 1, sizeof *reference->mean);
    reference->present = calloc((size_t)n_genes + 1, sizeof *reference->present);
    if (!reference->start || !reference->cell || !reference->value || !reference->mean || !reference->present)
        return error_memory("the reference by gene", 8.0 * (double)list->n);
    int64_t *next = reference->start + 1; /* next[g] ends as the end of gene g */
    for (int64_t e = 0; e < list->n; e++)
        next[list->entry[e].gene + 1]++;
    for (int64_t g = 0; g < n_genes; g++)
        next[g + 1] += next[g];
    for (int64_t e = 0; e < list->n; e++) {
        int64_t at = next[list->entry[e].gene]++;
        reference->cell[at] = list->entry[e].cell;
        reference->value[at] = list->entry[e].value;
        reference->mean[list->entry[e].gene] += (double)list->entry[e].value / (double)reference->n_cells;
    }
    for (int64_t g = 0; g < n_genes; g++)
        reference->present[g] = reference->mean[g] > 0.0;
    return MONGE_OK;
}

static status expression_by_gene(struct reference *reference, const struct section *cells, const struct shared_genes *shared,
                                 const struct gene_counts *columns)
{
    int rank, size;
    MPI_Comm_rank(cells->comm, &rank);
    MPI_Comm_size(cells->comm, &size);
    int32_t *own_gene = own_gene_of_cells(cells, shared, columns);
    struct triples list = {0};
    int64_t first_cell = 0;
    status s = agree(cells->comm, own_gene ? MONGE_OK : error_memory("shared genes", 4.0 * (double)cells->n_genes));
    for (int r = 0; r < size && s == MONGE_OK; r++) {
        struct sparse_rows rows;
        s = broadcast_rows(cells, r, r == rank, &rows);
        if (s == MONGE_OK)
            s = pick_own_genes(&rows, own_gene, first_cell, &list);
        first_cell += rows.n_rows;
        if (r != rank)
            sparse_rows_free(&rows);
        s = agree(cells->comm, s);
    }
    if (s == MONGE_OK)
        s = agree(cells->comm, sort_by_gene(reference, &list, columns->n_genes));
    free(list.entry);
    free(own_gene);
    return s;
}

status reference_new(struct reference *reference, const struct section *section, const struct section *cells,
                     const struct gene_counts *columns)
{
    memset(reference, 0, sizeof *reference);
    reference->n_cells = cells->counts.n_rows;
    MPI_Allreduce(MPI_IN_PLACE, &reference->n_cells, 1, MPI_INT64_T, MPI_SUM, cells->comm);
    reference->n_neighbours = reference->n_cells < REFERENCE_NEIGHBOURS ? (int)reference->n_cells : REFERENCE_NEIGHBOURS;
    struct shared_genes shared;
    status s = agree(section->comm, shared_genes_new(&shared, section, cells));
    if (s != MONGE_OK)
        return s;
    reference->n_shared = shared.n;
    s = reference_embed(reference, section, cells, &shared);
    if (s == MONGE_OK)
        s = find_neighbours(reference, section, &columns->sites);
    if (s == MONGE_OK)
        s = expression_by_gene(reference, cells, &shared, columns);
    shared_genes_free(&shared);
    if (s != MONGE_OK)
        reference_free(reference);
    return s;
}

/* ---- prior mean ---- */

static double expression_in(const struct reference *reference, int64_t gene, int32_t cell)
{
    int64_t low = reference->start[gene], high = reference->start[gene + 1];
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (reference->cell[middle] < cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low < reference->start[gene + 1] && reference->cell[low] == cell ? (double)reference->value[low] : 0.0;
}

void reference_impute(const struct reference *reference, const struct gene_counts *columns, int64_t gene, int lanes, int lane,
                      double *field)
{
    int k = reference->n_neighbours;
    for (int64_t i = 0; i < columns->sites.n_own; i++) {
        const int32_t *cells = reference->neighbour + i * k;
        double sum = reference->mean[gene];
        for (int j = 0; j < k && cells[j] >= 0; j++)
            sum += expression_in(reference, gene, cells[j]);
        field[i * lanes + lane] = k > 0 && cells[0] >= 0 ? reference->depth[i] * sum / (k + 1) : 0.0;
    }
}

status reference_mix(const struct reference *reference, const struct gene_counts *columns, int64_t batch, double omega, int lanes,
                     double *mu)
{
    int64_t first = columns->batch_start[batch], n = columns->batch_start[batch + 1] - first, n_sites = columns->sites.n_own;
    if (omega <= 0.0)
        return MONGE_OK;
    double *imputed = calloc((size_t)(n_sites * lanes) + 3 * (size_t)lanes + 1, sizeof *imputed);
    status s = agree(columns->sites.comm, imputed ? MONGE_OK : error_memory("imputed expression", 8.0 * (double)(n_sites * lanes)));
    if (s != MONGE_OK) {
        free(imputed);
        return s;
    }
    double *mass = imputed + n_sites * lanes, *mixed = mass + lanes;
    for (int64_t g = 0; g < n; g++)
        if (reference->present[first + g])
            reference_impute(reference, columns, first + g, lanes, (int)g, imputed);
    for (int64_t k = 0; k < n_sites * lanes; k++) {
        int64_t lane = k % lanes;
        bool present = lane < n && reference->present[first + lane];
        imputed[k] = present && mu[k] > 0.0 && imputed[k] > 0.0 ? pow(mu[k], 1.0 - omega) * pow(imputed[k], omega) : 0.0;
    }
    s = exact_field_sum_f64(&columns->sites, lanes, imputed, NULL, mixed);
    for (int64_t g = 0; g < n; g++)
        mass[g] = columns->total[first + g];
    for (int64_t k = 0; k < n_sites * lanes && s == MONGE_OK; k++) {
        int64_t lane = k % lanes;
        if (lane < n && reference->present[first + lane] && mixed[lane] > 0.0 && mu[k] > 0.0) /* the floor keeps every source alive */
            mu[k] = fmax(imputed[k] * mass[lane] / mixed[lane], 1e-6);
    }
    free(imputed);
    return s;
}

status reference_choose_omega(reference_score score, void *context, double *omega, double *scores)
{
    static const double candidates[] = {0.0, 0.25, 0.5};
    double best = INFINITY;
    *omega = 0.0;
    for (int k = 0; k < 3; k++) {
        double nll = INFINITY;
        status s = score(candidates[k], context, &nll);
        if (s != MONGE_OK)
            return s;
        if (scores)
            scores[k] = nll;
        if (nll < best) {
            best = nll;
            *omega = candidates[k];
        }
    }
    return MONGE_OK;
}

/* ---- clusters ---- */

static double squared_distance(const double *a, const double *b, int width)
{
    double sum = 0.0;
    for (int k = 0; k < width; k++)
        sum += (a[k] - b[k]) * (a[k] - b[k]);
    return sum;
}

static int32_t nearest_centre(const double *at, const double *centre, int n_centres, int width)
{
    int32_t best = 0;
    double least = INFINITY;
    for (int c = 0; c < n_centres; c++) {
        double d = squared_distance(at, centre + c * width, width);
        if (d < least) {
            least = d;
            best = c;
        }
    }
    return best;
}

/* Each new centre is the cell farthest from those so far; the first is the one farthest from the origin. */
static void farthest_first(const struct reference *reference, int n_clusters, double *centre, double *gap)
{
    int width = reference->n_components;
    for (int64_t i = 0; i < reference->n_cells; i++)
        gap[i] = INFINITY;
    for (int c = 0; c < n_clusters; c++) {
        int64_t farthest = 0;
        double largest = -1.0;
        for (int64_t i = 0; i < reference->n_cells; i++) {
            const double *at = reference->cell_latent + i * width;
            double d = 0.0;
            if (c == 0)
                for (int k = 0; k < width; k++)
                    d += at[k] * at[k];
            else
                gap[i] = d = fmin(gap[i], squared_distance(at, centre + (c - 1) * width, width));
            if (d > largest) {
                largest = d;
                farthest = i;
            }
        }
        memcpy(centre + c * width, reference->cell_latent + farthest * width, (size_t)width * sizeof *centre);
    }
}

/* One round of Lloyd; an empty cluster keeps its centre. Returns whether a label changed. */
static bool lloyd_round(const struct reference *reference, int n_clusters, double *centre, double *sum, int32_t *label)
{
    int width = reference->n_components;
    bool changed = false;
    memset(sum, 0, (size_t)n_clusters * (size_t)(width + 1) * sizeof *sum);
    for (int64_t i = 0; i < reference->n_cells; i++) {
        const double *at = reference->cell_latent + i * width;
        int32_t c = nearest_centre(at, centre, n_clusters, width);
        changed |= c != label[i];
        label[i] = c;
        for (int k = 0; k <= width; k++)
            sum[c * (width + 1) + k] += k < width ? at[k] : 1.0;
    }
    for (int c = 0; c < n_clusters; c++)
        for (int k = 0; k < width && sum[c * (width + 1) + width] > 0.0; k++)
            centre[c * width + k] = sum[c * (width + 1) + k] / sum[c * (width + 1) + width];
    return changed;
}

status reference_clusters(const struct reference *reference, const struct section *section, int n_clusters, int32_t *cell_label,
                          int32_t *spot_label)
{
    size_t width = (size_t)reference->n_components, k = (size_t)n_clusters;
    double *centre = malloc((2 * k * (width + 1) + (size_t)reference->n_cells + 1) * sizeof *centre);
    if (!centre)
        return error_memory("clusters of the reference", 8.0 * (double)(k * width));
    double *sum = centre + k * width, *gap = sum + k * (width + 1);
    farthest_first(reference, n_clusters, centre, gap);
    for (int64_t i = 0; i < reference->n_cells; i++)
        cell_label[i] = -1;
    for (int round = 0; round < 50; round++)
        if (!lloyd_round(reference, n_clusters, centre, sum, cell_label))
            break;
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        bool tissue = section->slide.kind[section->sites.first + i] == SITE_TISSUE;
        spot_label[i] = tissue ? nearest_centre(reference->spot_latent + (size_t)i * width, centre, n_clusters, (int)width) : -1;
    }
    free(centre);
    return MONGE_OK;
}
