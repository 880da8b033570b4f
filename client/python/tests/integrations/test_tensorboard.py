"""A writer of TensorBoard's event files tells of scalars as well: that of torch or of tensorboardX, whichever is here."""

from __future__ import annotations

import importlib
import json
from typing import Any

from cluster import Cluster
from conftest import Job

SCRIPT = """
import json
import numpy
from foundations.integrations.tensorboard import SummaryWriter

writer = SummaryWriter("events")
for step in range(3):
    writer.add_scalar("train/loss", numpy.float32(0.5) ** step, step)
writer.add_scalar("later", 1.5, 7)
writer.add_scalars("both", {"a": 1, "b": 2.0}, 1)
writer.add_text("text", "is no metric", 0)
writer.add_hparams({"lr": 0.1, "deep": True}, {"hparam/accuracy": 0.9})
writer.close()

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator("events").Reload()
print(json.dumps([type(writer).__mro__[1].__module__, [[it.step, it.value] for it in found.Scalars("train/loss")]]))
"""


def test_scalars_are_metrics_and_still_in_the_event_files(job: Job) -> None:
    base, written = json.loads(job.script(SCRIPT).stdout)
    assert base.startswith(("torch.", "tensorboardX"))
    assert written == [[0, 1.0], [1, 0.5], [2, 0.25]]
    points = [(it["key"], it.get("step"), it["value"]) for it in job.events("metric")]
    assert points == [
        ("train/loss", 0, 1.0),
        ("train/loss", 1, 0.5),
        ("train/loss", 2, 0.25),
        ("later", 7, 1.5),
        ("both/a", 1, 1),
        ("both/b", 1, 2.0),
        ("hparam/accuracy", None, 0.9),
    ]
    assert {it["key"]: it["value"] for it in job.events("param")} == {"lr": 0.1, "deep": True}


def test_of_several_ranks_the_first_tells(job: Job) -> None:
    job.script(SCRIPT, RANK="2")
    assert job.events() == []


OF_2020 = """
import foundations
try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    from tensorboardX import SummaryWriter

foundations.set_tensorboard_logdir("train_logs")
with SummaryWriter("train_logs/first") as writer:
    for step in range(3):
        writer.add_scalar("loss", 0.5**step, step)
"""


def test_what_the_library_writes_in_a_job_is_read_at_the_master(cluster: Cluster, submitting: Any, job: Job) -> None:
    (job.folder / "main.py").write_text(OF_2020)
    deployment = submitting.submit(scheduler_config="scheduler", command="main.py")
    deployment.wait_for_deployment_to_complete(timeout=300)
    assert deployment.get_job_status() == "completed", deployment.get_job_logs()
    assert cluster.get("/jobs/%s/run" % deployment.job_id)["tags"] == {"tf": "tf"}
    cluster.atlas("get", "job", "scheduler", deployment.job_id, cwd=job.root)
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    kept = reader.EventAccumulator(str(job.root / deployment.job_id / "tensorboard" / "first")).Reload()
    assert [(it.step, it.value) for it in kept.Scalars("loss")] == [(0, 1.0), (1, 0.5), (2, 0.25)]
