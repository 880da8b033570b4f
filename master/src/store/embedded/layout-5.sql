-- Layout 5: jobs are listed from memory, and no longer by these.
DROP INDEX jobs_by_project;
DROP INDEX jobs_by_user;
DROP INDEX jobs_by_status;
ALTER TABLE jobs DROP COLUMN project;
ALTER TABLE jobs DROP COLUMN user;
