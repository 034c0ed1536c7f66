/* `monge score IN --labels COLUMN`: how good labels of spots are. */
#include "monge/score.h"

#include "monge/agree.h"
#include "monge/section_io.h"
#include "monge/verb.h"

/* Collective. The tables on standard output, from rank 0. */
static status print_scores(const struct section *section, const struct score_options *options)
{
    struct text text = {0};
    int rank;
    MPI_Comm_rank(section->comm, &rank);
    status done = score_section(section, options, &text);
    if (done == MONGE_OK)
        done = agree(section->comm, rank == 0 ? text_print(&text) : MONGE_OK);
    text_free(&text);
    return done;
}

status verb_score(const struct command *command)
{
    struct score_options options = {0};
    const char *path = NULL;
    status done = verb_parse(command, &options, NULL, 1, 1, &path);
    if (done != MONGE_OK)
        return done;
    const struct read_options read = {.holes = HOLES_OMIT, .all_tissue = true, .no_counts = true};
    struct section section = {0};
    done = section_read(&section, command->comm, path, &read);
    if (done == MONGE_OK) {
        done = print_scores(&section, &options);
        section_free(&section);
    }
    options_free(&score_options, &options);
    return done;
}
