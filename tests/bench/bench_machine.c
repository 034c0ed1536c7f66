/* The measured rates of one core of this machine, as table rows: name value unit. */
#include <mpi.h>

#include "support/machine.h"

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct machine machine = machine_measure();
    machine_print(&machine);
    MPI_Finalize();
    return machine.triad > 0.0 && machine.sgemm > 0.0 && machine.dgemm > 0.0 ? 0 : 1;
}
