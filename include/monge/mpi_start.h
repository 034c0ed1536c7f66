/* The start of a program that reads and writes files together. */
#ifndef MONGE_MPI_START_H
#define MONGE_MPI_START_H

/* MPI_Init, for a program that opens files by MPI (parallel HDF5). Open MPI (OMPIO, 4.1) gives every open file a shared pointer, which nobody
 * here uses, and guards it by a semaphore of the node that is named after the file without its folder. A job that is killed at the wrong
 * moment leaves that semaphore taken: every later job on the node with a file of the same name waits for ever, and jobs that run side by side
 * take turns. Pointers of the kind `individual` need no semaphore; OMPI_MCA_sharedfp in the environment is respected. */
void mpi_start(int *argc, char ***argv);

#endif
