/* The report: one page, nothing fetched, every panel, whole pictures; absent values leave panels out; bad inputs are named; a browser,
 * where there is one, shows all of it. */
#include "monge/report.h"

#include <cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/correct.h"
#include "monge/html.h"
#include "monge/section_io.h"
#include "monge/simulate.h"
#include "support/child.h"
#include "support/suite.h"

static void must(status code)
{
    if (code != MONGE_OK)
        fail_msg("%s", error_message());
}

/* ---- a section with what `correct` leaves in it ---- */

static void copy_rows(const struct sparse_rows *from, struct sparse_rows *to)
{
    size_t rows = (size_t)from->n_rows + 1, entries = (size_t)from->start[from->n_rows] + 1;
    *to = (struct sparse_rows){from->n_rows, malloc(rows * sizeof(int64_t)), malloc(entries * sizeof(int32_t)),
                               malloc(entries * sizeof(float))};
    memcpy(to->start, from->start, rows * sizeof(int64_t));
    memcpy(to->column, from->column, (entries - 1) * sizeof(int32_t));
    memcpy(to->value, from->value, (entries - 1) * sizeof(float));
}

static void add_array(struct section *section, const char *path, int64_t n, const double *values)
{
    must(section_add_uns_array(section, path, 1, &n, values));
}

static void add_record(struct section *section)
{
    enum { POINTS = 20 };
    double distance[POINTS], probability[POINTS], before[POINTS], after[POINTS] = {0}, six[6] = {0.5, 1.5, 0.2, 4.0, 0.1, 0.8};
    for (int k = 0; k < POINTS; k++) {
        distance[k] = 0.5 * k;
        probability[k] = exp(-distance[k]);
        before[k] = 10.0 * exp(-distance[k]);
    }
    before[POINTS - 1] = NAN; /* a ring without spots */
    must(section_add_uns_real(section, "monge/correct/kernel/beta", 0.5));
    must(section_add_uns_real(section, "monge/correct/kernel/sigma", 1.5));
    add_array(section, "monge/correct/kernel/with_ring", 6, six);
    add_array(section, "monge/correct/kernel/without_ring", 6, six);
    add_array(section, "monge/correct/kernel/profile_distance", POINTS, distance);
    add_array(section, "monge/correct/kernel/profile_probability", POINTS, probability);
    add_array(section, "monge/correct/background/ring_distance", POINTS, distance);
    add_array(section, "monge/correct/background/ring_mean_before", POINTS, before);
    add_array(section, "monge/correct/background/ring_mean_after", POINTS, after);
    must(section_add_uns_bool(section, "monge/correct/capture/on", true));
    must(section_add_uns_real(section, "monge/correct/capture/s2_background", 0.04));
    const char *candidates[3] = {"rank 8", "rank 12", "rank 16"}, *losses[2] = {"image", "fit"};
    double nll[3] = {-1.0, -1.1, -1.05}, gap[3] = {0.0, -0.1, 0.05}, se[3] = {0.0, 0.01, 0.01}, loss[2] = {0.5, 0.1};
    must(section_add_uns_texts(section, "monge/correct/selection/name", 3, candidates));
    add_array(section, "monge/correct/selection/nll", 3, nll);
    add_array(section, "monge/correct/selection/difference", 3, gap);
    add_array(section, "monge/correct/selection/se", 3, se);
    must(section_add_uns_text(section, "monge/correct/selection/chosen", "rank 12"));
    must(section_add_uns_real(section, "monge/correct/held_out/corrected", -1.1));
    must(section_add_uns_real(section, "monge/correct/held_out/free_field", -1.2));
    must(section_add_uns_real(section, "monge/correct/held_out/free_field_se", 0.01));
    must(section_add_uns_real(section, "monge/correct/held_out/no_lateral", -1.0));
    must(section_add_uns_real(section, "monge/correct/held_out/no_lateral_se", 0.01));
    must(section_add_uns_texts(section, "monge/correct/background_check/name", 3, candidates));
    add_array(section, "monge/correct/background_check/deviance", 3, (double[3]){4.0, 5.0, 3.0});
    must(section_add_uns_real(section, "monge/correct/signs/moran_before", 0.47));
    must(section_add_uns_real(section, "monge/correct/signs/moran_after", 0.42));
    must(section_add_uns_real(section, "monge/correct/signs/cv_before", 0.40));
    must(section_add_uns_real(section, "monge/correct/signs/cv_after", 0.90));
    must(section_add_uns_texts(section, "monge/correct/losses/name", 2, losses));
    add_array(section, "monge/correct/losses/before", 2, loss);
    add_array(section, "monge/correct/losses/after", 2, loss);
    const char *warnings[1] = {"less than 5 % background <here>"}, *phases[2] = {"read", "kernel fit"};
    must(section_add_uns_texts(section, "monge/correct/warnings", 1, warnings));
    must(section_add_uns_texts(section, "monge/run/phases/name", 2, phases));
    must(section_add_uns_array(section, "monge/run/phases/seconds", 2, (int64_t[2]){3, 2}, (double[6]){1, 2, 1, 2.5, 1, 2}));
    must(section_add_uns_text(section, "monge/correct/options/beta-scale", "1"));
    must(section_add_uns_text(section, "monge/correct/version", "test"));
}

