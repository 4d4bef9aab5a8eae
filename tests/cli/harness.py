"""What the drivers of tests/cli share: starting lowrank under mpirun, counting checks.

Environment: BUILD (folder with the program, default build), PROGRAM (default
$BUILD/lowrank), LAUNCH (a prefix for each rank, as "valgrind -q"), KEEP=1
(leave the work folder), SLOW (factor on every time limit). Python 3.9, no
packages; run from anywhere.
"""

import array
import hashlib
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
PROGRAM = os.path.abspath(os.environ.get("PROGRAM", os.path.join(BUILD, "lowrank")))
SLOW = float(os.environ.get("SLOW", "1"))
MODELS = "tests/golden/models"
TRAJECTORIES = "tests/golden/trajectories"

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_REQUEUE = 0, 1, 2, 75


class Checks:
    """Counts checks, prints one line each, ends with 'N passed, N failed'."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0
        self.work = tempfile.mkdtemp(prefix=f"lowrank-{name}-")

    def check(self, what, good, detail=""):
        self.passed += bool(good)
        self.failed += not good
        tail = f": {detail}" if detail and not good else ""
        print(f"{'ok  ' if good else 'FAIL'} {self.name}: {what}{tail}", flush=True)
        return bool(good)

    def note(self, text):
        print(f"     {self.name}: {text}", flush=True)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def finish(self):
        if os.environ.get("KEEP"):
            self.note(f"work folder {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def text(self):
        return self.out + self.err

    def errors(self):
        """The lines of ours that say what failed."""
        return [line for line in self.text.splitlines() if line.startswith("error: ")]

    def tail(self):
        return f"exit {self.code}; " + " | ".join(self.text.strip().splitlines()[-4:])


def command(ranks, args):
    """ranks 0: the program alone, without mpirun."""
    own = [*shlex.split(os.environ.get("LAUNCH", "")), PROGRAM, *args]
    if ranks == 0:
        return own
    return ["mpirun", "-q", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
            "-n", str(ranks), *own]


def start(ranks, args, env=None, out=None):
    """A session of its own, so that all of it can be ended together."""
    stream = open(out, "wb") if out else subprocess.PIPE
    process = subprocess.Popen(
        command(ranks, args), cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
        stdout=stream, stderr=subprocess.STDOUT if out else subprocess.PIPE,
        start_new_session=True)
    if out:
        stream.close()
    return process


def end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    for pid in session_members(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def run(ranks, args, timeout=120, env=None):
    """Runs to the end; a run over its time limit is ended and has code None."""
    return finish(start(ranks, args, env), timeout)


def session_members(session):
    """Processes of a session; mpirun gives each rank a process group of its own."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(name))
    return found


