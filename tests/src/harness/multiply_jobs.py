"""Copies of the last job of a store, behind it: FILE COPIES."""

import sqlite3
import sys

file, copies = sys.argv[1], int(sys.argv[2])
with sqlite3.connect(file) as store:
    (last,) = store.execute("SELECT max(position) FROM jobs").fetchone()
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :copies)"
    store.execute(
        f"""{numbers} INSERT INTO jobs (position, id, status, live, bundle, state)
        SELECT :last + n, printf('%08x-0000-4000-8000-%012x', n, n), status, live, bundle,
               json_set(state, '$.value.position', :last + n)
        FROM numbers, (SELECT * FROM jobs ORDER BY position DESC LIMIT 1)""",
        {"copies": copies, "last": last},
    )
    store.execute(
        f"""{numbers} INSERT INTO specs (position, spec)
        SELECT :last + n, spec FROM numbers, (SELECT spec FROM specs ORDER BY position DESC LIMIT 1)""",
        {"copies": copies, "last": last},
    )
    store.execute("UPDATE meta SET next_position = ?", (last + copies + 1,))
