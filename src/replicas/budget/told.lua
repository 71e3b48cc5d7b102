-- What Ironclad said of a limit. KEYS: its facts.
-- ARGV: for how long it is closed (ms, or 0), what is left (or -1), until when (ms from now), the limit (or 0).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function set(name, value)
    redis.call('HSET', KEYS[1], name, string.format('%.0f', value))
end
local known = redis.call('HMGET', KEYS[1], 'closed', 'left', 'until')
-- No word closes a limit for more than ten minutes.
local closed, ends = math.min(ARGV[1], 600000), now + math.min(ARGV[3], 600000)
if closed > 0 then
    set('closed', math.max(now + closed, tonumber(known[1] or 0)))
end
if tonumber(ARGV[2]) >= 0 then
    local left = tonumber(ARGV[2])
    -- Answers overtake each other: of one window the least is the newest word. Its end is told in whole seconds.
    if tonumber(known[3] or 0) > now and ends <= known[3] + 5000 then
        left, ends = math.min(left, tonumber(known[2])), math.min(ends, tonumber(known[3]))
    end
    set('left', left)
    set('until', ends)
end
if tonumber(ARGV[4]) > 0 then
    set('limit', ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], 3600000)
