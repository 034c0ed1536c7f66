/* `monge submit` and the batch scripts, without Slurm: what is written, and what slurm/launch.sh does, with stand-ins for sbatch, mpirun,
 * srun and scontrol. The real Slurm is in test_slurm.c. */
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/suite.h"

/* In a folder of this program's own: HERE is the project's folder. */
static char *run(const char *command, int *code)
{
    char script[4096];
    snprintf(script, sizeof script, "HERE=$(pwd); export HERE; case $MONGE in /*) ;; *) MONGE=$HERE/$MONGE ;; esac; cd %s && { %s\n}",
             scratch_folder(), command);
    return child_output(script, code);
}

static void expect(const char *command, int code, const char *text)
{
    if (suite_size() > 1)
        return;
    int ended;
    char *output = run(command, &ended);
    if (ended != code || !strstr(output, text))
        fail_msg("%s\nexit code %d, expected %d; expected text: %s\n%s", command, ended, code, text, output);
    free(output);
}

/* job.yaml makes a section of 400 spots and 64 genes; atlas.yaml has three of 100. */
static void write_jobs(void)
{
    expect("printf 'output: out.h5ad\\nsteps:\\n  - simulate: {rows: 20, cols: 20, genes: 64}\\n  - correct\\n' >job.yaml; "
           "printf 'manifest: three.tsv\\noutput-folder: atlas\\nsteps:\\n  - correct\\n' >atlas.yaml; printf 'input\\n' >three.tsv; "
           "for i in 1 2 3; do $MONGE simulate -o in$i.h5ad --rows 10 --cols 10 --genes 8 --seed $i -q && echo in$i.h5ad >>three.tsv; done",
           0, "");
}

static void scripts_are_bash(void **state)
{
    (void)state;
    scratch_folder();
    expect(
        "for f in $HERE/slurm/*.sh $HERE/slurm/*.sbatch $HERE/tests/slurm/* $HERE/tests/hosts/*; do bash -n $f || exit 1; done; echo all",
        0, "all");
}

static void prints_a_script(void **state)
{
    (void)state;
    scratch_folder();
    write_jobs();
    expect("$MONGE submit job.yaml --print >script && bash -n script && head -1 script", 0, "#!/usr/bin/env bash");
    expect("cat script", 0, "1 section, the largest 400 spots x 64 genes");
    static const char *const lines[] = {"--job-name=job", "--nodes=1",          "--ntasks-per-node=16",
                                        "--mem=",         "--time=00:05:00",    "--signal=B:USR1@120",
                                        "--requeue",      "--open-mode=append", "--output=./job.%j.log"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char command[256];
        snprintf(command, sizeof command, "grep -c '^#SBATCH %s' script", lines[i]);
        expect(command, 0, "1\n");
    }
    expect("tail -1 script", 0, "monge' run 'job.yaml'");
    /* every #SBATCH line comes before the first command, else sbatch would not see it */
    expect("grep -n -v '^#' script | grep -v ':$' | head -1 | cut -d: -f1 >first; grep -n '^#SBATCH' script | tail -1 | cut -d: -f1 >last; "
           "test $(cat last) -lt $(cat first) && echo before",
           0, "before");
    /* what it does is slurm/launch.sh, word for word */
    expect("sed -n '/^# shellcheck shell/,/^}/p' script >body; cmp body $HERE/slurm/launch.sh && echo same", 0, "same");
}

static void takes_options(void **state)
{
    (void)state;
    scratch_folder();
    write_jobs();
    expect("$MONGE submit job.yaml --print --nodes 3 --tasks-per-node 40 --time 1-00:00:00 --mem 64G --partition 'long' --account lab7 "
           "--name night --warn 300 --launcher srun --sbatch=qos=high,--exclusive | grep -e '^#SBATCH' -e '^MONGE_LAUNCH' | tr '\\n' ' '",
           0,
           "#SBATCH --job-name=night #SBATCH --nodes=3 #SBATCH --ntasks-per-node=40 #SBATCH --mem=64G #SBATCH --time=1-00:00:00 "
           "#SBATCH --signal=B:USR1@300 #SBATCH --requeue #SBATCH --open-mode=append #SBATCH --output=./night.%j.log #SBATCH "
           "--partition=long #SBATCH --account=lab7 #SBATCH --qos=high #SBATCH --exclusive MONGE_LAUNCH=srun");
    expect("mkdir 'a b'; sed 's/out.h5ad/a b\\/out.h5ad/' job.yaml >\"it's.yaml\"; $MONGE submit \"it's.yaml\" --print >script; "
           "bash -n script && grep -e output= -e monge_batch script | tail -2",
           0, "run 'it'\\''s.yaml'");
    expect("grep output= script", 0, "#SBATCH --output=\"a b/it's.%j.log\"");
    expect("$MONGE submit atlas.yaml --print --array 2 | grep -e array -e output= | tr '\\n' ' '", 0,
           "#SBATCH --output=atlas/atlas.%A_%a.log #SBATCH --array=1-2");
}

