-- Begins to take a cluster in. ARGV: layout, cluster, where it comes from. Replies with the epoch of whoever moves, or with 0 and
-- changes nothing where there is another cluster, or one that is led.
local cluster = redis.call('GET', CLUSTER)
if cluster then
  local is_led = redis.call('EXISTS', UNFINISHED, GIVEN_AWAY) == 0
  if is_led or cluster ~= ARGV[2] then
    return 0
  end
end
redis.call('SET', LAYOUT_KEY, ARGV[1])
redis.call('SET', CLUSTER, ARGV[2])
redis.call('SET', UNFINISHED, ARGV[3])
redis.call('SET', REVISION, '0')
return redis.call('INCR', EPOCH)
