/* Private to io/: what a reader found, in file order, on its way to a Section. */
#ifndef IO_INPUT_H
#define IO_INPUT_H

#include "matrix.h"
#include "monge/section_io.h"

/* The head is filled by a reader on rank 0 and then shared; all arrays are malloc'd. */
struct input {
    char source[4096];     /* the path that the user gave */
    char file[4096];       /* the HDF5 file that holds the counts */
    bool h5ad;             /* it is an .h5ad */
    char counts_name[600]; /* what the counts are called in messages and provenance */
    int64_t n_spots, n_genes;
    uint8_t *in_tissue;             /* n_spots or NULL */
    int32_t *array_row, *array_col; /* n_spots or NULL, both or neither */
    double *x, *y;                  /* n_spots or NULL: obsm/spatial */
    bool may_coincide;              /* they may be equal */
    char **gene_name, **gene_id;    /* n_genes; gene_id may be NULL */
    char **spot_name;               /* n_spots, where the output has to write them; else NULL */
    struct slide_image image;
    double pitch_um;                /* NAN: 100 on a hexagonal lattice, else unknown */
    struct matrix matrix;           /* its rows are the first rows of the input; further ones (spots without a barcode) are empty */
    int32_t *column_map;            /* matrix.n_cols or NULL */
    bool text;                      /* a table of text (.csv): */
    struct sparse_rows parsed;      /* its rows, all of them on rank 0 */
    struct matrix truth;            /* layers/truth of a simulated section; n_rows 0: none */
    double truth_scale;             /* its mean capture efficiency */
    double *domain, *marker_domain; /* n_spots, n_genes: its domains and their marker genes; NULL: none */
    int n_parts;                    /* sections that the file holds, if a stack was written to it; 0, 1: a single one */
    char **part_name;               /* n_parts */
    int32_t *part;                  /* n_spots: the section of each */
    char library[512];              /* key of uns/spatial; "" if none */
    double scale_factor[4];         /* SCALE_FACTORS of the library, NAN if absent */
};

enum { SPOT_DIAMETER, FIDUCIAL_DIAMETER, HIRES_SCALE, LOWRES_SCALE, N_SCALE_FACTORS };
extern const char *const SCALE_FACTOR_NAMES[N_SCALE_FACTORS];

void input_start(struct input *input, const char *path);
void input_free(struct input *input);
struct spot_table input_spots(const struct input *input); /* borrowed */

/* Collective over comm: rank 0's head goes to all ranks. */
status input_share(struct input *input, MPI_Comm comm);

/* Collective over comm. counts: rows of the input, section_file_rows of each rank; truth: likewise or
 * n_rows 0; all are emptied. */
status section_from_input(struct section *section, MPI_Comm comm, struct input *input, struct sparse_rows *counts,
                          struct sparse_rows *truth, enum holes holes);

/* Local. The whole head of the input, by what its source is. */
status input_read_head(struct input *input, const struct read_options *options);

/* Collective over comm. Rows [first, end) of the input, each rank its own range, the ranges in rank order; rows beyond the matrix are
 * empty. The parsed rows of a table are left as they are. */
status input_read_rows(const struct input *input, const struct matrix *matrix, MPI_Comm comm, int64_t first, int64_t end,
                       struct sparse_rows *counts);

/* Readers of the head, called on rank 0. `file` is open. */
status h5ad_read_head(struct input *input, hid_t file, const struct read_options *options);
status tenx_read_head(struct input *input, hid_t file, const struct read_options *options);

/* Tables of text, NAME.csv or NAME.csv.gz, with NAME_coor.csv beside them. */
bool csv_recognised(const char *path);
void csv_positions_path(const char *path, char *positions, size_t size);
status csv_read_head(struct input *input, const struct read_options *options);

/* The unique names of obs or var ("var", "raw/var"). Local. */
status h5ad_read_names(hid_t file, const char *file_path, const char *group, int64_t *n, char ***names);

/* A 10x feature-barcode matrix rather than AnnData. */
bool tenx_recognised(hid_t file);

/* input->file from input->source: a folder stands for the raw matrix inside, or inside its outs/. */
status input_find_file(struct input *input);

/* An image file (PNG) as pixels in [0, 1]. */
status image_read_png(struct slide_image *image, const char *path);

/* Takes a matrix of two or more columns, row-major, apart into its first two (malloc'd). */
status split_positions(const double *values, int64_t n, int64_t n_columns, double **x, double **y);

#endif
