-- Layout 1. Never changed once released: what comes next is a file of its own.
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  cluster TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  next_position INTEGER NOT NULL DEFAULT 1,
  granted_ms INTEGER
) STRICT;

-- The position is the order of submission and of the queue. The host of a job is in its state.
CREATE TABLE jobs (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL,
  user TEXT NOT NULL,
  status TEXT NOT NULL,
  live INTEGER NOT NULL,
  bundle TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_by_project ON jobs (project);
CREATE INDEX jobs_by_user ON jobs (user);
CREATE INDEX jobs_by_status ON jobs (status);
CREATE INDEX jobs_by_bundle ON jobs (bundle);
CREATE INDEX live_jobs ON jobs (live) WHERE live = 1;

-- Apart from what changes with every step of a job, so that a large one is written once.
CREATE TABLE specs (
  position INTEGER PRIMARY KEY,
  spec TEXT NOT NULL
) STRICT;

CREATE TABLE nodes (
  name TEXT PRIMARY KEY,
  node TEXT NOT NULL
) STRICT, WITHOUT ROWID;
