#!/usr/bin/env bash
# SCoRe-RL of Qwen2.5-7B on 8 GPUs with MLflow and rollout traces; settings: RL/configs/score_grpo.yaml.
#
#   cd RL && bash SCoRe_Script/run_qwen2.5-7b_agent_distill_tool_agent_mlflow.sh [--dry-run] [KEY=VALUE ...]
#
# Everything is a variable (launch.sh lists them) or a Hydra override behind the script:
#   BACKEND=vllm MODEL=/models/SCoRe_SFT LR=1e-6 bash SCoRe_Script/run_... trainer.save_freq=10
# What RL needs beside verl (endpoints, tools, reward) is in SETTINGS; MLFLOW_TRACKING_URI says where MLflow is.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
MODEL=${MODEL:-$RL_ROOT/../SFT/checkpoints/SCoRe/math/SCoRe_SFT_qwen7b}
DATA=${DATA:-$RL_ROOT/my_data/math}
OUTPUT=${OUTPUT:-$RL_ROOT/output/qwen2.5-7b_agent_distill}
EXPORT=${EXPORT:-$OUTPUT/SCoRe_RL}
SETTINGS=${SETTINGS:-$RL_ROOT/configs/RL.yaml}
BACKEND=${BACKEND:-sglang} # or vllm
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///$OUTPUT/mlruns.db}

launch score_grpo "$@"
