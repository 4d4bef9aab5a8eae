#!/usr/bin/env python3
"""Bytes that a training step sends over the network, by the counters of the hosts' interfaces.

    tests/bench/traffic.py --launch "srun -N 2 -n 4" [--program build/lowrank] [--steps 4,12]
                           [--pairs key=value ...] FILE.yaml

Trains twice, a few steps and more, and divides the difference of the counters
by the difference of the steps: what the start, the data and the last save send
is in both and drops out. Every host reads /proc/net/dev, all interfaces but
lo, when its first rank begins and when that has ended. The states are saved
once (state_steps), so what is left is the reduction. The folder for the runs
(--work, default the current one) must be shared by the hosts.

Prints, for each host, bytes a step of each of its ranks, sent and received, and
the ratio to 2 x 8 bytes x adapter parameters; and seconds a step, with the part
that the reduction takes of it (profile: true, the mean over the ranks).
"""

import argparse
import glob
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile

STEP_KEYS = ("seconds", "reduction", "waiting")


def counters():
    sent = received = 0
    with open("/proc/net/dev", encoding="utf-8") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if rest and name.strip() != "lo":
                fields = rest.split()
                received += int(fields[0])
                sent += int(fields[8])
    return sent, received


def local(names, default):
    return next((int(os.environ[n]) for n in names if n in os.environ), default)


def count(folder, command):
    """As a rank: runs the program; the first rank of a host writes what its host sent and got."""
    first = local(("OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "PMI_LOCAL_RANK"), 0) == 0
    before = counters()
    code = subprocess.call(command)
    after = counters()
    host = socket.gethostname()
    if first:
        with open(os.path.join(folder, f"host-{host}.json"), "w", encoding="utf-8") as f:
            json.dump([b - a for a, b in zip(before, after)], f)
    rank = local(("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"), 0)
    with open(os.path.join(folder, f"rank-{rank}.json"), "w", encoding="utf-8") as f:
        json.dump(host, f)
    return code


def parameters(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return sum(t["data_offsets"][1] - t["data_offsets"][0]
               for name, t in header.items() if name != "__metadata__") // 4


def train(args, work, steps):
    """hosts: name -> [sent, received]; ranks of each; profile rows."""
    folder = os.path.join(work, str(steps))
    out = os.path.join(folder, "out")
    os.makedirs(folder)
    command = [*shlex.split(args.launch), sys.executable, os.path.abspath(__file__), "--count", folder,
               os.path.abspath(args.program), "train", args.file, *args.pairs,
               f"output_dir={out}", f"cache_dir={work}", f"max_steps={steps}", "state_steps=1000000",
               "save_strategy=no", "eval_strategy=no", "val_size=0", "profile=true"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout.decode(errors="replace")[-4000:])
    hosts, ranks = {}, {}
    for path in glob.glob(os.path.join(folder, "host-*.json")):
        with open(path, encoding="utf-8") as f:
            hosts[os.path.basename(path)[5:-5]] = json.load(f)
    for path in glob.glob(os.path.join(folder, "rank-*.json")):
        with open(path, encoding="utf-8") as f:
            host = json.load(f)
        ranks[host] = ranks.get(host, 0) + 1
    with open(os.path.join(out, "profile.json"), encoding="utf-8") as f:
        profile = json.load(f)["steps"]
    return hosts, ranks, profile, parameters(os.path.join(out, "adapter_model.safetensors"))


def seconds(row, key):
    value = row.get(key, [0.0])
    return value if key == "seconds" else value[0]


def main():
    if sys.argv[1:2] == ["--count"]:
        return count(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launch", required=True, help="what starts the ranks")
    parser.add_argument("--program", default="build/lowrank")
    parser.add_argument("--steps", default="4,12")
    parser.add_argument("--work", default=".")
    parser.add_argument("--pairs", nargs="*", default=[], help="key=value for lowrank")
    parser.add_argument("file")
    args = parser.parse_args()
    few, many = (int(n) for n in args.steps.split(","))
    work = tempfile.mkdtemp(prefix="traffic-", dir=os.path.abspath(args.work))
    try:
        first, _, _, _ = train(args, work, few)
        last, ranks, profile, P = train(args, work, many)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    unit = 16.0 * P
    print(f"adapter parameters {P}, 2 x 8 bytes x parameters = {unit / 1e6:.2f} MB")
    for host in sorted(last):
        sent, received = ((b - a) / (many - few) / ranks[host] for a, b in zip(first[host], last[host]))
        print(f"{host}: {ranks[host]} ranks, each sent {sent / 1e6:.2f} MB a step ({sent / unit:.3f}), "
              f"received {received / 1e6:.2f} MB ({received / unit:.3f})")
    rows = profile[1:]
    print(", ".join(f"{key} {sum(seconds(r, key) for r in rows) / len(rows):.4f} s" for key in STEP_KEYS)
          + " a step, mean")
    print(f"fastest step {min(r['seconds'] for r in rows):.4f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
