/* What the two halves of reading a job share: job.c (keys, steps) and job_sections.c (the sections of an atlas). */
#ifndef CLI_JOB_PARTS_H
#define CLI_JOB_PARTS_H

#include <yaml.h>

#include "monge/job.h"

/* The file being read. */
struct reading {
    const char *path;
    yaml_document_t document;
    const struct program *program;
};

status job_refuse(const struct reading *reading, const yaml_node_t *node, const char *message); /* "FILE line N: message" */
yaml_node_t *job_node(struct reading *reading, int index);
const char *job_scalar(const yaml_node_t *node);
bool job_is_null(const yaml_node_t *node);

/* All keys of a mapping must be names, each once. */
status job_check_keys(struct reading *reading, yaml_node_t *mapping);
status job_set_option(struct reading *reading, const struct option_table *table, void *values, const yaml_node_t *key, yaml_node_t *node);
status job_set_step_options(struct reading *reading, struct pipeline_step *step, yaml_node_t *options);

/* Of an atlas. sections: the list in the job, or NULL if there is a manifest. */
status job_check_atlas(struct reading *reading, const struct job *job, const yaml_node_t *root, const yaml_node_t *sections);
status job_read_sections(struct reading *reading, struct job *job, yaml_node_t *sections);
void job_free_sections(struct job *job);

#endif
