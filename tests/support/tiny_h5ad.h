/* A small AnnData file made with plain HDF5, to be bent by tests: 6 x 5 spots on a square lattice, 4 genes, counts (row * 7 + gene
 * * 3) % 5. Only rank 0 touches the file; the functions below do nothing on other ranks. */
#ifndef TESTS_TINY_H5AD_H
#define TESTS_TINY_H5AD_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

enum { TINY_ROWS = 6, TINY_COLS = 5, TINY_SPOTS = 30, TINY_GENES = 4 };
double tiny_count(int64_t spot, int64_t gene);
bool tiny_tissue(int64_t spot);

/* Makes the valid file (CSR float32 X, in_tissue, array_row, array_col, obsm/spatial) and returns it open on rank 0, else -1. */
hid_t tiny_h5ad(const char *path);

/* Opens an existing file for changes on rank 0, else -1. */
hid_t tiny_open(const char *path);

/* Closes (rank 0) and waits for all ranks. */
void tiny_close(hid_t file);

/* Replace an object or make a new one; groups on the way are made. */
void tiny_numbers(hid_t file, const char *path, hid_t type, int n_dims, int64_t rows, int64_t cols, const double *values);
void tiny_texts(hid_t file, const char *path, int64_t n, const char *const *texts, bool fixed_length);
void tiny_text_attribute(hid_t file, const char *object, const char *name, const char *value);
void tiny_remove(hid_t file, const char *path);

/* The matrix at `path` as CSR ("csr_matrix"), CSC ("csc_matrix") or dense ("array"), replacing what is there. */
void tiny_matrix(hid_t file, const char *path, const char *encoding, hid_t value_type, hid_t index_type);

/* Replaces one element of a 1-D number dataset. */
void tiny_poke(hid_t file, const char *path, int64_t at, double value);

#endif
