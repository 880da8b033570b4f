-- One commit: everything in it, or nothing. ARGV: epoch, revision before, revision, next position, then the records, each a word
-- and its values (see write.rs). A script is not undone when it breaks off, so all is looked at before anything is written.
local epoch = redis.call('GET', EPOCH) or '0'
local revision = redis.call('GET', REVISION) or '0'
if epoch ~= ARGV[1] or revision ~= ARGV[2] then
  return {'overtaken', epoch, revision}
end

-- How many values follow each word.
local VALUES = {queued = 8, changed = 5, run = 2, deleted = 1, project = 2, project_removed = 1, node = 2, node_removed = 1, granted = 1}
-- More records than a call takes lie in a list, each in JSON; how many there are comes with the word.
local staged = ARGV[5] == 'staged' and STAGED .. ARGV[1]
if staged and redis.call('LLEN', staged) ~= tonumber(ARGV[6]) then
  return {'not staged'}
end

local function each_staged_record(act)
  for from = 0, tonumber(ARGV[6]) - 1, 1000 do
    for _, record in ipairs(redis.call('LRANGE', staged, from, from + 999)) do
      local words = cjson.decode(record)
      local refused = act(words, 1)
      if refused then
        return refused
      end
    end
  end
end

-- `act` gets the words, and where the record begins among them.
local function each_record(act)
  if staged then
    return each_staged_record(act)
  end
  local at = 5
  while at <= #ARGV do
    local refused = act(ARGV, at)
    if refused then
      return refused
    end
    at = at + 1 + VALUES[ARGV[at]]
  end
end

-- What this commit itself has made of ids and positions so far.
local there, taken = {}, {}

local function is_there(id)
  if there[id] == nil then
    there[id] = redis.call('EXISTS', JOB .. id) == 1
  end
  return there[id]
end

local function is_taken(position)
  return taken[position] or redis.call('ZCOUNT', JOBS, position, position) > 0
end

local contradiction = each_record(function(words, at)
  local word, id = words[at], words[at + 1]
  if word == 'queued' then
    local position = words[at + 2]
    if is_there(id) or is_taken(position) then
      return 'job ' .. id .. ' or another one at position ' .. position .. ' is there already'
    end
    there[id], taken[position] = true, true
  elseif word == 'changed' then
    if not is_there(id) then
      return 'job ' .. id .. ' changed, which is not there'
    end
  elseif word == 'deleted' then
    there[id] = false
  end
end)
if contradiction then
  return {'contradiction', contradiction}
end

local function put(set, wanted, position, id)
  if wanted then
    redis.call('ZADD', set, position, id)
  else
    redis.call('ZREM', set, id)
  end
end

local function place(id, position, waits, live, host)
  put(QUEUE, waits == '1', position, id)
  put(LIVE, live == '1', position, id)
  if host == '' then
    redis.call('HDEL', JOB_HOST, id)
  else
    redis.call('HSET', JOB_HOST, id, host)
  end
end

local write = {}

function write.queued(words, at)
  local id, position, waits, live, host, bundle, spec, state = unpack(words, at + 1, at + 8)
  redis.call('HSET', JOB .. id, 'position', position, 'bundle', bundle, 'spec', spec, 'state', state)
  redis.call('ZADD', JOBS, position, id)
  redis.call('ZADD', IDS, 0, id)
  redis.call('INCR', BUNDLE .. bundle)
  place(id, position, waits, live, host)
end

function write.changed(words, at)
  local id, waits, live, host, state = unpack(words, at + 1, at + 5)
  local key = JOB .. id
  redis.call('HSET', key, 'state', state)
  place(id, redis.call('HGET', key, 'position'), waits, live, host)
end

function write.run(words, at)
  local key = JOB .. words[at + 1]
  if redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'run', words[at + 2])
  end
end

function write.deleted(words, at)
  local id = words[at + 1]
  local key = JOB .. id
  local bundle = redis.call('HGET', key, 'bundle')
  if not bundle then
    return
  end
  for _, set in ipairs({JOBS, IDS, QUEUE, LIVE}) do
    redis.call('ZREM', set, id)
  end
  redis.call('HDEL', JOB_HOST, id)
  redis.call('DEL', key)
  if redis.call('DECR', BUNDLE .. bundle) <= 0 then
    redis.call('DEL', BUNDLE .. bundle)
  end
end

function write.project(words, at)
  redis.call('HSET', PROJECTS, words[at + 1], words[at + 2])
end

function write.project_removed(words, at)
  redis.call('HDEL', PROJECTS, words[at + 1])
end

function write.node(words, at)
  redis.call('HSET', NODES, words[at + 1], words[at + 2])
end

function write.node_removed(words, at)
  redis.call('HDEL', NODES, words[at + 1])
end

function write.granted(words, at)
  redis.call('SET', GRANTED, words[at + 1])
end

each_record(function(words, at)
  write[words[at]](words, at)
end)
if staged then
  redis.call('DEL', staged)
end
redis.call('SET', REVISION, ARGV[3])
if tonumber(ARGV[4]) > tonumber(redis.call('GET', NEXT_POSITION) or '1') then
  redis.call('SET', NEXT_POSITION, ARGV[4])
end
return {'done'}
