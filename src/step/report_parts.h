/* The parts of the report: what is read once, and the panels that are drawn from it. Serial. */
#ifndef REPORT_PARTS_H
#define REPORT_PARTS_H

#include "monge/draw.h"
#include "monge/html.h"
#include "monge/record.h"
#include "monge/report.h"
#include "monge/score_correction.h"
#include "monge/section.h"

#define REPORT_RECORD  "uns/monge/correct/"
#define REPORT_RUN     "uns/monge/run/"
#define REPORT_ALIGN   "uns/monge/align/"
#define REPORT_DOMAINS "uns/monge/domains/"

/* ---- pages: each reads `input` and adds its whole page ---- */
status report_correct(struct text *page, const char *input, const char *title, const struct report_options *options);
status report_align(struct text *page, const char *input, const char *title);
status report_domains(struct text *page, const char *input, const char *title);

/* ---- what all pages share (report.c, report_run.c) ---- */
/* Text of numbers: short-lived static strings (eight at a time), an en dash for NAN. */
const char *shown(const char *format, double value);
const char *shown_count(double value); /* 1,234,567 */

/* A heading with an anchor; a figure with its label; the warnings under a record's prefix. */
void report_heading(struct text *page, const char *anchor, const char *title);
void report_tile(struct text *page, const char *figure, const char *label);
void report_warnings(struct text *page, const struct record *record, const char *prefix);

/* The rest of a page: links to the headings of the panels, the panels, which it frees, and the footer (HTML). */
void report_body(struct text *page, struct text *panels, const char *footer);

void report_run_time(struct text *page, const struct record *record);
void report_provenance(struct text *page, const struct record *record, const char *path, const char *prefix);

/* ---- the page of a correction ---- */

/* A gene that is drawn: its counts by site. */
struct report_gene {
    int64_t index;
    bool chosen;                    /* asked for by name, not picked as most changed */
    double *before, *after, *truth; /* n_sites; truth x efficiency, NULL if unknown */
};

struct report_data {
    const char *path;
    struct record record;
    struct section section;           /* as read; its counts are kept only if there is a truth */
    struct sparse_rows after, truth;  /* all genes; empty unless there is a truth */
    double *site_before, *site_after; /* n_sites: counts over all genes */
    double *gene_total, *gene_out;    /* n_genes: counts, and those seen outside tissue */
    double *changed;                  /* n_genes: share of molecules moved; NAN where unknown */
    struct report_gene *genes;
    int n_genes;
    double molecules, returned; /* seen; how many more of them lie in tissue than before */
    double left_out;            /* still outside tissue after correction; 0 where only tissue can be a source */
    bool literal;               /* --formulation seed */
    bool has_truth;
    struct correction_score score; /* of layers/corrected against truth x efficiency, if there is a truth */
    double *ratio;                 /* n_genes: RMSE corrected / seen; NULL without a truth */
    double efficiency;             /* mean share of molecules captured: truth x efficiency is what no diffusion would give */
};
/* Reads the record, the counts, layers/corrected, layers/truth (if there is one); picks the genes. On error *data is empty. */
status report_read(struct report_data *data, const char *path, const struct report_options *options);
void report_data_free(struct report_data *data);

/* Values below uns/monge/correct/ by their names. */
double report_real(const struct report_data *data, const char *name);

/* ---- panels; each adds nothing when the file lacks its values ---- */
/* report_maps.c */
status report_totals(struct text *page, const struct report_data *data, const struct slide_view *view);
status report_genes(struct text *page, const struct report_data *data, const struct slide_view *view);
status report_capture(struct text *page, const struct report_data *data, const struct slide_view *view);
/* report_fit.c */
void report_held_out(struct text *page, const struct report_data *data);
void report_kernel(struct text *page, const struct report_data *data);
void report_selection(struct text *page, const struct report_data *data);
void report_signs(struct text *page, const struct report_data *data);
void report_gene_weights(struct text *page, const struct report_data *data);
void report_gene_lengths(struct text *page, const struct report_data *data);
void report_losses(struct text *page, const struct report_data *data);
/* report_accuracy.c */
status report_score(struct report_data *data); /* fills score and ratio */
void report_accuracy(struct text *page, const struct report_data *data);
void report_summary(const struct report_data *data); /* on standard output */

#endif
