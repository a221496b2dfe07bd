#!/usr/bin/env bash
# SCoRe-RL of the miniature in a given mode, from the data to metrics.jsonl; runs/ uses it for its RL stages too.
#
#   bash RL/SCoRe_Script/train_miniature.sh [MODE [SEED [KEY=VALUE ...]]]
#   REGIME=hard STEPS=200 TEST_FREQ=20 bash RL/SCoRe_Script/train_miniature.sh long_horizon 1
#
# MODE: standard (default), long_horizon, sparse_reward, long_horizon_sparse, no_avoid. It needs the SFT student and
# data/mps_rl.json of runs/cpu.sh with that seed and regime (demo, easy, hard or quick), and leaves rl_MODE/ beside them (rl/ for
# standard): the student, and metrics.jsonl with a line per step. RUN_NAME=name leaves rl_name/ instead, for the
# same mode under other settings. The same command goes on where a killed run stopped; FRESH=1 starts over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source runs/miniature.sh
MODE=${1:-standard}
run_folder "${REGIME:-demo}" "${2:-${SEED:-0}}"
shift $(($# < 2 ? $# : 2))
suffix=${RUN_NAME:-$MODE}
[ "$suffix" = standard ] && suffix= || suffix=_$suffix
export DATA=$RUN/data/rl$suffix OUTPUT=$RUN/rl_training$suffix EXPORT=$RUN/rl$suffix
unset RUN_NAME
hold 8 "rl$suffix"
[ "${FRESH:-}" != 1 ] || rm -rf "$DATA" "$OUTPUT" "$EXPORT"

if [ -z "${SCORE_EXPERT_URL:-}" ]; then # it judges what the rules leave open
  trap stop_servers EXIT
  expert
fi
cd RL
python SCoRe_Script/data_preprocess/convert_parquet.py \
  --config ../configs/miniature/RL_parquet.yaml --mode "$MODE" --output "$DATA" # again: data/mps_rl.json may be another
bash SCoRe_Script/run_miniature_cpu.sh "$@"
