/* The sections of an atlas: a manifest and a list in the job are read whole, each section with its own options; every mistake is refused
 * with its file, line and the nearest name. */
#include "monge/job.h"

#include <string.h>

#include "support/suite.h"
#include "support/toy_program.h"

#define HEAD "manifest: m.tsv\noutput-folder: out/\nsteps:\n"
#define JOB  HEAD "  - smooth:\n      rank: 3\n      genes: [Ttr, 'a,b']\n  - show\n"

static status parse(struct job *job, const char *text, const char *manifest)
{
    status done = job_parse(job, "j.yaml", text, strlen(text), &toy_program);
    if (done != MONGE_OK || !manifest)
        return done;
    done = job_parse_manifest(job, manifest);
    if (done != MONGE_OK)
        job_free(job);
    return done;
}

static const struct smooth_options *smooth_of(const struct job *job, int i)
{
    return job->sections[i].steps[0].values;
}

static void a_good_manifest(void **state)
{
    (void)state;
    struct job job;
    const char *manifest = "\xef\xbb\xbf# a comment, then a header\r\n"
                           "input\tname\tsmooth.rank\tholes\tsmooth.genes\tsmooth.prior_alpha\r\n"
                           "\r\n"
                           "a/one.h5ad\t\t\t\t\t\r\n"
                           "b/one.h5ad\tsecond\t8\tomit\tAlb\t2.5\r\n"
                           "# c.h5ad\n"
                           " sample 3/outs \t\t auto\n"
                           "four.h5";
    assert_int_equal(parse(&job, JOB, manifest), MONGE_OK);
    assert_int_equal(job.n_sections, 4);
    static const char *const names[] = {"one", "second", "sample 3", "four"};
    static const char *const inputs[] = {"a/one.h5ad", "b/one.h5ad", "sample 3/outs", "four.h5"};
    for (int i = 0; i < 4; i++) {
        char output[64];
        assert_string_equal(job.sections[i].name, names[i]);
        assert_string_equal(job.sections[i].input, inputs[i]);
        snprintf(output, sizeof output, "out/%s.h5ad", names[i]);
        assert_string_equal(job.sections[i].output, output);
    }
    assert_int_equal(job.sections[0].line, 4);
    assert_int_equal(job.sections[3].line, 8);
    /* an empty cell leaves the job's option, a full one replaces it; lists are the section's own */
    assert_int_equal(smooth_of(&job, 0)->rank, 3);
    assert_int_equal(smooth_of(&job, 0)->genes.n, 2);
    assert_string_equal(smooth_of(&job, 0)->genes.values[1], "a,b");
    assert_ptr_not_equal(smooth_of(&job, 0)->genes.values[0], smooth_of(&job, 3)->genes.values[0]);
    assert_int_equal(smooth_of(&job, 1)->rank, 8);
    assert_int_equal(smooth_of(&job, 1)->genes.n, 1);
    assert_true(smooth_of(&job, 1)->alpha == 2.5 && smooth_of(&job, 0)->alpha == 0.5);
    assert_int_equal(smooth_of(&job, 2)->rank, INT64_MIN); /* auto */
    assert_int_equal(job.sections[1].options.holes, 1);
    assert_int_equal(job.sections[0].options.holes, 0);
    assert_int_equal(((const struct smooth_options *)job.steps[0].values)->rank, 3);
    job_free(&job);
}

static void a_list_in_the_job(void **state)
{
    (void)state;
    struct job job;
    const char *text = "output-folder: out\n"
                       "sections:\n"
                       "  - data/a.h5ad\n"
                       "  - input: data/b.h5ad\n"
                       "    name: bee\n"
                       "    layer: raw\n"
                       "    smooth: {rank: 9, widths: [3, 4]}\n"
                       "  - {input: c.h5ad, smooth.prior-alpha: 7}\n"
                       "steps: [smooth, show]\n";
    assert_int_equal(parse(&job, text, NULL), MONGE_OK);
    assert_int_equal(job.n_sections, 3);
    assert_string_equal(job.sections[0].name, "a");
    assert_null(job.sections[0].options.layer);
    assert_string_equal(job.sections[1].output, "out/bee.h5ad");
    assert_string_equal(job.sections[1].options.layer, "raw");
    assert_int_equal(smooth_of(&job, 1)->rank, 9);
    assert_true(smooth_of(&job, 1)->widths.values[1] == 4.0);
    assert_true(smooth_of(&job, 2)->alpha == 7.0);
    assert_int_equal(job.sections[2].line, 8);
    job_free(&job);
}

static void sections_that_are_made(void **state)
{
    (void)state;
    struct job job;
    assert_int_equal(parse(&job, HEAD "  - invent\n  - smooth\n", "name\tinvent.seed\na\t1\nb\t2\n"), MONGE_OK);
    assert_int_equal(job.n_sections, 2);
    assert_null(job.sections[1].input);
    assert_int_equal(*(const int64_t *)job.sections[1].steps[0].values, 2);
    job_free(&job);
    assert_int_equal(parse(&job, HEAD "  - invent\n", "input\tname\nx.h5ad\ta\n"), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "m.tsv line 2: the first step makes the section"));
    assert_int_equal(parse(&job, HEAD "  - invent\n", "invent.seed\n3\n"), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "m.tsv line 2: the section has no name"));
}

