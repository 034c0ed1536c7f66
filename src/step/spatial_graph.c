/* The step `graph`: who is a neighbour of whom, by one of four rules; the neighbours of every spot go to obsp, their statistics to the log and
 * to uns/monge/graph. Ranges: domains.md, 2.1 (STAGATE's examples have 6 to 15 neighbours). */
#include "monge/spatial_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/recorder.h"
#include "monge/section_positions.h"
#include "monge/step.h"
#include "monge/text.h"

static const struct option options[] = {GRAPH_OPTIONS(struct spatial_graph_options, graph)};
const struct option_table spatial_graph_options = {
    .verb = "graph",
    .summary = "build and describe the spatial graph of a section, or of several",
    .usage = "IN [MORE ...] [-o OUT.h5ad] [options]",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .size = sizeof(struct spatial_graph_options),
};

/* ---- the report ---- */

/* What is to be known before a graph is trusted. */
struct graph_report {
    struct graph_summary summary;
    int n_parts;
    double *radius;       /* n_parts: of GRAPH_RADIUS, given or chosen; NAN otherwise */
    double *radius_least; /* n_parts: radius for 6 and for 15 neighbours; NAN where a part has too few nodes */
    double *radius_most;
};

static void graph_report_free(struct graph_report *report)
{
    free(report->radius);
    free(report->radius_least);
    free(report->radius_most);
    memset(report, 0, sizeof *report);
}

/* Local; the same on all ranks. The median distance to the last neighbour is what the most should reach; the least with room. */
static status choose_radii(struct graph_report *report, const struct nodes *nodes, const struct graph_rule *rule)
{
    const struct graph_places places = nodes_places(nodes);
    status s = MONGE_OK;
    for (int k = 0; k < nodes->n_parts && s == MONGE_OK; k++) {
        s = graph_choose_radius(&places, k, GRAPH_FEWEST_NEIGHBOURS, &report->radius_least[k]);
        if (s == MONGE_OK)
            s = graph_choose_radius(&places, k, GRAPH_MOST_NEIGHBOURS, &report->radius_most[k]);
        report->radius_most[k] /= 1.1;
        report->radius[k] = rule->kind != GRAPH_RADIUS ? NAN : isnan(rule->radius) ? report->radius_least[k] : rule->radius;
    }
    return s;
}

/* Collective over graph->nodes.comm. */
static status graph_report_new(struct graph_report *report, const struct nodes *nodes, const struct graph *graph,
                               const struct graph_rule *rule)
{
    size_t n = (size_t)nodes->n_parts;
    *report = (struct graph_report){.n_parts = nodes->n_parts,
                                    .radius = malloc(n * sizeof(double)),
                                    .radius_least = malloc(n * sizeof(double)),
                                    .radius_most = malloc(n * sizeof(double))};
    bool enough = report->radius && report->radius_least && report->radius_most;
    status s = enough ? choose_radii(report, nodes, rule) : error_memory("the summary of a graph", 24.0 * (double)n);
    s = agree(graph->nodes.comm, s);
    if (s == MONGE_OK)
        s = graph_summarise(&report->summary, graph);
    if (s != MONGE_OK)
        graph_report_free(report);
    return s;
}

static void describe_rule(struct text *text, const struct graph_report *report, const struct graph_rule *rule)
{
    text_add(text, "graph: ");
    if (rule->kind == GRAPH_RADIUS && !isnan(rule->radius))
        text_add(text, "all within %.6g", rule->radius);
    else if (rule->kind == GRAPH_RADIUS)
        text_add(text, "all within %.6g (chosen%s)", report->radius[0], report->n_parts > 1 ? " for the first section" : "");
    else if (rule->kind == GRAPH_KNN)
        text_add(text, "the %d nearest%s", rule->neighbours, rule->symmetric ? ", either way" : "");
    else if (rule->kind == GRAPH_LATTICE)
        text_add(text, "cells of the lattice up to %d step%s away", rule->rings, rule->rings > 1 ? "s" : "");
    else
        text_add(text, "Delaunay triangulation");
    if (rule->kind != GRAPH_RADIUS && rule->max_edge > 0.0)
        text_add(text, ", edges up to %.6g", rule->max_edge);
    if (rule->between_radius > 0.0)
        text_add(text, ", between sections all within %.6g", rule->between_radius);
    text_add(text, "\n");
}

