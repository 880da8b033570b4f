-- Layout 2: a store whose cluster was moved to another one, or is on its way into this one, is led by nobody.
ALTER TABLE meta ADD COLUMN given_away TEXT;
ALTER TABLE meta ADD COLUMN unfinished TEXT;
