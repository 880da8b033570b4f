-- A server that came back older may have forgotten its leader too: that leader takes its place again, and writes back what is
-- missing. ARGV: layout, cluster, epoch, the revision that was found. Replies with 1, or 0 if that is not what is there.
local cluster = redis.call('GET', CLUSTER)
local epoch = tonumber(redis.call('GET', EPOCH) or '0')
local revision = redis.call('GET', REVISION) or '0'
if (cluster and cluster ~= ARGV[2]) or epoch > tonumber(ARGV[3]) or revision ~= ARGV[4] then
  return 0
end
local layout = redis.call('GET', LAYOUT_KEY)
if layout and layout ~= ARGV[1] then
  redis.call('SET', STEPPED_FROM, layout)
end
redis.call('SET', LAYOUT_KEY, ARGV[1])
redis.call('SET', CLUSTER, ARGV[2])
redis.call('SET', EPOCH, ARGV[3])
return 1
