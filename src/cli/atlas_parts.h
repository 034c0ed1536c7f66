/* What the files of the atlas share: atlas.c (dealing and running), atlas_survey.c (what there is to do), atlas_table.c (what is printed),
 * atlas_list.c (what is left for others to read),
 * atlas_record.c, atlas_widths.c, verb_status.c. */
#ifndef CLI_ATLAS_PARTS_H
#define CLI_ATLAS_PARTS_H

#include "monge/atlas.h"
#include "monge/text.h"

struct atlas_entry {
    struct section_size size;
    double seconds, bytes;       /* expected on one rank; bytes on `width` ranks */
    int width, least;            /* ranks of the group it wants; ranks whose memory holds it */
    char options[20], input[20]; /* hashes as in a record; input "": it is not there */
    bool other_version;          /* done, by another version of monge */
    bool settled;                /* done, or nothing that this run should try (again) */
    double failed_before;        /* when the failed try began that this run found at its start; 0: none */
};

struct atlas {
    const struct job *job;
    char control[4352];          /* OUTPUT_FOLDER/.monge */
    struct atlas_entry *entries; /* job->n_sections */
    int *order;                  /* longest first */
    char host[128], run[160], task[64];
    int ranks, worlds;  /* of this job; how many such jobs share the work (a Slurm array) */
    double seconds;     /* expected for all */
    double bytes_there; /* memory of one rank */
};

uint64_t atlas_hash(const char *text);

/* Collective over comm. Sizes, hashes, widths, what is done already. The same on all ranks. */
status atlas_survey(struct atlas *atlas, MPI_Comm comm, const struct job *job);
void atlas_free(struct atlas *atlas);

/* Local. Whether the record tells that the section is done: with these options, from this input, and its output is still there. */
bool atlas_is_done(const struct atlas *atlas, int i, const struct atlas_record *record);

/* A table with aligned columns; the last one, which may be long, is not padded. Cells are added row by row. */
struct atlas_table {
    int n_columns, n_cells;
    char **cells;
    bool failed;
};
void atlas_table_add(struct atlas_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void atlas_table_print(struct atlas_table *table); /* also frees it */

/* One section as it stands: its record, or what the lock tells. */
struct atlas_line {
    char *name;
    double estimate; /* seconds on one rank */
    enum atlas_state state;
    bool here;  /* in a summary: of this run; else done before, or somebody else's */
    bool again; /* in a list: waiting, though somebody began it */
    struct atlas_record record;
};

/* What a job that starts leaves in the folder for `monge status`. */
struct atlas_list {
    char *job, *steps; /* its file; "correct, report" */
    int n;
    struct atlas_line *lines;
};
status atlas_list_write(const struct atlas *atlas);

/* Local. Reads the list in `folder`, and for every section its record and whether it is in work. MONGE_NO_INPUT if there is none. On error
 * the list is empty. */
status atlas_list_read(struct atlas_list *list, const char *folder);
void atlas_list_free(struct atlas_list *list);

void atlas_print_summary(const struct atlas_line *lines, int n);

/* "4 h 05 min", "3 min 20 s", "12.3 s" */
void atlas_duration(char *text, size_t size, double seconds);

#endif
