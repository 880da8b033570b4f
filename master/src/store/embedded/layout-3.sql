-- Layout 3: what a job tells of itself, apart from its state: each changes without the other.
CREATE TABLE runs (
  position INTEGER PRIMARY KEY,
  run TEXT NOT NULL
) STRICT;