/* "  radius         120 to 190 for 6 to 15 neighbours" for each part */
static void describe_radii(struct text *text, const struct graph_report *report, const struct section *section)
{
    for (int k = 0; k < report->n_parts; k++) {
        if (isnan(report->radius_least[k]))
            continue;
        text_add(text, "  radius         %.6g", report->radius_least[k]);
        if (!isnan(report->radius_most[k]))
            text_add(text, " to %.6g for %d to %d neighbours", report->radius_most[k], GRAPH_FEWEST_NEIGHBOURS, GRAPH_MOST_NEIGHBOURS);
        else
            text_add(text, " for %d neighbours", GRAPH_FEWEST_NEIGHBOURS);
        text_add(text, "%s%s\n", section->n_parts ? " in " : "", section->n_parts ? section->parts[k].name : "");
    }
}

static void graph_report_describe(struct text *text, const struct graph_report *report, const struct section *section,
                                  const struct graph_rule *rule)
{
    const struct graph_summary *s = &report->summary;
    describe_rule(text, report, rule);
    text_add(text, "  spots          %lld\n", (long long)s->n_nodes);
    text_add(text, "  edges          %lld\n", (long long)s->n_edges);
    text_add(text, "  neighbours     mean %.2f, median %.6g, at most %lld; without any: %lld spots\n", s->mean_degree, s->median_degree,
             (long long)s->max_degree, (long long)s->isolated);
    text_add(text, "  components     %lld, the largest of %lld spots\n", (long long)s->n_components, (long long)s->largest_component);
    if (s->n_edges > 0)
        text_add(text, "  edge length    %.6g to %.6g; 5 %% %.6g, 25 %% %.6g, median %.6g, 75 %% %.6g, 95 %% %.6g\n", s->length[0],
                 s->length[6], s->length[1], s->length[2], s->length[3], s->length[4], s->length[5]);
    describe_radii(text, report, section);
}

void spatial_graph_warn(const struct graph_summary *s)
{
    if (s->n_nodes > 30 && (s->mean_degree < 4.0 || s->mean_degree > 30.0))
        log_warn("a spot has %.2f neighbours on average; 6 to 15 work best as a rule, less than 4 or more than 30 rarely: change --radius, "
                 "--neighbours or --rings ('monge graph' suggests a radius)",
                 s->mean_degree);
    if (s->isolated > 0)
        log_warn("%lld of %lld spots have no neighbour: only their own counts say what they are", (long long)s->isolated,
                 (long long)s->n_nodes);
}

static void graph_report_record(struct recorder *r, const struct graph_report *report, const struct graph_rule *rule)
{
    const struct graph_summary *s = &report->summary;
    recorder_text(r, "kind", graph_kind_names[rule->kind]);
    recorder_integer(r, "spots", s->n_nodes);
    recorder_integer(r, "edges", s->n_edges);
    recorder_real(r, "mean_neighbours", s->mean_degree);
    recorder_real(r, "median_neighbours", s->median_degree);
    recorder_integer(r, "most_neighbours", s->max_degree);
    recorder_integer(r, "isolated", s->isolated);
    recorder_integer(r, "components", s->n_components);
    recorder_integer(r, "largest_component", s->largest_component);
    recorder_array(r, "length_quantiles", 7, s->length);
    if (rule->kind == GRAPH_RADIUS)
        recorder_array(r, "radius", report->n_parts, report->radius);
    recorder_array(r, "radius_of_6", report->n_parts, report->radius_least);
    recorder_array(r, "radius_of_15", report->n_parts, report->radius_most);
}

