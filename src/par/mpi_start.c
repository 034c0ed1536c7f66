#include "monge/mpi_start.h"

#include <mpi.h>
#include <stdlib.h>

void mpi_start(int *argc, char ***argv)
{
    setenv("OMPI_MCA_io", "^ompio", 0); /* read by MPI_Init; other MPIs ignore it */
    MPI_Init(argc, argv);
}
