#!/bin/sh
# What `make run` shows: a section with known truth is simulated, corrected on all cores, and reported.
# BUILD: folder of the program; RANKS: processes. Everything is written to results/demo/.
set -eu
BUILD=${BUILD:-build}
RANKS=${RANKS:-$(nproc)}
folder=results/demo
mkdir -p "$folder"

# Open MPI counts cores where nproc counts hardware threads, and refuses root unless told
flags="--oversubscribe --bind-to none"
[ "$(id -u)" != 0 ] || flags="$flags --allow-run-as-root"
monge() {
    echo "\$ mpirun -n $RANKS $BUILD/monge $*"
    # shellcheck disable=SC2086 # flags are words
    mpirun $flags -n "$RANKS" "$BUILD/monge" "$@"
}

monge simulate -o "$folder/raw.h5ad" --rows 50 --cols 50 --genes 240 --seed 1
monge correct "$folder/raw.h5ad" -o "$folder/corrected.h5ad"
monge report "$folder/corrected.h5ad" -o "$folder/report.html"
echo
echo "  Open $folder/report.html in a browser; $folder/corrected.h5ad opens in Python's anndata."
