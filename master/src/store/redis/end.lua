-- The end of a move, on either side. ARGV: epoch and revision at which whoever moves left this store, then `finish`, epoch, revision,
-- next position; or `give away`, to where. Replies with what was found; only where that is what was expected, it is done.
local epoch = redis.call('GET', EPOCH) or '0'
local revision = redis.call('GET', REVISION) or '0'
if epoch == ARGV[1] and revision == ARGV[2] then
  if ARGV[3] == 'finish' then
    redis.call('SET', EPOCH, ARGV[4])
    redis.call('SET', REVISION, ARGV[5])
    redis.call('SET', NEXT_POSITION, ARGV[6])
    redis.call('DEL', UNFINISHED)
  else
    redis.call('SET', GIVEN_AWAY, ARGV[4])
  end
end
return {epoch, revision}
