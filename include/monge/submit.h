/* A job file as a Slurm job (docs/slurm.md): what it needs, the batch script, and the options of `monge submit`. */
#ifndef MONGE_SUBMIT_H
#define MONGE_SUBMIT_H

#include "monge/job.h"
#include "monge/step.h"

enum submit_launcher { LAUNCHER_MPIRUN, LAUNCHER_SRUN };
struct submit_options {
    int64_t nodes, tasks_per_node;
    int64_t array;                                    /* tasks of a job array; 0: none */
    char *time, *memory, *partition, *account, *name; /* NULL: estimated, or not said */
    int64_t warn;                                     /* seconds between Slurm's warning and the end */
    int launcher;                                     /* enum submit_launcher */
    struct option_texts sbatch;                       /* further options of sbatch, as they are */
    bool print;
};

/* What a job takes, on the fullest rank. */
struct submit_needs {
    struct step_cost cost;
    struct section_size largest;
    int n_sections;
};

/* Local. Looks at the heads of all inputs and adds up the steps, for n_ranks ranks in each of n_tasks tasks. The
 * sections of a plain job run one after the other, those of an atlas are dealt to all ranks (atlas.h). */
status submit_estimate(struct submit_needs *needs, const struct job *job, int n_ranks, int n_tasks);

/* Local. Name of the job: --name, or that of the job file without folder and ending (malloc'd). */
char *submit_name(const struct submit_options *options, const char *job_path);

/* Local. The whole batch script (malloc'd). folder: where its log goes; program, job_path: what it runs. MONGE_USAGE if an option cannot
 * stand in a script. */
char *submit_script(const struct submit_options *options, const struct submit_needs *needs, const char *folder, const char *program,
                    const char *job_path);

#endif
