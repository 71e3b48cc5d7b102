-- The request of a place goes out only now. KEYS: the uses that it is in. ARGV: its id, how long it counts (ms).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, uses in ipairs(KEYS) do
    redis.call('ZADD', uses, string.format('%.0f', now + ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', uses, ARGV[2] + 1000)
end
