-- Layout 4: what people wrote of a project.
CREATE TABLE projects (
  name TEXT PRIMARY KEY,
  about TEXT NOT NULL
) STRICT, WITHOUT ROWID;