static void add_columns(struct section *section)
{
    size_t genes = (size_t)section->n_genes;
    double *gene = malloc(4 * genes * sizeof *gene), *spot = malloc((size_t)(section->sites.n_own + 1) * sizeof *spot);
    for (size_t g = 0; g < genes; g++) {
        gene[g] = 0.1 + 0.01 * (double)(g % 7); /* changed */
        gene[genes + g] = g == 3 ? NAN : 0.3 + 0.01 * (double)g;
        gene[2 * genes + 2 * g] = 0.5;
        gene[2 * genes + 2 * g + 1] = 0.5;
    }
    for (int64_t i = 0; i < section->sites.n_own; i++)
        spot[i] = 0.5 + (double)(i % 5) / 4.0;
    must(section_add_var(section, "changed", VALUE_REAL, gene));
    must(section_add_var(section, "moran_before", VALUE_REAL, gene + genes));
    must(section_add_var(section, "moran_after", VALUE_REAL, gene));
    must(section_add_varm(section, "kernel_weights", 2, gene + 2 * genes));
    must(section_add_obs(section, "capture_factor", VALUE_REAL, spot));
    free(gene);
    free(spot);
}

enum content { COUNTS_ONLY, LEAST, EVERYTHING };

/* writes a section; static string */
static const char *make_section(const char *name, enum content content, int64_t rows, int64_t cols, int64_t genes)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), name);
    struct simulate_options options;
    must(options_defaults(&simulate_options, &options));
    options.rows = rows;
    options.cols = cols;
    options.genes = genes;
    struct section section;
    must(simulate_section(&section, MPI_COMM_WORLD, &options));
    if (content != COUNTS_ONLY) {
        struct sparse_rows corrected;
        copy_rows(&section_result(&section, "layers/truth")->sparse, &corrected);
        must(section_add_layer(&section, "corrected", &corrected, true));
        must(section_add_uns_text(&section, "monge/correct/formulation", "map"));
    }
    if (content == EVERYTHING) {
        add_record(&section);
        add_columns(&section);
    }
    must(section_write(&section, path));
    section_free(&section);
    return path;
}

static const char *make_file(const char *name, enum content content)
{
    return make_section(name, content, 20, 24, 24);
}

static struct report_options options_for(const char *name)
{
    struct report_options options;
    must(options_defaults(&report_options, &options));
    char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), name);
    options.output = strdup(path);
    return options;
}

/* the page, on every rank (malloc'd) */
static char *read_page(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(file);
    rewind(file);
    char *page = malloc(n + 1);
    assert_int_equal(fread(page, 1, n, file), n);
    page[n] = '\0';
    fclose(file);
    return page;
}

/* ---- the page ---- */

static void has(const char *page, const char *needle)
{
    if (!strstr(page, needle))
        fail_msg("the page lacks: %s", needle);
}

static void has_not(const char *page, const char *needle)
{
    const char *found = strstr(page, needle);
    if (found)
        fail_msg("the page has: %.60s", found);
}

