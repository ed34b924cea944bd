#!/usr/bin/env bash
# What needs a GPU, on made-up texts, in less than eight minutes: prints a JSON object per result.
# --small tries it on a CPU. SKMLTC_ENCODER is the folder of a transformer; without it, a small one
# of random weights is made.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD" OMP_NUM_THREADS="${OMP_NUM_THREADS:-4}"
exec python tests/gpu.py "$@"
