#include "support/anndata.h"

#include <stdlib.h>

#include "support/suite.h"

void check_in_python(const char *path, const char *expressions)
{
    int answer = 0;
    if (suite_rank() == 0) {
        char command[8192];
        snprintf(command, sizeof command, "/usr/bin/python3 tests/io/check_anndata.py %s %s", path, expressions);
        answer = system(command);
        answer = answer == -1 ? 127 : answer >> 8;
        if (answer == 2 || answer == 127)
            printf("  skipped: python3-anndata is not installed\n");
    }
    MPI_Bcast(&answer, 1, MPI_INT, 0, MPI_COMM_WORLD);
    assert_true(answer == 0 || answer == 2 || answer == 127);
}