static void is_self_contained(const char *page)
{
    has_not(page, "http");
    has_not(page, "url(");
    has_not(page, "@import");
    has_not(page, "<script");
    has_not(page, "<link");
    for (const char *at = page; (at = strstr(at, "src=\"")); at += 5)
        assert_memory_equal(at, "src=\"data:image/png;base64,", 26);
    for (const char *at = page; (at = strstr(at, "href=\"")); at += 6) {
        assert_int_equal(at[6], '#');
        char anchor[80]; /* every link has its target */
        snprintf(anchor, sizeof anchor, "<h2 id=\"%.*s\"", (int)strcspn(at + 7, "\""), at + 7);
        has(page, anchor);
    }
}

struct payload {
    const char *at;
    unsigned char three[3];
    int left;
};

static int digit_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static cairo_status_t decode(void *closure, unsigned char *data, unsigned length)
{
    struct payload *p = closure;
    for (unsigned k = 0; k < length; k++) {
        if (p->left == 0) {
            int d[4];
            for (int i = 0; i < 4; i++)
                d[i] = digit_value(p->at[i]);
            if (d[0] < 0 || d[1] < 0)
                return CAIRO_STATUS_READ_ERROR;
            p->three[0] = (unsigned char)(d[0] << 2 | d[1] >> 4);
            p->three[1] = (unsigned char)((d[1] & 15) << 4 | (d[2] < 0 ? 0 : d[2] >> 2));
            p->three[2] = (unsigned char)((d[2] < 0 ? 0 : d[2] & 3) << 6 | (d[3] < 0 ? 0 : d[3]));
            p->left = d[2] < 0 ? 1 : d[3] < 0 ? 2 : 3;
            p->at += 4;
            memmove(p->three + 3 - p->left, p->three, (size_t)p->left);
        }
        data[k] = p->three[3 - p->left--];
    }
    return CAIRO_STATUS_SUCCESS;
}

/* number of pictures; each must decode to the size that its tag states */
static int pictures(const char *page)
{
    int n = 0;
    for (const char *at = page; (at = strstr(at, "<img ")); at++) {
        int width, height;
        assert_int_equal(sscanf(at, "<img width=\"%d\" height=\"%d\"", &width, &height), 2);
        struct payload payload = {.at = strstr(at, "base64,") + 7};
        cairo_surface_t *surface = cairo_image_surface_create_from_png_stream(decode, &payload);
        assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
        assert_int_equal(cairo_image_surface_get_width(surface), width);
        assert_int_equal(cairo_image_surface_get_height(surface), height);
        cairo_surface_destroy(surface);
        n++;
    }
    return n;
}

/* The page in a real browser, where there is one: all pictures are there and decoded, no figure is lost, nothing sticks out of a window of
 * 1200 pixels, and nothing is complained of. title: as HTML. */
static void shown_by_a_browser(const char *page, const char *title)
{
    static const char probe[] =
        "<script>onload=()=>{const all=[...document.images],root=document.documentElement;root.dataset.seen=[all.length,"
        "all.filter(x=>x.naturalWidth==x.getAttribute('width')).length,document.querySelectorAll('svg').length,"
        "root.scrollWidth<=innerWidth].join(' ')}</script>\n";
    if (elsewhere())
        return;
    int code, n = pictures(page);
    char seen[64];
    FILE *probed = fopen(in_scratch("probed.html"), "wb");
    assert_true(probed && fputs(page, probed) >= 0 && fputs(probe, probed) >= 0 && fclose(probed) == 0);
    char *output =
        child_shell("browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || exit 99; "
                    "timeout 120 $browser --headless --no-sandbox --disable-gpu --window-size=1200,900 --user-data-dir=$T/browser "
                    "--enable-logging=stderr --dump-dom file://$T/probed.html; code=$?; rm -rf $T/browser; exit $code",
                    &code);
    snprintf(seen, sizeof seen, "data-seen=\"%d %d %d true\"", n, n, occurrences(page, "<svg"));
    if (code == 99) {
        printf("  skipped: no browser is installed\n");
    } else if (code != 0) {
        fail_msg("exit code %d\n%.3000s", code, output);
    } else {
        has(output, seen);
        has(output, title);
        has_not(output, "CONSOLE");
    }
    free(output);
}

