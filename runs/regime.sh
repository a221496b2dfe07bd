# Sourced by cpu.sh: cold start and SFT, and how the study's regimes make sure of their students. The SFT student is to be
# right so much of the time from the question at temperature 1 (40 to 60 % easy, 5 to 15 % hard). How much training and how
# many trajectories that takes depends on the seed and the machine, so both are found on training loss and validation,
# before any RL.

# holds CONDITION: of numbers with fractions, which bash does not know
holds() { awk "BEGIN {exit !($1)}"; }

# The mean loss of the last tenth of a student's training.
last_loss() {
  python - "$RUN/$1/trainer_state.json" <<'PY'
import json, sys
losses = [entry["loss"] for entry in json.load(open(sys.argv[1]))["log_history"] if "loss" in entry]
last = losses[-(len(losses) // 10 or 1):]
print(f"{sum(last) / len(last):.4f}")
PY
}

# Behaviour cloning; where the regime sets COLD_LOSS, again from where it ended (a warm restart) until the last loss is
# below that, three times at most.
cold_start() {
  local from=student round loss
  for round in 1 2 3; do
    train $from bc BC_init.yaml data
    [ -n "$COLD_LOSS" ] || return 0
    loss=$(last_loss bc)
    echo "cold start, round $round: a loss of $loss at its end; it is to be below $COLD_LOSS"
    holds "$loss < $COLD_LOSS" && return 0
    from=bc
  done
}

# share: which share of the trajectories goes to SFT, as an option of the converters; nothing where the config says it
share() { [ ! -f "$RUN/sft_share" ] || echo "--set sft_share=$(< "$RUN/sft_share")"; }

# How often a student is right at the word problems of validation, at temperature 1: into RUN/regime.json.
sample_validation() {
  rm -rf "$RUN"/answers/regime.jsonl* "$RUN/scores_regime"
  sampled "$1" regime
  expert
  (cd inference && python evaluate.py --config ../configs/miniature/evaluate.yaml \
    --results sampled="$RUN/answers/regime.jsonl" --scores "$RUN/scores_regime" --json "$RUN/regime.json")
  stop_servers
}

# SFT; where the regime names SHARES, on the largest whose student is right at most RIGHT[1] of the time. RUN/sft_shares
# says how often it was with each, so that a resumed run does not train those again that were too many.
sft_in_regime() {
  local share right
  [ ${#SHARES[@]} -gt 0 ] || { sft_train; return; }
  touch "$RUN/sft_shares"
  for share in "${SHARES[@]}"; do
    right=$(awk -v share="$share" '$1 == share {right = $2} END {print right}' "$RUN/sft_shares")
    [ -z "$right" ] || holds "$right <= ${RIGHT[1]}" || continue
    echo "$share" > "$RUN/sft_share"
    sft_format
    sft_train
    sample_validation sft
    right=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["kinds"]["word"]["sampled"]["accuracy"])' "$RUN/regime.json")
    echo "SFT on $share of the trajectories: right $right of the time"
    echo "$share $right" >> "$RUN/sft_shares"
    holds "$right < ${RIGHT[0]}" && { echo "the regime begins at ${RIGHT[0]}: more trajectories are needed" >&2; return 1; }
    holds "$right <= ${RIGHT[1]}" && return 0
  done
  echo "the regime ends at ${RIGHT[1]}: smaller shares are needed" >&2
  return 1
}
