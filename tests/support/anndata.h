/* What Python's anndata sees in a file that monge wrote. */
#ifndef TESTS_ANNDATA_H
#define TESTS_ANNDATA_H

/* expressions of Python over `a`, each in double quotes, separated by spaces; all must be true. Collective: rank 0 runs it, all ranks get
 * the answer. Says `skipped` where anndata is not installed. */
void check_in_python(const char *path, const char *expressions);

#endif