static void page_is_whole_and_self_contained(void **state)
{
    (void)state;
    const char *input = make_file("everything.h5ad", EVERYTHING);
    struct report_options options = options_for("everything.html");
    options.max_genes = 2;
    options.title = strdup("A & <b>");
    must(options_set(&report_options, &options, "genes", "Gradient5,House7", "--genes"));
    must(report_write(MPI_COMM_WORLD, input, &options));
    char *page = read_page(options.output);
    is_self_contained(page);
    static const char *const anchors[] = {"molecules", "accuracy", "evidence",  "genes",  "kernel", "weights",
                                          "capture",   "signs",    "selection", "losses", "time",   "provenance"};
    for (size_t k = 0; k < sizeof anchors / sizeof *anchors; k++) {
        char heading[64];
        snprintf(heading, sizeof heading, "<h2 id=\"%s\">", anchors[k]);
        has(page, heading);
    }
    has(page, "<title>A &#38; &#60;b&#62;</title>");
    has(page, "less than 5 % background &#60;here&#62;");
    has(page, "<h3>Gradient5</h3>");
    has(page, "<h3>House7</h3>");
    has(page, "There are signs of over-correction"); /* CV .40 -> .90 */
    has(page, "Lateral spread is supported");        /* 10 standard errors */
    has(page, "A free field without diffusion predicts better");
    has(page, "rank 2</text>"); /* three ranks drawn */
    has_not(page, "=\"nan");
    has_not(page, "nan ");
    has_not(page, "inf\"");
    int n = pictures(page);
    figure("pictures in the page", n, "=", 2 + 1 + 1 + 4 * 4 + 1); /* totals, mask, image, 4 genes x 4, capture */
    assert_int_equal(n, 2 + 1 + 1 + 4 * 4 + 1);
    shown_by_a_browser(page, "<title>A &amp; &lt;b&gt;</title>");
    free(page);
    options_free(&report_options, &options);
}

static void absent_values_leave_their_panel_out(void **state)
{
    (void)state;
    const char *input = make_file("least.h5ad", LEAST);
    struct report_options options = options_for("least.html");
    must(report_write(MPI_COMM_WORLD, input, &options));
    char *page = read_page(options.output);
    is_self_contained(page);
    has(page, "<h2 id=\"molecules\">");
    has(page, "<h2 id=\"genes\">");
    has(page, "<h2 id=\"accuracy\">");
    has(page, "There were no warnings");
    static const char *const anchors[] = {"evidence", "kernel", "weights", "capture", "signs", "selection", "losses", "time"};
    for (size_t k = 0; k < sizeof anchors / sizeof *anchors; k++) {
        char heading[64];
        snprintf(heading, sizeof heading, "<h2 id=\"%s\">", anchors[k]);
        has_not(page, heading);
    }
    has(page, "AUC of markers"); /* domains are read with the truth */
    has(page, "sliced Wasserstein");
    /* corrected is the truth here: no error left */
    has(page, "<td class=\"n\">1.000</td><td class=\"n\">0.000</td>");
    free(page);
    options_free(&report_options, &options);
}

/* A correction by the literal formulation has no kernel, no evidence and no choices; any spot may be a source. */
static void literal_formulation_is_named(void **state)
{
    (void)state;
    char input[512];
    struct simulate_options simulate;
    struct correct_options correct;
    struct report_options options = options_for("literal.html");
    struct section section;
    must(options_defaults(&simulate_options, &simulate));
    must(options_defaults(&correct_options, &correct));
    simulate.rows = simulate.cols = 12;
    simulate.genes = 12;
    correct.formulation = FORMULATION_SEED;
    correct.seed_training = 2;
    must(simulate_section(&section, MPI_COMM_WORLD, &simulate));
    must(step_correct.run(&section, &correct));
    snprintf(input, sizeof input, "%s/literal.h5ad", scratch_folder());
    must(section_write(&section, input));
    section_free(&section);
    must(report_write(MPI_COMM_WORLD, input, &options));
    char *page = read_page(options.output);
    is_self_contained(page);
    has(page, "formulation seed");
    has(page, "balanced entropic transport as first published");
    has(page, "Background spots may be sources here");
    has(page, "leave their spot in the plan");
    has(page, "Image terms compare");
    has(page, "</main></body></html>");
    has_not(page, "by construction");
    has_not(page, "beyond rescaling");
    has_not(page, "=\"nan");
    static const char *const anchors[] = {"molecules", "accuracy", "genes", "losses", "provenance"}, *const absent[] = {
                                                                                                         "evidence", "kernel", "weights",
                                                                                                         "capture",  "signs",  "selection"};
    char heading[64];
    for (size_t k = 0; k < sizeof anchors / sizeof *anchors; k++) {
        snprintf(heading, sizeof heading, "<h2 id=\"%s\">", anchors[k]);
        has(page, heading);
    }
    for (size_t k = 0; k < sizeof absent / sizeof *absent; k++) {
        snprintf(heading, sizeof heading, "<h2 id=\"%s\">", absent[k]);
        has_not(page, heading);
    }
    assert_int_equal(pictures(page), 2 + 1 + 1 + 6 * 4); /* totals, mask, image, 6 genes with their truth */
    shown_by_a_browser(page, "<title>literal.h5ad</title>");
    free(page);
    options_free(&report_options, &options);
    options_free(&correct_options, &correct);
    options_free(&simulate_options, &simulate);
}

