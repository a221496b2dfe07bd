#!/usr/bin/env bash
# SCoRe-RL of Qwen2.5-7B on several nodes of 8 GPUs; settings: RL/configs/nodes.yaml, the rest as on one node.
#
#   NODES=2 RAY_ADDRESS=head:6379 bash SCoRe_Script/run_qwen2.5-7b_nodes.sh [--dry-run] [KEY=VALUE ...]
#
# Run it on one node of a Ray cluster whose nodes see the same files at the same paths (this repository, MODEL, DATA,
# OUTPUT). Without a scheduler: `ray start --head --port=6379` there, `ray start --address=head:6379` on the others;
# with Slurm, nodes.sbatch does that.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
NODES=${NODES:-2}
MODEL=${MODEL:-$RL_ROOT/../SFT/checkpoints/SCoRe/math/SCoRe_SFT_qwen7b}
DATA=${DATA:-$RL_ROOT/my_data/math}
OUTPUT=${OUTPUT:-$RL_ROOT/output/qwen2.5-7b_${NODES}_nodes}
EXPORT=${EXPORT:-$OUTPUT/SCoRe_RL}
SETTINGS=${SETTINGS:-$RL_ROOT/configs/RL.yaml}
BACKEND=${BACKEND:-sglang} # or vllm
export RAY_ADDRESS=${RAY_ADDRESS:-auto}
export SCORE_RL_CACHE=${SCORE_RL_CACHE:-/tmp/score_rl_judge_$(id -un)_$(basename "$OUTPUT").sqlite} # SQLite wants a local disk: one on each node
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///$OUTPUT/mlruns.db}

launch nodes "$@"
