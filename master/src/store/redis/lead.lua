-- Takes the lead: the epoch rises by one. ARGV: layout, id for the cluster if this Redis has none yet.
-- Replies with layout, cluster, epoch, revision; with another layout nothing was changed.
local layout = redis.call('GET', LAYOUT_KEY)
if layout and layout ~= ARGV[1] then
  return {layout, '', '0', '0'}
end
redis.call('SET', LAYOUT_KEY, ARGV[1])
redis.call('SET', CLUSTER, ARGV[2], 'NX')
local epoch = redis.call('INCR', EPOCH)
local revision = redis.call('GET', REVISION) or '0'
return {ARGV[1], redis.call('GET', CLUSTER), tostring(epoch), revision}