def rank_pids(process):
    """The ranks of a run that start() began, in no order."""
    found = []
    for pid in descendants(process.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if any(os.path.basename(a) == os.path.basename(PROGRAM).encode() for a in argv[:8]):
            found.append(pid)
    return found


def descendants(pid):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def logged_step(out):
    """The last step that trainer_log.jsonl has a line of; 0 when none."""
    try:
        with open(os.path.join(out, "trainer_log.jsonl"), encoding="utf-8") as f:
            return max((json.loads(line)["current_steps"] for line in f if line.endswith("}\n")),
                       default=0)
    except (OSError, ValueError):
        return 0


def wait_for_step(process, out, step, timeout=60):
    """True once the run has logged that step; False when it ended before, or in time."""
    until = time.monotonic() + timeout * SLOW
    while process.poll() is None and time.monotonic() < until:
        if logged_step(out) >= step:
            return True
        time.sleep(0.002)
    return False


def wait_for_ranks(process, ranks, timeout=30):
    """The ranks' process ids, once all are there."""
    until = time.monotonic() + timeout * SLOW
    while process.poll() is None and time.monotonic() < until:
        pids = rank_pids(process)
        if len(pids) == ranks:
            return pids
        time.sleep(0.002)
    return []


def finish(process, timeout=120):
    """The Result of a run that start() began."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout * SLOW)
        code = process.returncode
    except subprocess.TimeoutExpired:
        end(process)
        out, err = process.communicate()
        code = None
    return Result(code, (out or b"").decode(errors="replace"),
                  (err or b"").decode(errors="replace"), time.monotonic() - began)


# --- a run's configuration ---------------------------------------------------

BASE = {
    "stage": "sft", "do_train": True, "finetuning_type": "lora",
    "model_name_or_path": f"{MODELS}/smollm2", "template": "smollm2",
    "dataset_dir": f"{TRAJECTORIES}/data", "dataset": "short_alpaca,chats",
    "cutoff_len": 160, "lora_rank": 4, "lora_target": "all", "lora_dropout": 0.0,
    "learning_rate": 2e-3, "lr_scheduler_type": "cosine", "warmup_ratio": 0.1,
    "per_device_train_batch_size": 1, "global_batch_size": 8, "max_steps": 20,
    "logging_steps": 1, "save_strategy": "no", "seed": 42, "threads_per_rank": 1,
    "overwrite_output_dir": True,
}


def yaml_text(settings):
    return "".join(f"{k}: {json.dumps(v) if isinstance(v, str) else yaml_scalar(v)}\n"
                   for k, v in settings.items())


def yaml_scalar(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def write_yaml(path, **changes):
    """BASE with changes; a change to Ellipsis (...) drops the key."""
    settings = {k: v for k, v in {**BASE, **changes}.items() if v is not ...}
    with open(path, "w", encoding="utf-8") as f:
        f.write(yaml_text(settings))
    return path


# A run of a few seconds that saves all the time, for those that interrupt it.
LONG = dict(max_steps=int(os.environ.get("LONG_STEPS", "60")), lora_dropout=0.1,
            save_strategy="steps", save_steps=7, save_total_limit=3, overwrite_output_dir=False)


# --- what a run leaves -------------------------------------------------------


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def read_jsonl(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def read_steps(folder):
    """Rows with step, loss, grad_norm, learning_rate; rows with eval_loss; unrounded."""
    history = read_json(os.path.join(folder, "trainer_state.json"))["log_history"]
    return read_jsonl(os.path.join(folder, "steps.jsonl")) + [r for r in history if "eval_loss" in r]


def losses(folder):
    """(step, loss) as trainer_log.jsonl has them."""
    rows = read_jsonl(os.path.join(folder, "trainer_log.jsonl"))
    return [(r["current_steps"], r["loss"]) for r in rows if "loss" in r]


def adapter(folder):
    return os.path.join(folder, "adapter_model.safetensors")


def safetensors_problem(path):
    """None, or what is wrong with the outer form of the file."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        head = f.read(8)
        if len(head) < 8:
            return "shorter than its length field"
        length = int.from_bytes(head, "little")
        if length > size - 8:
            return "header is longer than the file"
        try:
            header = json.loads(f.read(length))
        except ValueError:
            return "header is no JSON"
    ends = [t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"]
    if 8 + length + max(ends, default=0) != size:
        return f"{size} bytes, header wants {8 + length + max(ends, default=0)}"
    return None


def read_safetensors(path):
    """name -> array of floats; float32 only."""
    with open(path, "rb") as f:
        length = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(length))
        data = f.read()
    out = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        if tensor["dtype"] != "F32":
            raise ValueError(f"{path}: '{name}' is {tensor['dtype']}")
        begin, stop = tensor["data_offsets"]
        out[name] = array.array("f", data[begin:stop])
    return out


def hdf5_problem(path):
    """None, or what is wrong with an HDF5 file: its end, by the superblock, against its size."""
    size = os.path.getsize(path)
    with open(path, "rb") as f:
        start = 0  # a user block before it is 512, 1024, 2048, ... bytes
        while start < size and start <= 1 << 20:
            f.seek(start)
            head = f.read(48)
            if head[:8] == b"\x89HDF\r\n\x1a\n" and len(head) == 48:
                break
            start = 2 * start or 512
        else:
            return "no HDF5 signature"
    offset = 28 if head[8] >= 2 else 40
    eof = int.from_bytes(head[offset : offset + 8], "little")
    return None if eof <= size else f"{size} bytes, superblock wants {eof}"


def torn_files(folder):
    """Files of a run folder that bear a final name but are not whole."""
    bad = []
    for where, folders, files in os.walk(folder):
        folders[:] = [d for d in folders if not is_temporary(d)]
        for name in files:
            path = os.path.join(where, name)
            if is_temporary(name):
                continue
            problem = None
            if name.endswith(".safetensors"):
                problem = safetensors_problem(path)
            elif name.endswith(".h5"):
                problem = hdf5_problem(path)
            elif name.endswith(".json"):
                try:
                    read_json(path)
                except ValueError as e:
                    problem = str(e)
            if problem:
                bad.append(f"{os.path.relpath(path, folder)}: {problem}")
    return bad


def is_temporary(name):
    return name.startswith(".") or ".tmp" in name or name.endswith("~")


def distance(a, b):
    """Euclidean, over all tensors of two adapters."""
    total = 0.0
    for name in a:
        total += math.fsum((x - y) ** 2 for x, y in zip(a[name], b[name]))
    return math.sqrt(total)


def require_program():
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"no program at '{PROGRAM}': build it, or set BUILD or PROGRAM")
