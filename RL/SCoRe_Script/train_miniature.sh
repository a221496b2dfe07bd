#!/usr/bin/env bash
# SCoRe-RL of the miniature in a given mode, from the data to metrics.jsonl; runs/cpu.sh uses it for its RL stages too.
#
#   bash RL/SCoRe_Script/train_miniature.sh [MODE [SEED [KEY=VALUE ...]]]
#   STEPS=200 TEST_FREQ=20 bash RL/SCoRe_Script/train_miniature.sh long_horizon 1
#
# MODE: standard (default), long_horizon, sparse_reward, long_horizon_sparse, no_avoid. It needs the SFT student and
# data/mps_rl.json of runs/cpu.sh with that seed (SCORE_RUN: another folder), and leaves rl_MODE/ there (rl/ for
# standard): the student, and metrics.jsonl with a line per step. NAME=name leaves rl_name/ instead, for the same mode
# under other settings. The same command goes on where a killed run stopped; FRESH=1 starts over.
set -euo pipefail
MODE=${1:-standard} SEED=${2:-${SEED:-${SCORE_SEED:-0}}}
shift $(($# < 2 ? $# : 2))
RL_FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=$(dirname "$RL_FOLDER")/.venv/bin:$PATH HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export SEED SCORE_SEED=$SEED SCORE_RUN=${SCORE_RUN:-$(dirname "$RL_FOLDER")/output/miniature/seed$SEED}
suffix=${NAME:-$MODE}
[ "$suffix" = standard ] && suffix= || suffix=_$suffix
export DATA=$SCORE_RUN/data/rl$suffix OUTPUT=$SCORE_RUN/rl_training$suffix EXPORT=$SCORE_RUN/rl$suffix
unset NAME
[ -z "${FRESH:-}" ] || rm -rf "$DATA" "$OUTPUT" "$EXPORT"
cd "$RL_FOLDER"

[ -f "$DATA/val.parquet" ] || python SCoRe_Script/data_preprocess/convert_parquet.py \
  --config ../configs/miniature/RL_parquet.yaml --mode "$MODE" --output "$DATA"
if [ -z "${SCORE_EXPERT_URL:-}" ]; then # it judges what the rules leave open
  port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  python -m score.miniature.expert --key "$SCORE_RUN/world/answer_key.jsonl" --port "$port" > /dev/null 2>&1 &
  expert=$!
  trap 'kill $expert 2> /dev/null' EXIT
  export SCORE_EXPERT_URL=http://127.0.0.1:$port/v1
fi
bash SCoRe_Script/run_miniature_cpu.sh "$@"
