/* Linked into sanitized builds only: leaks are looked for while MPI stands, and what MPI itself takes on starting does not count. Some of
 * its plugins are unloaded at once, the others by MPI_Finalize, and what they hold can be told neither from our leaks nor by name.
 * MPI's profiling interface makes both calls ours. */
#include <mpi.h>
#include <sanitizer/lsan_interface.h>

int MPI_Init(int *argc, char ***argv)
{
    __lsan_disable();
    int code = PMPI_Init(argc, argv);
    __lsan_enable();
    return code;
}

int MPI_Finalize(void)
{
    __lsan_do_leak_check(); /* ends the process if there are any; the check at exit is off from now on */
    return PMPI_Finalize();
}
