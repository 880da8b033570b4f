"""Copies of the last job of a store and of what it told, with other numbers, behind it: FILE COPIES."""

import json
import random
import sqlite3
import sys

file, copies = sys.argv[1], int(sys.argv[2])
random.seed(7)


def other(run):
    value = run["value"]
    for key, param in value["params"].items():
        value["params"][key] = random.random() if isinstance(param, float) else random.choice(["adam", "sgd", "lion"])
    for metric in value["metrics"].values():
        least, last, most = sorted(random.random() for _ in range(3))
        metric["last"], metric["min"]["value"], metric["max"]["value"] = last, least, most
    return json.dumps(run)


with sqlite3.connect(file) as store:
    (last,) = store.execute("SELECT max(position) FROM jobs").fetchone()
    columns = "status, live, bundle, state"
    job = store.execute(f"SELECT {columns} FROM jobs WHERE position = ?", (last,)).fetchone()
    (spec,) = store.execute("SELECT spec FROM specs WHERE position = ?", (last,)).fetchone()
    (run,) = store.execute("SELECT run FROM runs WHERE position = ?", (last,)).fetchone()
    state, run = json.loads(job[-1]), json.loads(run)
    for n in range(1, copies + 1):
        position = last + n
        state["value"]["position"] = position
        row = (position, f"{n:08x}-0000-4000-8000-{n:012x}", *job[:-1], json.dumps(state))
        store.execute(f"INSERT INTO jobs (position, id, {columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
        store.execute("INSERT INTO specs (position, spec) VALUES (?, ?)", (position, spec))
        store.execute("INSERT INTO runs (position, run) VALUES (?, ?)", (position, other(run)))
    store.execute("UPDATE meta SET next_position = ?", (last + copies + 1,))
