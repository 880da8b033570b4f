"""One launch is one run, however many processes it has and however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

from conftest import Job

SPAWNED = """
import multiprocessing, os, sys
import foundations

def work(worker):
    for step in range(200):
        foundations.log_metric("loss", float(step), step=step)
    foundations.log_metric("worker", worker)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(it,)) for it in range(2)]
    for it in workers: it.start()
    for it in workers: it.join()
    foundations.log_param("rank " + os.environ["RANK"], 1)
    sys.exit(sum(it.exitcode for it in workers))
"""


def test_four_ranks_with_two_spawned_workers_each_are_one_run(job: Job) -> None:
    (job.folder / "train.py").write_text(SPAWNED)
    env = {**os.environ, **job.variables}
    ranks = [
        subprocess.Popen([sys.executable, "train.py"], cwd=job.folder, env={**env, "RANK": str(it)}) for it in range(4)
    ]
    assert [it.wait() for it in ranks] == [0] * 4
    points = Counter((it.get("rank", 0), it["key"]) for it in job.events("metric"))
    assert points == {**{(it, "loss"): 400 for it in range(4)}, **{(it, "worker"): 2 for it in range(4)}}
    assert sorted(it["key"] for it in job.events("param")) == ["rank 0", "rank 1", "rank 2", "rank 3"]
    assert len(job.events("facts")) == 1, "the first of them tells what it is"


def test_forks_and_threads_tear_no_line(job: Job, sdk: Any) -> None:
    def log(who: str) -> None:
        for step in range(500):
            sdk.log_metrics({who: step, "other " + who: "x" * 100}, step=step)

    log("parent")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            log("child %d" % number)
            os._exit(0)
        children.append(child)
    threads = [threading.Thread(target=log, args=("thread %d" % it,)) for it in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(it, 0)[1] for it in children] == [0] * 3
    points = Counter(it["key"] for it in job.events("metric"))
    assert len(points) == 14
    assert set(points.values()) == {500}


def test_a_fork_has_the_rank_that_it_is_given(job: Job) -> None:
    job.script(
        "import os, foundations\n"
        "foundations.log_metric('m', 0)\n"
        "if os.fork() == 0:\n"
        "    os.environ['RANK'] = '3'\n"
        "    foundations.log_metric('m', 1)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "foundations.log_metric('m', 2)\n"
    )
    assert [(it["value"], it.get("rank")) for it in job.events("metric")] == [(0, None), (1, 3), (2, None)]


def test_the_rank_is_what_the_launcher_says(job: Job) -> None:
    text = "import foundations; foundations.log_metric('m', 1)"
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        job.script(text, **{name: "2"})
    job.script(text, RANK="1", SLURM_PROCID="0")
    job.script(text, RANK="of honour")
    assert [it.get("rank") for it in job.events("metric")] == [2, 2, 2, 2, 1, None]


def test_what_was_logged_is_there_when_the_script_is_killed_right_after(job: Job) -> None:
    (job.folder / "main.py").write_text(
        "import os, signal, foundations\n"
        "for step in range(1000): foundations.log_metric('loss', 0.5, step=step)\n"
        "foundations.set_tag('last')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert job.run("main.py").returncode == -signal.SIGKILL
    assert [it["step"] for it in job.events("metric")] == list(range(1000))
    assert job.events()[-1]["key"] == "last"


def test_shells_and_scripts_share_a_run(job: Job) -> None:
    job.script(
        "import subprocess, sys, foundations\n"
        "foundations.log_param('from', 'parent')\n"
        "subprocess.run([sys.executable, '-c', 'import foundations; foundations.set_tag(\"from child\")'], check=True)\n"
    )
    assert [it["key"] for it in job.events()] == ["from", "from child"]
    assert len(job.events("facts")) == 1
