/* The start of a program that reads and writes files together. */
#ifndef MONGE_MPI_START_H
#define MONGE_MPI_START_H

/* MPI_Init, for a program that opens files by MPI (parallel HDF5): with ROMIO, not with the other of Open MPI's two implementations, OMPIO. That
 * one (4.1) gives every open file a shared pointer, which nobody here uses, and guards it by a semaphore of the node that is named after the
 * file without its folder. A job that is killed at the wrong moment leaves the semaphore taken: every later job on the node with a file of the
 * same name waits for ever, and jobs that run side by side take turns. OMPI_MCA_io in the environment is respected. */
void mpi_start(int *argc, char ***argv);

#endif
