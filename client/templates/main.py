"""A small training job: reads parameters, reports metrics, saves and resumes a checkpoint, leaves a result."""

import argparse
import json
import os
import random
from pathlib import Path

try:
    import foundations  # every job of Atlas finds it
except ImportError:
    foundations = None  # elsewhere the script runs as well, and nothing is tracked

DEFAULTS = {"epochs": 5, "learning_rate": 0.1, "seed": 1}


def parameters():
    """Defaults, then `--params` of the submission, then words of the command."""
    params = dict(DEFAULTS)
    submitted = Path("foundations_job_parameters.json")
    if submitted.exists():
        params.update(json.loads(submitted.read_text()))
    parser = argparse.ArgumentParser()
    for name, default in DEFAULTS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(default), default=params[name])
    return {**params, **vars(parser.parse_args())}


def checkpoint_file():
    """The folder is the same in every attempt: a job that was moved to another machine goes on where it was."""
    folder = Path(os.environ.get("ATLAS_CHECKPOINT_DIR", "checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "state.json"


def save(path, state):
    """Writes beside the old checkpoint and renames, so that there is always a whole one."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(state))
    beside.replace(path)


def main():
    params = parameters()
    print("parameters:", json.dumps(params, sort_keys=True))
    if foundations:
        foundations.log_params(params)
    checkpoint = checkpoint_file()
    if checkpoint.exists():
        state = json.loads(checkpoint.read_text())
        print("resuming after epoch", state["epoch"])
    else:
        state = {"epoch": 0, "loss": 1.0}

    for epoch in range(state["epoch"] + 1, params["epochs"] + 1):
        noise = random.Random(params["seed"] * 1000 + epoch).uniform(0.95, 1.05)
        state = {"epoch": epoch, "loss": state["loss"] * (1 - params["learning_rate"]) * noise}
        print("epoch %d/%d  loss %.4f" % (epoch, params["epochs"], state["loss"]))
        if foundations:
            foundations.log_metric("loss", state["loss"], step=epoch)
        save(checkpoint, state)

    Path("result.json").write_text(json.dumps({"params": params, **state}, indent=2) + "\n")
    if foundations:
        foundations.save_artifact("result.json")
    print("wrote result.json")


if __name__ == "__main__":
    main()