/* A million spots: maps are pictures of a pixel per spot, everything else stays as small as on a small slide. MONGE_LONG=1. */
static void a_million_spots_stay_readable(void **state)
{
    (void)state;
    if (!getenv("MONGE_LONG")) {
        printf("  skipped: a report of a million spots; MONGE_LONG=1 makes it\n");
        return;
    }
    struct report_options options = options_for("million.html");
    must(report_write(MPI_COMM_WORLD, make_section("million.h5ad", LEAST, 1000, 1000, 8), &options));
    char *page = read_page(options.output);
    size_t rest = strlen(page), size = rest;
    int widest = 0;
    for (const char *at = page; (at = strstr(at, "<img ")); at++) {
        int width;
        assert_int_equal(sscanf(at, "<img width=\"%d\"", &width), 1);
        widest = width > widest ? width : widest;
        rest -= strcspn(strstr(at, "base64,"), "\"");
    }
    figure("page of a million spots, MB", (double)size / 1e6, "<", 40);
    figure("  without its pictures, kB", (double)rest / 1e3, "<", 100);
    figure("  width of a map, pixels", widest, "<=", 2400);
    assert_true(size < 40000000 && rest < 100000 && widest <= 2400);
    has(page, "</main></body></html>");
    shown_by_a_browser(page, "<title>million.h5ad</title>");
    free(page);
    options_free(&report_options, &options);
}

static void refused(const char *input, struct report_options *options, status code, const char *part)
{
    assert_int_equal(report_write(MPI_COMM_WORLD, input, options), code);
    if (!strstr(error_message(), part))
        fail_msg("the message lacks '%s': %s", part, error_message());
    if (options->output)
        assert_int_not_equal(access(options->output, F_OK), 0);
}

static void bad_inputs_are_named(void **state)
{
    (void)state;
    struct report_options options = options_for("never.html");
    refused("/nowhere/x.h5ad", &options, MONGE_NO_INPUT, "/nowhere/x.h5ad");
    refused(make_file("counts.h5ad", COUNTS_ONLY), &options, MONGE_BAD_DATA, "run monge correct");
    char text[512];
    snprintf(text, sizeof text, "%s/text.h5ad", scratch_folder());
    if (suite_rank() == 0) {
        FILE *file = fopen(text, "w");
        assert_non_null(file);
        fputs("not HDF5", file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    refused(text, &options, MONGE_BAD_DATA, "not an HDF5 file");
    const char *input = make_file("least.h5ad", LEAST);
    must(options_set(&report_options, &options, "genes", "Hous7", "--genes"));
    refused(input, &options, MONGE_USAGE, "did you mean 'House7'");
    must(options_set(&report_options, &options, "genes", "House7", "--genes"));
    must(options_set(&report_options, &options, "output", "/nowhere/folder/x.html", "--output"));
    refused(input, &options, MONGE_CANT_CREATE, "/nowhere/folder/x.html");
    options_free(&report_options, &options);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_whole_and_self_contained),
        cmocka_unit_test(absent_values_leave_their_panel_out),
        cmocka_unit_test(literal_formulation_is_named),
        cmocka_unit_test(a_million_spots_stay_readable),
        cmocka_unit_test(bad_inputs_are_named),
    };
    SUITE(argc, argv, tests);
}
