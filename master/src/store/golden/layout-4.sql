CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  cluster TEXT NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  next_position INTEGER NOT NULL DEFAULT 1,
  granted_ms INTEGER
, given_away TEXT, unfinished TEXT) STRICT;
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
CREATE TABLE specs (
  position INTEGER PRIMARY KEY,
  spec TEXT NOT NULL
) STRICT;
CREATE TABLE nodes (
  name TEXT PRIMARY KEY,
  node TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
  position INTEGER PRIMARY KEY,
  run TEXT NOT NULL
) STRICT;
CREATE TABLE projects (
  name TEXT PRIMARY KEY,
  about TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES(1,'golden',1,1,13,3600000,NULL,NULL);
INSERT INTO jobs VALUES(1,'00000001-0000-4000-8000-000000000000','my-project','ada','queued',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000001,"position":1,"attempt":0,"state":{"state":"queued"}}}');
INSERT INTO jobs VALUES(2,'00000002-0000-4000-8000-000000000000','my-project','ada','queued',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000002,"position":2,"attempt":0,"state":{"state":"queued","excluded":[{"node":"b","reason":"image: there is no atlas/worker"}]}}}');
INSERT INTO jobs VALUES(3,'00000003-0000-4000-8000-000000000000','my-project','ada','queued',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000003,"position":3,"attempt":1,"state":{"state":"placed","placement":{"node":"a","gpus":["GPU-0","MIG-1/2"],"attempt":1},"excluded":[{"node":"b","reason":"image: there is no atlas/worker"}]}}}');
INSERT INTO jobs VALUES(4,'00000004-0000-4000-8000-000000000000','my-project','ada','running',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000004,"position":4,"attempt":1,"state":{"state":"running","placement":{"node":"a","gpus":["GPU-0","MIG-1/2"],"attempt":1},"started":1700000000500}}}');
INSERT INTO jobs VALUES(5,'00000005-0000-4000-8000-000000000000','my-project','ada','queued',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000005,"position":5,"attempt":1,"state":{"state":"stopping","placement":{"node":"a","gpus":["GPU-0","MIG-1/2"],"attempt":1},"by":"ada"}}}');
INSERT INTO jobs VALUES(6,'00000006-0000-4000-8000-000000000000','my-project','ada','running',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000006,"position":6,"attempt":1,"state":{"state":"stopping","placement":{"node":"a","gpus":["GPU-0","MIG-1/2"],"attempt":1},"started":1700000000500,"by":"ada"}}}');
INSERT INTO jobs VALUES(7,'00000007-0000-4000-8000-000000000000','my-project','ada','completed',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000007,"position":7,"attempt":1,"state":{"state":"archiving","placement":{"node":"a","gpus":["GPU-0","MIG-1/2"],"attempt":1},"end":{"outcome":"completed","at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0}}}}');
INSERT INTO jobs VALUES(8,'00000008-0000-4000-8000-000000000000','my-project','ada','completed',0,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000008,"position":8,"attempt":0,"state":{"state":"done","end":{"outcome":"completed","at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0},"node":"a","archive":{"archive":"complete"}}}}');
INSERT INTO jobs VALUES(9,'00000009-0000-4000-8000-000000000000','my-project','ada','failed',0,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000009,"position":9,"attempt":0,"state":{"state":"done","end":{"outcome":"failed","cause":{"kind":"exit-code","value":3},"detail":"it said no","at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0},"node":"a","archive":{"archive":"complete"}}}}');
INSERT INTO jobs VALUES(10,'0000000a-0000-4000-8000-000000000000','my-project','ada','completed',0,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000010,"position":10,"attempt":0,"state":{"state":"done","end":{"outcome":"completed","at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0},"archive":{"archive":"bundle-only"}}}}');
INSERT INTO jobs VALUES(11,'0000000b-0000-4000-8000-000000000000','my-project','ada','completed',0,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000011,"position":11,"attempt":0,"state":{"state":"done","end":{"outcome":"completed","at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0},"archive":{"archive":"incomplete","reason":"over 20 GB"}}}}');
INSERT INTO jobs VALUES(12,'0000000c-0000-4000-8000-000000000000','my-project','ada','failed',1,'abababababababababababababababababababababababababababababababab','{"v":1,"value":{"submitted":1700000000012,"position":12,"attempt":0,"state":{"state":"deleting","end":{"outcome":"failed","cause":{"kind":"stopped-by","value":"ada"},"at":1700000001000,"started":1700000000500,"log_length":5,"spool_length":0}}}}');
INSERT INTO specs VALUES(1,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(2,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO specs VALUES(3,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(4,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO specs VALUES(5,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(6,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO specs VALUES(7,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(8,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO specs VALUES(9,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(10,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO specs VALUES(11,'{"v":1,"value":{"project":"my-project","user":"ada","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py"],"demand":{"gpus":0}}}');
INSERT INTO specs VALUES(12,'{"v":1,"value":{"project":"my-project","user":"ada","name":"baseline","tags":{"lr":"0.1","seed":""},"note":"don''t stop","bundle":{"id":"abababababababababababababababababababababababababababababababab","tar_size":10240,"files":3},"command":["main.py","--epochs","5"],"entrypoint":["python3","-u"],"demand":{"gpus":2,"cpu_milli":1500,"memory":8000000000},"shm":1000000000,"worker":{"image":"atlas/worker","pull":"never","env":{"MY_ENV_VAR":"MY_VALUE"},"volumes":[{"host":"/mnt/a","bind":"/data","read_only":true},{"host":"/mnt/b","bind":"/data"}],"python":"python3.11","working_dir":"/job/src"},"params":"{\"epochs\": 5}","outputs":{"exclude":["*.tmp"],"max_bytes":5000000000},"wait_for_capacity":true,"fresh_requirements":true,"git":{"commit":"c0ffee","branch":"main","dirty":true},"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}');
INSERT INTO nodes VALUES('gpus','{"v":1,"value":{"spec":{"name":"gpus","identity":"5e3c","boot_id":"b007","address":"127.0.0.1:5000","version":"0.1.0","executor":"process","capacity":{"slots":4,"gpus":[{"id":"GPU-0","index":0,"model":"H200","memory":9}],"cpu_milli":4000,"memory":8589934592},"volumes":[{"prefix":"/mnt","read_only":true}]},"joined":1700000000000,"cordoned":"3 jobs in a row could not start"}}');
INSERT INTO nodes VALUES('plain','{"v":1,"value":{"spec":{"name":"plain","identity":"5e3c","boot_id":"b007","address":"127.0.0.1:5000","version":"0.1.0","executor":"process","capacity":{"slots":4,"gpus":[],"cpu_milli":4000,"memory":8589934592},"volumes":[]},"joined":1700000000000}}');
INSERT INTO runs VALUES(3,'{"v":1,"value":{"params":{"lr \u0000 é":{"$float":"nan"}},"weight":300}}');
INSERT INTO projects VALUES('mnist','{"v":1,"value":{"description":"What it is: *it''s* é","notes":[{"number":1,"author":"ada","at":7,"text":"What it is: *it''s* é\n\"x\" 🚀"}],"last_note":1}}');
PRAGMA user_version = 4;
