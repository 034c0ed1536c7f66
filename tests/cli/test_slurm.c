/* monge under a real Slurm of two nodes on this machine (tests/slurm/): each test is one story of tests/slurm/scenario, told on a Slurm of
 * its own, and a comparison with a run that knew nothing of Slurm. They take minutes: MONGE_LONG=1. */
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/same_objects.h"
#include "support/suite.h"

enum { CANNOT_RUN = 77 };
static const char *const except[] = {"uns/monge/run", NULL}; /* memory, times, warnings */

/* True if it ran; fails the test if it went wrong. Rank 0 runs it, the others wait at the end of the program. */
static bool scenario(const char *name)
{
    char script[1024];
    if (!getenv("MONGE_LONG")) {
        if (suite_rank() == 0)
            printf("  skipped: a long test, needs MONGE_LONG=1\n");
        return false;
    }
    snprintf(script, sizeof script, "case $MONGE in /*) ;; *) MONGE=$(pwd)/$MONGE ;; esac; export MONGE; tests/slurm/scenario %s %s", name,
             in_scratch(name));
    if (suite_rank() != 0)
        return false;
    int code;
    char *output = child_output(script, &code);
    if (code == CANNOT_RUN)
        printf("  %s", strstr(output, "skipped:") ? strstr(output, "skipped:") : output);
    else if (code != 0)
        fail_msg("tests/slurm/scenario %s: exit code %d\n%s", name, code, output);
    else
        printf("%s", output);
    fflush(stdout);
    free(output);
    return code == 0;
}

/* The job file of a scenario again, without Slurm, to another output. */
static void run_plain(const char *job, const char *output, const char *plain)
{
    char script[2048];
    int code;
    snprintf(script, sizeof script,
             "case $MONGE in /*) ;; *) MONGE=$(pwd)/$MONGE ;; esac; cd %s && sed 's/%s/%s/' %s >plain.yaml && mpirun -n 2 $MONGE run "
             "plain.yaml -q",
             scratch_folder(), output, plain, job);
    char *said = child_output(script, &code);
    if (code != 0)
        fail_msg("%s: exit code %d\n%s", job, code, said);
    free(said);
}

static void same_output(const char *a, const char *b)
{
    int n = same_objects(in_scratch(a), in_scratch(b), except);
    assert_int_equal(n, same_objects(in_scratch(b), in_scratch(a), except));
    figure("objects of the output, the same bits", n, ">=", 40);
    assert_true(n >= 40);
}

static void demo_over_two_nodes(void **state)
{
    (void)state;
    scratch_folder();
    if (!scenario("two_nodes"))
        return;
    run_plain("two_nodes/mpirun.yaml", "mpirun.h5ad", "plain.h5ad");
    same_output("two_nodes/mpirun.h5ad", "plain.h5ad");
    same_output("two_nodes/srun.h5ad", "plain.h5ad");
}

static void time_limit_requeues(void **state)
{
    (void)state;
    scratch_folder();
    if (!scenario("walltime"))
        return;
    run_plain("walltime/stopped.yaml", "stopped.h5ad", "plain.h5ad");
    same_output("walltime/stopped.h5ad", "plain.h5ad");
}

static void cancelled_job_leaves_no_output(void **state)
{
    (void)state;
    scratch_folder();
    scenario("cancel");
}

static void array_shares_an_atlas(void **state)
{
    (void)state;
    scratch_folder();
    scenario("array");
}

static void scaling_study_by_one_command(void **state)
{
    (void)state;
    scratch_folder();
    scenario("scaling");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demo_over_two_nodes),
        cmocka_unit_test(time_limit_requeues),
        cmocka_unit_test(cancelled_job_leaves_no_output),
        cmocka_unit_test(array_shares_an_atlas),
        cmocka_unit_test(scaling_study_by_one_command),
    };
    SUITE(argc, argv, tests);
}
