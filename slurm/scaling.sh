#!/usr/bin/env bash
# A scaling study of `monge correct`: submits the same work on growing numbers of nodes, then a job that draws table and page of the results.
#
#   slurm/scaling.sh strong RESULTS              one section, more and more nodes
#   slurm/scaling.sh weak RESULTS                a section that grows with the nodes
#
#   --points "1 2 4 8"      numbers of nodes (with --local: of ranks)
#   --tasks-per-node 16     ranks on each node
#   --input IN              strong: this section (.h5ad, outs/) instead of a simulated one
#   --size 200x200x1000     rows x columns x genes that are simulated; weak: for one point, columns grow
#   --local                 here and now with mpirun, without Slurm
#   -- OPTIONS              further options of sbatch: --time=2:00:00 --partition=long --mem-per-cpu=4G --exclusive
#
# From the folder that holds slurm/ and build/. RESULTS/strong or RESULTS/weak receives inputs, outputs, one log per point (*.jsonl), and in
# the end scaling.txt and scaling.html (`monge scaling`, docs/scaling.md). Points that are there are not run again.
set -eu
usage() { sed -n 's/^# \{0,1\}//; 2,18p' "$0" >&2; exit 64; }
say() { echo "scaling: $*"; }

[ $# -ge 2 ] || usage
kind=$1 results=$2; shift 2
points="1 2 4 8" tasks=16 input="" size=200x200x1000 where=slurm
while [ $# -gt 0 ]; do
    case $1 in
    --points | --tasks-per-node | --input | --size)
        [ $# -ge 2 ] || usage
        case $1 in
        --points) points=$2 ;;
        --tasks-per-node) tasks=$2 ;;
        --input) input=$2 ;;
        --size) size=$2 ;;
        esac
        shift 2 ;;
    --local) where=local; shift ;;
    --) shift; break ;;
    *) usage ;;
    esac
done
case $kind in strong | weak) ;; *) usage ;; esac
[ -z "$input" ] || [ "$kind" = strong ] || { say "a weak study simulates its inputs; leave out --input" >&2; exit 64; }
case $size in *[!0-9x]* | x* | *x | *xx* | *x*x*x*) usage ;; *x*x*) ;; *) usage ;; esac
IFS=x read -r rows cols genes <<<"$size"
monge=${MONGE:-build/monge}
folder=$results/$kind
mkdir -p "$folder"

section_of() { # POINT: the input of a point
    if [ -n "$input" ]; then echo "$input"; elif [ "$kind" = strong ]; then echo "$folder/input.h5ad"; else echo "$folder/input_$1.h5ad"; fi
}
simulate_words() { # POINT: what makes it
    local factor=1
    [ "$kind" = strong ] || factor=$1
    echo "simulate -o $(section_of "$1") --rows $rows --cols $((cols * factor)) --genes $genes --seed 1 --quiet"
}
missing() { # points without a finished run in their log, in order
    local point
    for point in $points; do
        grep -qs '"event":"end".*"status":0' "$folder/$point.jsonl" || echo "$point"
    done
}
inputs() { # the commands that make the inputs that are not there, one line each
    local point
    [ -n "$input" ] || for point in $(missing); do [ -e "$(section_of "$point")" ] || simulate_words "$point"; done | sort -u
}

run_here() {
    local point words flags=(--oversubscribe)
    [ "$(id -u)" != 0 ] || flags+=(--allow-run-as-root)
    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    inputs | while read -r words; do
        # shellcheck disable=SC2086 # words
        mpirun "${flags[@]}" -n 1 "$monge" $words </dev/null
    done
    for point in $(missing); do
        say "$point ranks"
        rm -f "$folder/$point.jsonl"
        mpirun "${flags[@]}" -n "$point" "$monge" correct "$(section_of "$point")" -o "$folder/output_$point.h5ad" --quiet \
            --log "$folder/$point.jsonl" </dev/null
    done
    "$monge" scaling "$folder" --output "$folder/scaling.html" | tee "$folder/scaling.txt"
}

# Slurm keeps the order: inputs, then all points, then the page. A point that fails or runs out of time is missing in the page; it is
# not requeued, because a run in two parts measures nothing.
submit_all() { # options of sbatch
    local point words after=() ids="" id
    words=$(inputs)
    if [ -n "$words" ]; then
        id=$({
            echo '#!/usr/bin/env bash'
            echo '. slurm/launch.sh'
            while read -r line; do echo "mpirun $monge $line || exit"; done <<<"$words"
        } | sbatch --parsable --job-name=monge-inputs --nodes=1 --ntasks-per-node="$tasks" --output="$folder/inputs.log" "$@")
        id=${id%%;*}
        after=(--dependency="afterok:$id" --kill-on-invalid-dep=yes)
        say "inputs: job $id"
    fi
    for point in $(missing); do
        rm -f "$folder/$point.jsonl"
        id=$(sbatch --parsable --job-name="monge-$kind-$point" --nodes="$point" --ntasks-per-node="$tasks" --no-requeue \
            --output="$folder/$point.log" "${after[@]}" "$@" \
            slurm/section.sbatch "$(section_of "$point")" "$folder/output_$point.h5ad" --log "$folder/$point.jsonl")
        id=${id%%;*} ids=$ids:$id
        say "$point nodes: job $id"
    done
    id=$(sbatch --parsable --job-name=monge-scaling --nodes=1 --ntasks-per-node=1 --output="$folder/scaling.txt" \
        ${ids:+--dependency="afterany$ids"} "$@" <<END
#!/usr/bin/env bash
$monge scaling $folder --output $folder/scaling.html
END
    )
    say "table and page: job ${id%%;*}, to $folder/scaling.txt and $folder/scaling.html"
}

if [ "$where" = local ]; then
    run_here
else
    type sbatch >/dev/null 2>&1 || { say "there is no sbatch here; --local runs the study without Slurm" >&2; exit 69; }
    MONGE_REQUEUES=0 submit_all "$@"
fi