static void mistakes_in_manifests(void **state)
{
    (void)state;
    static const struct {
        const char *manifest, *message;
    } bad[] = {
        {"", "m.tsv: no sections"},
        {"input\n", "m.tsv: no sections"},
        {"inptu\na.h5ad\n",
         "line 1: 'inptu' is not input, name, a read option, or STEP.OPTION of a step of this job (smooth, show); did you "
         "mean 'input'?"},
        {"input\tlayr\na\n", "did you mean 'layer'?"},
        {"input\toutput\na\n", "line 1: 'output' is not input"},
        {"input\tsmoth.rank\na\n", "line 1: 'smoth.rank' begins with no step of this job (smooth, show); did you mean 'smooth'?"},
        {"input\tsmooth.rnak\na\n", "line 1: 'rnak' is not an option of smooth; did you mean 'rank'?"},
        {"input\tinput\na\n", "line 1: column 'input' is there twice"},
        {"input\tsmooth.prior-alpha\tsmooth.prior_alpha\na\n", "'smooth.prior_alpha' is there twice"},
        {"input,name\na,b\n", "line 1: the columns are separated by commas; write tabs"},
        {"name\na\n", "line 2: no input is given"},
        {"input\tname\n\tb\n", "line 2: no input is given"},
        {"input\na\tb\n", "line 2: 2 cells, but the header has 1 columns"},
        {"input\tsmooth.rank\na.h5ad\t4\nb.h5ad\tmany\n", "line 3: rank is 'many', but must be a whole number or auto"},
        {"input\tsmooth.rank\na.h5ad\t400\n", "line 2: rank is 400, but must be from 1 to 64"},
        {"input\tsmooth.kernel\na.h5ad\tmixtur\n", "line 2: kernel is 'mixtur', but must be one of mixture, mlp; did you mean 'mixture'?"},
        {"input\tholes\na.h5ad\tomitt\n", "line 2: holes is 'omitt'"},
        {"input\nx/a.h5ad\n#\ny/a.h5ad\n", "line 4: a section 'a' is already in line 2 of m.tsv; add names that differ"},
        {"input\tname\nx/a.h5ad\tb\ny/a.h5ad\tb\n", "line 3: a section 'b' is already in line 2 of m.tsv; give it another name"},
        {"input\tname\na.h5ad\tx/y\n", "line 2: 'x/y' cannot name files"},
        {"input\tname\na.h5ad\t.b\n", "line 2: '.b' cannot name files"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct job job;
        assert_int_equal(parse(&job, JOB, bad[k].manifest), MONGE_USAGE);
        if (strncmp(error_message(), "m.tsv", 5) != 0 || !strstr(error_message(), bad[k].message))
            fail_msg("manifest\n%s\nexpected: %s\nfound:    %s", bad[k].manifest, bad[k].message, error_message());
        assert_null(job.sections);
    }
}

static void mistakes_in_jobs(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"manifest: m.tsv\nsteps: [smooth]\n", "line 1: the job has no 'output-folder'"},
        {"manifest: m.tsv\noutput-folder: o\ninput: a\nsteps: [smooth]\n", "has no 'input': each section has its own"},
        {"manifest: m.tsv\noutput-folder: o\noutput: a\nsteps: [smooth]\n", "'output-folder' instead of 'output'"},
        {"manifest: m.tsv\noutput-folder: o\nsections: [a]\nsteps: [smooth]\n", "line 3: the job has a 'manifest' and 'sections'"},
        {"input: a\noutput-folder: o\nsteps: [smooth]\n", "'output-folder' is for a job with 'manifest' or 'sections'"},
        {"output-folder: o\nsectoins: [a]\nsteps: [smooth]\n", "line 2: 'sectoins' is not a key of a job; did you mean 'sections'?"},
        {"output-folder: o\nsections: a\nsteps: [smooth]\n", "line 2: sections must be a list"},
        {"output-folder: o\nsections: []\nsteps: [smooth]\n", "line 2: sections is empty"},
        {"output-folder: o\nsections:\n  - [a]\nsteps: [smooth]\n", "line 3: a section is a path"},
        {"output-folder: o\nsections:\n  -\nsteps: [smooth]\n", "the section is empty"},
        {"output-folder: o\nsections:\n  - name: a\nsteps: [smooth]\n", "line 3: no input is given"},
        {"output-folder: o\nsections:\n  - input: [a]\nsteps: [smooth]\n", "line 3: input must be one path"},
        {"output-folder: o\nsections:\n  - {input: a, naem: b}\nsteps: [smooth]\n", "line 3: 'naem' is not input"},
        {"output-folder: o\nsections:\n  - {input: a, smooth: {rnak: 3}}\nsteps: [smooth]\n", "line 3: 'rnak' is not an option of smooth"},
        {"output-folder: o\nsections:\n  - {input: a, smooth.rank: '3'}\nsteps: [smooth]\n", "line 3: rank is the text \"3\""},
        {"output-folder: o\nsections:\n  - {input: a, input: b}\nsteps: [smooth]\n", "line 3: 'input' is given twice"},
        {"output-folder: o\nsections:\n  - x/a\n  - y/a\nsteps: [smooth]\n", "line 4: a section 'a' is already in line 3 of j.yaml"},
        {"output-folder: o\nsections:\n  - {input: a, smooth.rank: 3}\nsteps: [smooth, smooth]\n", "may mean either of two steps 'smooth'"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct job job;
        assert_int_equal(parse(&job, bad[k].text, NULL), MONGE_USAGE);
        if (strncmp(error_message(), "j.yaml", 6) != 0 || !strstr(error_message(), bad[k].message))
            fail_msg("job\n%s\nexpected: %s\nfound:    %s", bad[k].text, bad[k].message, error_message());
        assert_null(job.sections);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_manifest),       cmocka_unit_test(a_list_in_the_job), cmocka_unit_test(sections_that_are_made),
        cmocka_unit_test(mistakes_in_manifests), cmocka_unit_test(mistakes_in_jobs),
    };
    SUITE(argc, argv, tests);
}
