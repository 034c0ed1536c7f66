# shellcheck shell=bash
# What every batch script of monge does (read by section.sbatch and atlas.sbatch; written into the scripts of `monge submit`):
# sets the environment, starts the program on all ranks, and puts the job back into the queue when its time ends before its work.
# docs/slurm.md explains it line by line.

# One rank per core, each with one thread: ranks are the parallelism.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# A rank stays on its core, and its memory beside it. Set it to none where an allocation shares cores.
export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-core}
export SLURM_CPU_BIND=${SLURM_CPU_BIND:-cores}
# Open MPI keeps its sockets and shared memory below TMPDIR: a folder of the node, never one of the network.
export TMPDIR=${SLURM_TMPDIR:-/tmp}
# File systems that cannot lock files are no reason to refuse reading one.
export HDF5_USE_FILE_LOCKING=${HDF5_USE_FILE_LOCKING:-BEST_EFFORT}
# After SIGTERM (scancel, preemption) the ranks have this many seconds before mpirun kills them; a failed job holds its nodes twice as long.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-5}

# monge_batch COMMAND...: runs it on all ranks of the allocation and ends the script with its exit code; a job that ran out of time goes
# back into the queue.
#   MONGE_LAUNCH    mpirun (default) or srun
#   MONGE_PMI       what srun offers Open MPI (pmix)
#   MONGE_REQUEUES  how often a job may come back (100)
monge_batch() {
    local code launcher signal="" interrupted=yes
    case ${MONGE_LAUNCH:-mpirun} in
    mpirun) set -- mpirun "$@" ;;
    srun) set -- srun "--mpi=${MONGE_PMI:-pmix}" --kill-on-bad-exit=1 "$@" ;;
    *) echo "monge: MONGE_LAUNCH is '$MONGE_LAUNCH'; it must be mpirun or srun" >&2; exit 64 ;;
    esac
    echo "monge: job ${SLURM_JOB_ID:-none}, start $((${SLURM_RESTART_COUNT:-0} + 1)), ${SLURM_NTASKS:-?} ranks on ${SLURM_JOB_NODELIST:-?}: $*"
    "$@" &
    launcher=$!
    # USR1: the time is nearly over (--signal=B:USR1@...); TERM: somebody wants the job gone. USR1 is what both launchers pass on to the
    # ranks as it is; it makes them save their work and end with 75. A trapped signal ends `wait`, not the program: hence the loop.
    trap 'signal=USR1 interrupted=yes; kill -USR1 "$launcher"' USR1
    trap 'signal=TERM interrupted=yes; kill -USR1 "$launcher"' TERM
    while [ "$interrupted" ]; do
        interrupted=
        wait "$launcher"
        code=$?
    done
    trap - USR1 TERM
    if [ "$code" = 75 ] && [ "$signal" != TERM ]; then
        if [ "${SLURM_RESTART_COUNT:-0}" -lt "${MONGE_REQUEUES:-100}" ] && scontrol requeue "$SLURM_JOB_ID"; then
            echo "monge: the work is saved; job $SLURM_JOB_ID is in the queue again and will go on from there"
        else
            echo "monge: the work is saved; submit the same job again to go on from there" >&2
        fi
    fi
    exit "$code"
}
