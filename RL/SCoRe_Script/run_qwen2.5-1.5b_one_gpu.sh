#!/usr/bin/env bash
# SCoRe-RL of Qwen2.5-1.5B on one GPU of 80 GB; settings: RL/configs/one_gpu.yaml, the rest as on 8 GPUs.
#
#   cd RL && bash SCoRe_Script/run_qwen2.5-1.5b_one_gpu.sh [--dry-run] [KEY=VALUE ...]
#
# SFT/README.md says how the default MODEL is trained; convert_parquet.py wants `--set tokenizer=` that student.
# A 7B student on one GPU trains a LoRA adapter: LORA=32 LR=1e-5 MODEL=/models/SCoRe_SFT_qwen7b bash SCoRe_Script/run_...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
MODEL=${MODEL:-$RL_ROOT/../SFT/checkpoints/SCoRe/math/SCoRe_SFT_qwen1.5b}
DATA=${DATA:-$RL_ROOT/my_data/math}
OUTPUT=${OUTPUT:-$RL_ROOT/output/qwen2.5-1.5b_one_gpu}
EXPORT=${EXPORT:-$OUTPUT/SCoRe_RL}
SETTINGS=${SETTINGS:-$RL_ROOT/configs/RL.yaml}
BACKEND=${BACKEND:-vllm} # or sglang
export MLFLOW_TRACKING_URI=${MLFLOW_TRACKING_URI:-sqlite:///$OUTPUT/mlruns.db}

launch one_gpu "$@"