/* ---- the step ---- */

status spatial_graph_nodes(struct nodes *nodes, const struct section *section, const struct graph_options *of)
{
    double *position = NULL;
    status s = nodes_new(nodes, section);
    if (s != MONGE_OK || !of->basis || !strcmp(of->basis, "spatial"))
        return s;
    s = section_positions(section, of->basis, &position);
    if (s == MONGE_OK)
        s = nodes_move(nodes, section, position);
    free(position);
    if (s != MONGE_OK)
        nodes_free(nodes);
    return s;
}

struct work {
    struct nodes nodes;
    struct graph graph;
    struct graph_rule rule;
    struct graph_report report;
};

static void work_free(struct work *work)
{
    graph_report_free(&work->report);
    graph_free(&work->graph);
    nodes_free(&work->nodes);
}

/* On error nothing is left to free. */
static status build(struct work *work, const struct section *section, const struct spatial_graph_options *of)
{
    *work = (struct work){.rule = graph_options_rule(&of->graph)};
    status s = graph_options_check(&of->graph, section->n_parts);
    if (s == MONGE_OK)
        s = spatial_graph_nodes(&work->nodes, section, &of->graph);
    if (s == MONGE_OK)
        s = nodes_graph(&work->graph, &work->nodes, &work->rule);
    if (s == MONGE_OK)
        s = graph_report_new(&work->report, &work->nodes, &work->graph, &work->rule);
    if (s != MONGE_OK)
        work_free(work);
    else
        spatial_graph_warn(&work->report.summary);
    return s;
}

static char *describe(const struct work *work, const struct section *section)
{
    struct text text = {0};
    graph_report_describe(&text, &work->report, section, &work->rule);
    return text_take(&text);
}

status spatial_graph_show(const struct section *section, const struct spatial_graph_options *of)
{
    struct work work;
    int rank;
    MPI_Comm_rank(section->comm, &rank);
    status s = build(&work, section, of);
    if (s != MONGE_OK)
        return s;
    char *text = describe(&work, section);
    s = agree(section->comm, text ? MONGE_OK : error_code());
    if (s == MONGE_OK && rank == 0)
        fputs(text, stdout);
    free(text);
    work_free(&work);
    return s;
}

static status record(struct section *section, const struct work *work, const void *values)
{
    struct recorder r = {section, "monge/graph/", MONGE_OK};
    status s = nodes_add_graph(section, &work->nodes, &work->graph);
    if (s != MONGE_OK)
        return s;
    graph_report_record(&r, &work->report, &work->rule);
    recorder_options(&r, &spatial_graph_options, values);
    return agree(section->comm, r.fault);
}

static void log_lines(char *text)
{
    for (char *line; text && (line = strsep(&text, "\n"));)
        if (*line)
            log_info("%s", line);
}

static status run(struct section *section, const void *values)
{
    struct work work;
    phase_begin("search");
    status s = build(&work, section, values);
    if (s == MONGE_OK) {
        char *text = describe(&work, section);
        log_lines(text);
        free(text);
        phase_begin("record");
        s = record(section, &work, values);
        work_free(&work);
    }
    phase_begin(NULL);
    return s;
}

/* Places on every rank; edges, twice, with the links that they are made of. */
static struct step_cost cost(const struct section_size *size, int n_ranks, const void *values)
{
    const struct graph_options *o = &((const struct spatial_graph_options *)values)->graph;
    double nodes = (double)size->n_spots, share = nodes / n_ranks, per_spot = 800.0, seconds = 5e-6 * share;
    if (o->kind == GRAPH_DELAUNAY) { /* one rank's work */
        per_spot += 100.0;
        share = nodes;
        seconds = 3e-5 * nodes;
    }
    return (struct step_cost){50.0 * nodes + per_spot * share, seconds};
}

const struct step step_graph = {.options = &spatial_graph_options, .run = run, .cost = cost, .most_inputs = 1000, .all_tissue = true};