static void more_work_asks_for_more(void **state)
{
    (void)state;
    scratch_folder();
    write_jobs();
    expect("big='s/rows: 20, cols: 20, genes: 64/rows: 700, cols: 700, genes: 4000/'; sed \"$big\" job.yaml >big.yaml; "
           "minutes() { grep -o 'time=.*' | tr '=:' '  ' | awk '{print 60 * $2 + $3}'; }; "
           "small=$($MONGE submit job.yaml --print | minutes); one=$($MONGE submit big.yaml --print --tasks-per-node 1 | minutes); "
           "two=$($MONGE submit big.yaml --print --nodes 2 --tasks-per-node 4 | minutes); echo $small $one $two; "
           "test $one -gt $two && test $two -gt $small && echo ordered",
           0, "ordered");
    expect("mem() { grep -o 'mem=.*' | tr -dc 0-9; }; small=$($MONGE submit job.yaml --print --tasks-per-node 4 | mem); "
           "one=$($MONGE submit big.yaml --print --tasks-per-node 4 | mem); echo $small $one; test $one -gt $small && echo ordered",
           0, "ordered");
}

static void refuses_nonsense(void **state)
{
    (void)state;
    scratch_folder();
    write_jobs();
    expect("$MONGE submit", 64, "an argument is missing");
    expect("$MONGE submit absent.yaml", 66, "absent.yaml");
    expect("$MONGE submit job.yaml --node 2", 64, "did you mean 'nodes'?");
    expect("$MONGE submit job.yaml --array 3", 64, "has no manifest");
    expect("$MONGE submit job.yaml --print --name 'a\"b'", 64, "cannot stand in a batch script");
    expect("sed 's/out.h5ad/absent\\/out.h5ad/' job.yaml >nowhere.yaml; $MONGE submit nowhere.yaml", 73, "create it first");
    expect("PATH=/bin; $MONGE submit job.yaml; code=$?; type sbatch >/dev/null 2>&1 && echo 'sbatch cannot be started'; exit $code", 73,
           "sbatch");
}

/* A stand-in for sbatch that says what it was given. */
static void hands_over_to_sbatch(void **state)
{
    (void)state;
    scratch_folder();
    write_jobs();
    expect(
        "mkdir -p bin && printf '#!/bin/sh\\nenv >sbatch.env\\necho Submitted batch job 7 from $1\\n' >bin/sbatch && chmod +x bin/sbatch",
        0, "");
    expect("PATH=$(pwd)/bin:$PATH LAB=42 $MONGE submit job.yaml", 0, "Submitted batch job 7 from ./job.sbatch");
    expect("$MONGE submit job.yaml --print | cmp - job.sbatch && echo same", 0, "same");
    /* the user's environment, and nothing that MPI_Init adds to it */
    expect("grep -c -e '^LAB=42' sbatch.env", 0, "1");
    expect("grep -e '^PMIX_' -e '^OMPI_COMM' -e '^OMPI_UNIVERSE' -e '^OMPI_MCA_orte_' sbatch.env; echo none", 0, "none");
    expect("PATH=$(pwd)/bin:$PATH $MONGE submit atlas.yaml --array 2 && ls atlas", 0, "atlas.sbatch");
    expect("PATH=$(pwd)/bin:$PATH mpirun -n 1 $MONGE submit job.yaml", 64, "without mpirun");
    expect("printf '#!/bin/sh\\necho no such partition >&2; exit 1\\n' >bin/sbatch; PATH=$(pwd)/bin:$PATH $MONGE submit job.yaml", 73,
           "sbatch refuses it");
}

/* Stand-ins: `mpirun` runs the rest, `scontrol` notes what it was asked. */
#define STAND_INS                                                                                                                          \
    "mkdir -p bin; printf '#!/bin/sh\\nexec \"$@\"\\n' >bin/mpirun; printf '#!/bin/sh\\nshift 2; exec \"$@\"\\n' >bin/srun; "              \
    "printf '#!/bin/sh\\necho asked: $*\\n' >bin/scontrol; chmod +x bin/*; PATH=$(pwd)/bin:$PATH; export SLURM_JOB_ID=9; "
/* A program that saves its work and ends with 75 at SIGUSR1. */
#define PROGRAM                                                                                                                            \
    "printf '#!/bin/bash\\ntrap \"echo saved; exit 75\" USR1\\n: >up\\nfor i in $(seq 300); do sleep 0.1; done\\n' >program; chmod +x "    \
    "program; rm -f up; "

static void launch_ends_with_the_code_of_the_program(void **state)
{
    (void)state;
    scratch_folder();
    static const char *const commands[] = {"true", "sh -c 'exit 65'", "sh -c 'exit 70'", "sh -c 'kill -9 $$'"};
    static const int codes[] = {0, 65, 70, 137};
    for (int i = 0; i < 4; i++) {
        char command[1024];
        snprintf(command, sizeof command, STAND_INS "(. $HERE/slurm/launch.sh; monge_batch %s); echo code $?", commands[i]);
        char expected[32];
        snprintf(expected, sizeof expected, "code %d\n", codes[i]);
        expect(command, 0, expected);
    }
    expect(STAND_INS "MONGE_LAUNCH=srun; (. $HERE/slurm/launch.sh; monge_batch sh -c 'exit 66'); echo code $?", 0, "code 66");
    expect(STAND_INS "MONGE_LAUNCH=prun; . $HERE/slurm/launch.sh; monge_batch true", 64, "must be mpirun or srun");
}

