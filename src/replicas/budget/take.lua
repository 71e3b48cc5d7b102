-- Takes a place in a bucket and in the company's limit: both or neither.
-- KEYS: uses and facts of the bucket, uses and facts of the company.
-- ARGV: the place's id, how long it counts (ms), when this server may give out anything (ms), the share (millionths),
--       then of the bucket and of the company: the limit, and what of it is in nobody's common count.
-- Gives {0, 0} for a place, else {1 or 2, ms}: the bucket or the company is short, and for how long; or {3, ms}: this server
-- was started so lately that it does not know what was sent.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now < tonumber(ARGV[3]) then
    return {3, tonumber(ARGV[3]) - now}
end

local function known(facts)
    local all = redis.call('HMGET', facts, 'closed', 'left', 'until', 'limit')
    local rests = tonumber(all[3] or 0) > now
    return {closed = tonumber(all[1] or 0), left = rests and tonumber(all[2]), ends = tonumber(all[3] or 0),
        limit = tonumber(all[4] or 0)}
end

local function wait_for(uses, told, limit, spare)
    redis.call('ZREMRANGEBYSCORE', uses, '-inf', now)
    if told.limit > 0 then
        limit = math.min(limit, math.max(1, math.floor(told.limit * ARGV[4] / 1000000) - spare))
    end
    local wait = math.max(0, told.closed - now)
    local over = redis.call('ZCARD', uses) - limit
    if over >= 0 then
        wait = math.max(wait, redis.call('ZRANGE', uses, over, over, 'WITHSCORES')[2] - now)
    end
    if told.left and told.left <= 0 then
        wait = math.max(wait, told.ends - now)
    end
    return wait
end

local facts = {known(KEYS[2]), known(KEYS[4])}
for which = 1, 2 do
    local limit, spare = tonumber(ARGV[3 + 2 * which]), tonumber(ARGV[4 + 2 * which])
    local wait = wait_for(KEYS[2 * which - 1], facts[which], limit, spare)
    if wait > 0 then
        return {which, math.ceil(wait)}
    end
end
for which = 1, 2 do
    local uses = KEYS[2 * which - 1]
    redis.call('ZADD', uses, string.format('%.0f', now + ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', uses, ARGV[2] + 1000)
    if facts[which].left then
        redis.call('HINCRBY', KEYS[2 * which], 'left', -1)
    end
end
return {0, 0}
