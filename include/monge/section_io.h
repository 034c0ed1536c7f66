/* Reading and writing Sections: .h5ad (AnnData), 10x HDF5 with spatial/ (a Space Ranger outs/ folder), tables of text (.csv).
 *
 * Layouts: AnnData file-format description (encodings of 0.7 to 0.10 read, those of 0.8 written); 10x Genomics feature-barcode
 * matrix. All functions are collective over comm; on error all ranks return the same code and message. */
#ifndef MONGE_SECTION_IO_H
#define MONGE_SECTION_IO_H

#include "monge/section.h"

struct read_options {
    const char *layer; /* NULL: X; "raw": raw/X; otherwise layers/<layer> */
    enum holes holes;
    bool need_spatial; /* refuse an input without positions or, unless all_tissue, without obs/in_tissue */
    bool all_tissue;   /* where obs/in_tissue is missing all spots are in tissue; spots may stand at one place */
    bool no_counts;    /* leave the counts out (all rows empty), whatever they are */
};

/* path: .h5ad file, outs/ folder, 10x .h5 with spatial/ beside it, or NAME.csv (spots x genes, with header and spot names) with NAME_coor.csv
 * (x,y, without header) beside it. A file to which a stack was
 * written (uns/monge/stack and obs/section) is read as that stack. Refuses, naming file, dataset and row or entry: not HDF5,
 * truncated, wrong encoding-type, indptr/indices out of order or range, negative, fractional or NaN counts, duplicate
 * names, missing or wrong-typed in_tissue or positions. */
status section_read(struct section *section, MPI_Comm comm, const char *path, const struct read_options *options);

/* Several sections as one (a stack): section->parts, the genes that all of them have (by name; by gene_id where no name is common), the
 * spots of part 0, then those of part 1, ... Only places with a spot are sites, part by part, each part in its own slide order and its own
 * blocks. Columns of obs that any part has become results "obs/NAME" (missing where a part lacks it; text becomes a categorical), to which obs/section (the part's name)
 * and in_tissue are added; where a part has an image, obs/image_red, image_green and image_blue are the mean colours under its spots; other obsm and layers of the inputs are not carried. Errors, besides those of section_read: no common genes,
 * a part without positions, with one spot, or with two spots in one place. */
status section_read_stack(struct section *section, MPI_Comm comm, int n, const char *const *paths, const struct read_options *options);

/* Local (one rank; no parallel I/O). The size of the section at `path`, from names, positions and the length of the counts; the counts
 * themselves are not read. Errors as those of section_read that concern them. */
status section_size_read(struct section_size *size, const char *path, const struct read_options *options);

/* Local. What a section is called after its path (malloc'd): the last name without .h5ad, .h5, .csv or .gz; the folder above instead of
 * `outs` and of Space Ranger's matrix in it. "data/a.h5ad": "a", "sample1/outs/": "sample1". */
char *section_name(const char *path);

/* Local. The files that a section's content depends on, each with size and time of change, as text (malloc'd): the same text, the
 * same section. NULL with MONGE_NO_INPUT if there is none. */
char *section_identity(const char *path);

/* Writes the input file's content, untouched, plus all results, in the input's row order, to a temporary name in the same
 * folder, and renames it to path when complete; removes it on error. For outs/ input the whole AnnData is written. */
status section_write(struct section *section, const char *path);

/* Bytes read or written by the last call on all ranks, and its seconds. */
void section_io_rate(double *bytes, double *seconds);

#endif