static void launch_requeues_after_the_warning(void **state)
{
    (void)state;
    scratch_folder();
    expect(STAND_INS PROGRAM "printf '. $HERE/slurm/launch.sh; monge_batch ./program\\n' >script; bash script & child=$!; "
                             "until [ -e up ]; do sleep 0.1; done; kill -USR1 $child; wait $child; echo code $?",
           0, "saved\nasked: requeue 9\nmonge: the work is saved; job 9 is in the queue again and will go on from there\ncode 75\n");
    /* a program that was told to stop by somebody else */
    expect(STAND_INS "(. $HERE/slurm/launch.sh; monge_batch sh -c 'exit 75'); echo code $?", 0, "asked: requeue 9");
    /* not for ever */
    expect(STAND_INS "export SLURM_RESTART_COUNT=100; (. $HERE/slurm/launch.sh; monge_batch sh -c 'exit 75') >said 2>&1; echo code $?; "
                     "grep -c asked said; cat said",
           0, "code 75\n0\n");
    expect(STAND_INS "printf '#!/bin/sh\\nexit 1\\n' >bin/scontrol; (. $HERE/slurm/launch.sh; monge_batch sh -c 'exit 75')", 75,
           "submit the same job again");
}

static void launch_lets_a_cancelled_job_go(void **state)
{
    (void)state;
    scratch_folder();
    expect(STAND_INS PROGRAM
           "printf '. $HERE/slurm/launch.sh; monge_batch ./program\\n' >script; bash script >said 2>&1 & child=$!; "
           "until [ -e up ]; do sleep 0.1; done; kill -TERM $child; wait $child; echo code $?; grep -c asked said; cat said",
           0, "code 75\n0\n");
}

/* The scripts in slurm/, as sbatch would start them. */
static void scripts_start_the_program(void **state)
{
    (void)state;
    scratch_folder();
    expect(STAND_INS "cd $HERE; MONGE=echo bash slurm/section.sbatch in.h5ad out.h5ad --rank 8", 0,
           "correct in.h5ad -o out.h5ad --rank 8\n");
    expect(STAND_INS "cd $HERE; MONGE=echo bash slurm/section.sbatch job.yaml", 0, "run job.yaml\n");
    expect(STAND_INS "cd $HERE; MONGE=echo bash slurm/atlas.sbatch atlas.yaml", 0, "run atlas.yaml\n");
    expect("cd $HERE; bash slurm/section.sbatch", 64, "usage");
    expect("cd $HERE; bash slurm/atlas.sbatch", 64, "usage");
    expect("MONGE=echo bash $HERE/slurm/atlas.sbatch atlas.yaml", 66, "launch.sh");
}

static void scaling_runs_here_too(void **state)
{
    (void)state;
    scratch_folder();
    expect("cp -r $HERE/slurm . && MONGE=$MONGE slurm/scaling.sh weak study --points '1 2' --size 10x10x12 --local >said 2>&1; code=$?; "
           "cat said; exit $code",
           0, "Weak scaling");
    expect("ls study/weak | tr '\\n' ' '", 0,
           "1.jsonl 2.jsonl input_1.h5ad input_2.h5ad output_1.h5ad output_2.h5ad scaling.html scaling.txt");
    /* what is there is not run again */
    expect("touch -d 2001-01-01 study/weak/1.jsonl; rm study/weak/2.jsonl; MONGE=$MONGE slurm/scaling.sh weak study --points '1 2' --size "
           "10x10x12 --local | grep ' ranks$'; find study/weak/1.jsonl -newermt 2002-01-01",
           0, "scaling: 2 ranks\n");
    expect("slurm/scaling.sh weak study --input in.h5ad --local", 64, "leave out --input");
    expect("slurm/scaling.sh sideways study", 64, "slurm/scaling.sh strong RESULTS");
    expect("slurm/scaling.sh strong study --size 10x10", 64, "slurm/scaling.sh strong RESULTS");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_bash),
        cmocka_unit_test(prints_a_script),
        cmocka_unit_test(takes_options),
        cmocka_unit_test(more_work_asks_for_more),
        cmocka_unit_test(refuses_nonsense),
        cmocka_unit_test(hands_over_to_sbatch),
        cmocka_unit_test(launch_ends_with_the_code_of_the_program),
        cmocka_unit_test(launch_requeues_after_the_warning),
        cmocka_unit_test(launch_lets_a_cancelled_job_go),
        cmocka_unit_test(scripts_start_the_program),
        cmocka_unit_test(scaling_runs_here_too),
    };
    SUITE(argc, argv, tests);
}
