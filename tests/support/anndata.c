#include "support/anndata.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "support/suite.h"

enum { NO_MODULE = 77, NO_PYTHON = 127 };

void check_in_python(const char *path, const char *expressions)
{
    int answer = 0;
    if (suite_rank() == 0) {
        char command[8192];
        int length = snprintf(command, sizeof command, "/usr/bin/python3 tests/io/check_anndata.py %s %s", path, expressions);
        assert_true(length < (int)sizeof command);
        fflush(stdout);
        int ended = system(command);
        answer = WIFEXITED(ended) ? WEXITSTATUS(ended) : 1;
        if (answer == NO_MODULE || answer == NO_PYTHON)
            printf("  skipped: python3-anndata is not installed\n");
    }
    MPI_Bcast(&answer, 1, MPI_INT, 0, MPI_COMM_WORLD);
    assert_true(answer == 0 || answer == NO_MODULE || answer == NO_PYTHON);
}
