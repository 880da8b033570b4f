-- Takes the lead: the epoch rises by one, and above the one of ARGV. ARGV: layout, id for the cluster if this Redis has none yet, epoch.
-- Replies with 'led', cluster, epoch, revision; or with why nobody may lead it, and then nothing was changed.
local layout = redis.call('GET', LAYOUT_KEY)
if layout and (tonumber(layout) or math.huge) > tonumber(ARGV[1]) then
  return {'layout', layout}
end
local from = redis.call('GET', UNFINISHED)
if from then
  return {'unfinished', from}
end
local to = redis.call('GET', GIVEN_AWAY)
if to then
  return {'given away', to}
end
-- From here on no program of the layout before writes; what it left is removed afterwards (step.rs).
if layout and layout ~= ARGV[1] then
  redis.call('SET', STEPPED_FROM, layout)
end
redis.call('SET', LAYOUT_KEY, ARGV[1])
redis.call('SET', CLUSTER, ARGV[2], 'NX')
if tonumber(redis.call('GET', EPOCH) or '0') < tonumber(ARGV[3]) then
  redis.call('SET', EPOCH, ARGV[3])
end
local epoch = redis.call('INCR', EPOCH)
local revision = redis.call('GET', REVISION) or '0'
return {'led', redis.call('GET', CLUSTER), tostring(epoch), revision}
