/* The Section: a distributed AnnData. Every step takes a Section and adds results to it; steps never talk to files.
 *
 * Rows (spots) are held in slide order by blocks over all ranks of comm; names of genes and small results are replicated. */
#ifndef MONGE_SECTION_H
#define MONGE_SECTION_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"
#include "monge/partition.h"
#include "monge/slide.h"

/* Sparse rows (CSR); columns ascending and unique within a row. */
struct sparse_rows {
    int64_t n_rows;
    int64_t *start;  /* n_rows + 1 */
    int32_t *column; /* start[n_rows] */
    float *value;    /* start[n_rows]; counts are integers below 2^24 */
};
void sparse_rows_free(struct sparse_rows *rows);

/* A grey or RGB image lying under the slide (replicated). */
struct slide_image {
    int32_t height, width, channels; /* 0 x 0: none */
    float *pixel;                    /* height x width x channels, in [0, 1] */
    double spot_to_pixel;            /* image pixel = spatial coordinate * spot_to_pixel */
};

/* A result to be written. `path` names its place in the AnnData file: "layers/corrected", "obs/capture_factor",
 * "var/total_error", "obsm/X_pca", "varm/kernel_weights", "uns/monge/correct/beta". */
enum value_type { VALUE_REAL, VALUE_INTEGER, VALUE_BOOL, VALUE_TEXT, VALUE_CATEGORY, VALUE_SINGLE /* obsm: written as float32 */ };
struct result {
    char *path;
    enum value_type type;
    int n_dims;                  /* 0 scalar, 1, 2 */
    int64_t dims[2];             /* obs/obsm: dims[0] = own sites on this rank; var/varm: n_genes */
    double *number;              /* VALUE_REAL / INTEGER / BOOL, row-major; of a CATEGORY its codes, -1: missing; NULL for text */
    char **text;                 /* VALUE_TEXT; of a CATEGORY its names, n_categories */
    int64_t n_categories;        /* VALUE_CATEGORY (obs) */
    struct sparse_rows sparse;   /* layers: own sites x n_genes; obsp: own sites x n_spots */
    bool integer;                /* layers: write as int32 */
    int64_t *row_start, *column; /* uns: a sparse matrix of dims[0] x dims[1] reals (CSR, replicated) whose values are `number` */
};

/* One section of a stack (section_read_stack): several sections held as one, its sites one part after the other. Positions in the slide are
 * those of the input, from the part's left and upper end on, in units of its spacing; the slide has no list of neighbours (slide_neighbours
 * must not be called). */
struct section_part {
    char *name;                  /* unique in the stack: the file's name without its ending, the folder above for `outs` */
    char *source;                /* path that was read */
    int64_t first_spot, n_spots; /* rows of the input: part 0's, then part 1's, ... (of one file of a stack: its first row) */
    int64_t first_site, n_sites; /* only places with a spot are sites */
    double spacing;              /* median nearest-neighbour distance, in units of obsm/spatial */
    enum lattice lattice;        /* what its spots stand on; the slide of a stack is LATTICE_NONE */
};

struct section {
    MPI_Comm comm;            /* not owned */
    char *source;             /* the path that was read, for messages and provenance; "simulated" or NULL: made in memory */
    bool h5ad;                /* source is one .h5ad: what it holds besides is carried over to the output */
    char *counts_name;        /* "X", "layers/raw", "raw/X", "outs/raw_feature_bc_matrix.h5" */
    int64_t n_spots, n_genes; /* rows and columns of the input */
    struct slide slide;
    struct partition sites;         /* over comm */
    struct sparse_rows counts;      /* own sites (rows without a spot are empty) x genes */
    struct sparse_rows truth;       /* of a simulated section (layers/truth): likewise; n_rows 0: unknown */
    double truth_scale;             /* share of the true counts that was captured on average */
    double *domain, *marker_domain; /* likewise: of own sites (-1: none) and of genes (-1: no marker); both or neither */
    char **gene_name;               /* n_genes: var index */
    char **gene_id;                 /* n_genes or NULL */
    char **spot_name; /* section_file_rows of this rank, in file order: outs/ input; NULL: the input file has them, or none are given */
    double *spatial_x, *spatial_y; /* n_sites, coordinates as in the input (obsm/spatial), replicated; NULL if absent */
    struct slide_image image;
    int n_parts;
    struct section_part *parts; /* a stack of several sections, in the order given; n_parts 0: a single section */
    struct result *results;
    int n_results;
    const char **outdated; /* n_outdated paths of the input that the output does not carry over (section_outdate) */
    int n_outdated;
    struct checkpoint *checkpoint; /* where steps save their progress (checkpoint.h); NULL: nowhere. Not owned */
};

void section_free(struct section *section);

/* How large a section is: what memory and time are estimated from before any count is read. */
struct section_size {
    int64_t n_spots, n_genes;
    int64_t n_sites;   /* places on the slide (slide.h) */
    int64_t n_entries; /* counts above zero; of a dense matrix in a file all of its entries */
};

/* Collective over section->comm; the same on all ranks. */
struct section_size section_size(const struct section *section);

/* This rank's rows of the input file, [first, end): equal shares in rank order. Needs comm and n_spots only. */
void section_file_rows(const struct section *section, int64_t *first, int64_t *end);

/* The output will not carry these paths over from the input (a whole group, or one object), unless they are results. The last path is
 * followed by NULL; paths must outlive the section. Every rank alike; only memory can fail. */
status section_outdate(struct section *section, const char *const *paths);

/* Adding results: the section takes copies, except of sparse rows, which it takes over. A result of the same path is replaced.
 * Not collective, but every rank must add the same results in the same order. uns paths lie below uns ("monge/correct/beta"; a
 * leading "uns/" is accepted). Values that are missing are NAN. Only memory can fail; a name holds no "/". */
status section_add_layer(struct section *section, const char *name, struct sparse_rows *rows, bool integer);
status section_add_obs(struct section *section, const char *name, enum value_type type, const double *own);
/* A categorical column: codes are indices into the categories; -1 or NAN: missing. A code that no category has is MONGE_INTERNAL. */
status section_add_obs_category(struct section *section, const char *name, int n_categories, const char *const *categories,
                                const double *own_codes);
status section_add_obsm(struct section *section, const char *name, int n_columns, const double *own);
status section_add_obsm_single(struct section *section, const char *name, int n_columns, const double *own); /* written as float32 */
/* obsp/NAME, spots x spots: rows of own sites, columns are rows of the input (slide.spot). Takes the rows over. Zeros are entries too. */
status section_add_obsp(struct section *section, const char *name, struct sparse_rows *rows);
status section_add_var(struct section *section, const char *name, enum value_type type, const double *all);
status section_add_varm(struct section *section, const char *name, int n_columns, const double *all);
status section_add_uns_real(struct section *section, const char *path, double value);
status section_add_uns_integer(struct section *section, const char *path, int64_t value);
status section_add_uns_bool(struct section *section, const char *path, bool value);
status section_add_uns_text(struct section *section, const char *path, const char *value);
status section_add_uns_array(struct section *section, const char *path, int n_dims, const int64_t *dims, const double *values);
status section_add_uns_texts(struct section *section, const char *path, int n, const char *const *values);
/* A sparse matrix of reals, the same on all ranks: row_start [n_rows + 1], column and value [row_start[n_rows]]. */
status section_add_uns_sparse(struct section *section, const char *path, int64_t n_rows, int64_t n_cols, const int64_t *row_start,
                              const int64_t *column, const double *value);
const struct result *section_result(const struct section *section, const char *path); /* NULL if absent */

#endif
