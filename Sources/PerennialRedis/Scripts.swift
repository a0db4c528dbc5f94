/// The scripts of stores and queues. Each is about one cache, whose keys all have the same hash tag, so that a cluster
/// has them in one slot.
///
/// `KEYS[1]` is the cache's ledger; `ARGV[1]` the beginning of all its keys, `ARGV[2]` the prefix of the channels, `ARGV[3]` the
/// cache's name.
///
/// | key | what it is |
/// |---|---|
/// | `…:h` | the ledger: a hash of counters |
/// | `…:e:KEY` | an entry: a hash of `g` generation, `o` what a save writes, `m` what a confirmation writes too, `s` when it was marked stale, `v` the value or `b` the name of the key that has it; expires by itself |
/// | `…:v:NAME` | a large value |
/// | `…:c` | hash: for each key its generation, cost (-1: a tombstone) and tags |
/// | `…:k` | the keys of all entries, in their order |
/// | `…:d`, `…:u`, `…:x` | keys by when they are dead, were last used, were removed |
/// | `…:t:TAG` | the keys with this tag, in their order |
/// | `…:p`, `…:pa` | purges (`c`, or `t` and the tag) by generation and by time |
/// | `…:l:KEY` | a lease: until when, when taken, the token; expires by itself |
/// | `…:j` | hash: the refresh jobs by key |
/// | `…:q`, `…:i`, `…:dl` | jobs that are queued or running by when they are due; all by id; dead letters by time |
enum Scripts {
    static let all = [
        save, lease, extendLease, releaseLease, claim, purgeKey, purgeTag, purgeCache, maintain, evict, sweep, enqueue,
        dequeue, settle, replay, jobs,
    ]

    private static let common = """
        local B, P, CACHE, H = ARGV[1], ARGV[2], ARGV[3], KEYS[1]

        -- Numbers of 16 digits, which Lua would write with an exponent.
        local function text(number) return string.format('%.0f', number) end

        local function counter(name) return tonumber(redis.call('HGET', H, name)) or 0 end

        -- Grows with the clock, so that it does not fall back when the server has lost everything.
        local function nextGeneration()
            local time = redis.call('TIME')
            local now = time[1] * 1000000 + time[2]
            local last = counter('seq')
            if now <= last then now = last + 1 end
            redis.call('HSET', H, 'seq', text(now))
            return now
        end

        local function fence() return redis.call('HGET', H, 'seq') or '0' end

        local function known(key)
            local line = redis.call('HGET', B .. ':c', key)
            if not line then return nil end
            local generation, cost, tags = string.match(line, '^(%d+) (-?%d+) (.*)$')
            return {generation = tonumber(generation), cost = tonumber(cost), tags = tags}
        end

        local function setKnown(key, generation, cost, tags)
            redis.call('HSET', B .. ':c', key, text(generation) .. ' ' .. text(cost) .. ' ' .. tags)
        end

        local function tagList(packed)
            if packed == '' then return {} end
            return cmsgpack.unpack(packed)
        end

        local function record(key)
            return redis.call('HMGET', B .. ':e:' .. key, 'g', 'o', 'm', 's', 'v', 'b')
        end

        local function announce(generation, keys)
            local parts = {text(generation), ' ', #CACHE, ':', CACHE}
            for _, key in ipairs(keys) do
                parts[#parts + 1] = #key
                parts[#parts + 1] = ':'
                parts[#parts + 1] = key
            end
            redis.call('PUBLISH', P .. ':changes', table.concat(parts))
        end

        -- Deletes all of an entry but what is known about its key.
        local function delete(key, old)
            local name = redis.call('HGET', B .. ':e:' .. key, 'b')
            if name then redis.call('UNLINK', B .. ':v:' .. name) end
            local count = redis.call('UNLINK', B .. ':e:' .. key)
            redis.call('ZREM', B .. ':k', key)
            redis.call('ZREM', B .. ':d', key)
            redis.call('ZREM', B .. ':u', key)
            for _, tag in ipairs(tagList(old.tags)) do redis.call('ZREM', B .. ':t:' .. tag, key) end
            redis.call('HINCRBY', H, 'bytes', 0 - old.cost)
            redis.call('HINCRBY', H, 'entries', -1)
            return count
        end

        -- Leases from before the cache was emptied have ended.
        local function lease(key, now)
            local line = redis.call('GET', B .. ':l:' .. key)
            if not line then return nil end
            local til, since, token = string.match(line, '^(%d+) (%d+) (.*)$')
            if tonumber(til) <= now or tonumber(since) < counter('emptied') then return nil end
            return til, token
        end

        -- Returns until when somebody else holds it.
        local function takeLease(key, token, til, now)
            local held, holder = lease(key, tonumber(now))
            if held and holder ~= token then return held end
            local life = math.max(tonumber(til) - tonumber(now), 0) + 60000
            redis.call('SET', B .. ':l:' .. key, til .. ' ' .. fence() .. ' ' .. token, 'PX', text(math.min(life, 4e12)))
            return nil
        end

        local function releaseLease(key, token)
            local line = redis.call('GET', B .. ':l:' .. key)
            if line and string.match(line, '^%d+ %d+ (.*)$') == token then redis.call('DEL', B .. ':l:' .. key) end
        end

        """

    /// ARGV: key, fence or '', lease token or '', whether a confirmation, o, m, s or '', v, name of a large value or '', when
    /// dead, milliseconds to live, when used, cost, tags…
    /// Returns the generation; nothing when superseded.
    static let save = RedisScript(
        "save",
        common + """
            local key, fenced, token, isConfirmation = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1'
            local cost = tonumber(ARGV[16])
            local tags = {}
            for index = 17, #ARGV do tags[#tags + 1] = ARGV[index] end
            if token ~= '' then releaseLease(key, token) end
            local E = B .. ':e:' .. key
            local old = known(key)
            local isLive = old and old.cost >= 0
            if isConfirmation then
                if not isLive or redis.call('EXISTS', E) == 0 then return false end
            end
            if fenced then
                local written = old and old.generation or counter('forgotten_keys')
                if fenced < written or fenced < counter('forgotten_purges') then return false end
                if fenced < counter('last_purge') then
                    local function isPurged(name)
                        local generation = redis.call('ZSCORE', B .. ':p', name)
                        return generation and fenced < tonumber(generation)
                    end
                    if isPurged('c') then return false end
                    for _, tag in ipairs(tags) do
                        if isPurged('t' .. tag) then return false end
                    end
                end
            end
            local packed = ''
            if #tags > 0 then packed = cmsgpack.pack(tags) end
            local generation = nextGeneration()
            if isConfirmation then
                local function size(list)
                    local sum = 0
                    for _, tag in ipairs(list) do sum = sum + #tag end
                    return sum
                end
                cost = old.cost
                if packed ~= old.tags then cost = cost + size(tags) - size(tagList(old.tags)) end
                redis.call('HSET', E, 'g', text(generation), 'm', ARGV[9])
            else
                local name = isLive and redis.call('HGET', E, 'b')
                if name and name ~= ARGV[12] then redis.call('UNLINK', B .. ':v:' .. name) end
                if ARGV[12] == '' then
                    redis.call('HSET', E, 'g', text(generation), 'o', ARGV[8], 'm', ARGV[9], 'v', ARGV[11])
                    if name then redis.call('HDEL', E, 'b') end
                else
                    redis.call('HSET', E, 'g', text(generation), 'o', ARGV[8], 'm', ARGV[9], 'b', ARGV[12])
                    redis.call('HDEL', E, 'v')
                end
            end
            if ARGV[10] ~= '' then redis.call('HSET', E, 's', ARGV[10]) else redis.call('HDEL', E, 's') end
            local name = redis.call('HGET', E, 'b')
            if ARGV[14] ~= '' then
                redis.call('PEXPIRE', E, ARGV[14])
                if name then redis.call('PEXPIRE', B .. ':v:' .. name, ARGV[14]) end
            else
                redis.call('PERSIST', E)
                if name then redis.call('PERSIST', B .. ':v:' .. name) end
            end
            redis.call('ZADD', B .. ':d', ARGV[13], key)
            redis.call('ZADD', B .. ':u', 'GT', ARGV[15], key)
            if not isLive then
                redis.call('ZADD', B .. ':k', 0, key)
                redis.call('HINCRBY', H, 'entries', 1)
                redis.call('HINCRBY', H, 'bytes', cost)
                if old then redis.call('ZREM', B .. ':x', key) end
            elseif cost ~= old.cost then
                redis.call('HINCRBY', H, 'bytes', cost - old.cost)
            end
            if not isLive or packed ~= old.tags then
                if isLive then
                    for _, tag in ipairs(tagList(old.tags)) do redis.call('ZREM', B .. ':t:' .. tag, key) end
                end
                for _, tag in ipairs(tags) do redis.call('ZADD', B .. ':t:' .. tag, 0, key) end
            end
            setKnown(key, generation, cost, packed)
            announce(generation, {key})
            return text(generation)
            """)

    // MARK: Leases

    /// ARGV: token, until, now, keys… Returns the fence, then for each key until when somebody else holds it or '', and its record.
    static let lease = RedisScript(
        "lease",
        common + """
            local found = {fence()}
            for index = 7, #ARGV do
                found[#found + 1] = takeLease(ARGV[index], ARGV[4], ARGV[5], ARGV[6]) or ''
                found[#found + 1] = record(ARGV[index])
            end
            return found
            """)

    /// ARGV: key, token, until, now. Returns 1 when the lease is the token's.
    static let extendLease = RedisScript(
        "extendLease",
        common + """
            if takeLease(ARGV[4], ARGV[5], ARGV[6], ARGV[7]) then return 0 end
            return tonumber(ARGV[6]) > tonumber(ARGV[7]) and 1 or 0
            """)

    /// ARGV: key, token.
    static let releaseLease = RedisScript("releaseLease", common + "releaseLease(ARGV[4], ARGV[5])")

    // MARK: Purging

    private static let purging =
        common + """
            -- Returns whether there was an entry.
            local function expire(key, generation, now)
                local E = B .. ':e:' .. key
                if redis.call('EXISTS', E) == 0 then return false end
                local old = known(key)
                local marked = tonumber(redis.call('HGET', E, 's'))
                if not marked or tonumber(now) < marked then marked = now end
                redis.call('HSET', E, 's', marked, 'g', text(generation))
                setKnown(key, generation, old and old.cost or 0, old and old.tags or '')
                return true
            end

            local function leaveTombstone(key, generation, now)
                setKnown(key, generation, -1, '')
                redis.call('ZADD', B .. ':x', now, key)
            end

            local function remove(key, generation, now)
                local old = known(key)
                local count = 0
                if old and old.cost >= 0 then count = delete(key, old) end
                leaveTombstone(key, generation, now)
                redis.call('DEL', B .. ':l:' .. key)
                return count > 0
            end

            local function remember(name, generation, now)
                redis.call('ZADD', B .. ':p', text(generation), name)
                redis.call('ZADD', B .. ':pa', now, name)
                redis.call('HSET', H, 'last_purge', text(generation))
            end

            """

    /// ARGV: expire or remove, now, key. Returns how many.
    static let purgeKey = RedisScript(
        "purgeKey",
        purging + """
            local action, now, key = ARGV[4], ARGV[5], ARGV[6]
            local generation = nextGeneration()
            local isDone
            if action == 'expire' then
                isDone = expire(key, generation, now)
                if not isDone then
                    local old = known(key)
                    if old and old.cost >= 0 then delete(key, old) end
                    leaveTombstone(key, generation, now)
                end
            else
                isDone = remove(key, generation, now)
            end
            announce(generation, {key})
            return isDone and 1 or 0
            """)

    /// A step of a purge by tag. ARGV: expire or remove, now, tag, the generation of the first step or '', where the step before
    /// ended or '', how many keys at most.
    /// Returns the generation of the first step, how many were purged, and where this step ended or nothing at the end.
    static let purgeTag = RedisScript(
        "purgeTag",
        purging + """
            local action, now, tag, first, after, limit = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
            local generation = nextGeneration()
            if first == '' then
                first = text(generation)
                remember('t' .. tag, generation, now)
            end
            local begin = after == '' and '-' or '(' .. string.sub(after, 2)
            local keys = redis.call('ZRANGEBYLEX', B .. ':t:' .. tag, begin, '+', 'LIMIT', 0, limit)
            local purged = {}
            for _, key in ipairs(keys) do
                local old = known(key)
                -- What was written since the first step is not meant.
                if old and old.generation < tonumber(first) or generation == tonumber(first) then
                    local isDone
                    if action == 'expire' then isDone = expire(key, generation, now)
                    else isDone = remove(key, generation, now) end
                    if isDone then purged[#purged + 1] = key end
                end
                if not old then redis.call('ZREM', B .. ':t:' .. tag, key) end
            end
            if #purged > 0 then announce(generation, purged) end
            return {first, #purged, #keys == limit and 'k' .. keys[#keys] or false}
            """)

    /// A step of a purge of the whole cache; as ``purgeTag``, without the tag. Leases end with a removal.
    static let purgeCache = RedisScript(
        "purgeCache",
        purging + """
            local action, now, first, after, limit = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
            local generation = nextGeneration()
            if first == '' then
                first = text(generation)
                remember('c', generation, now)
                if action == 'remove' then redis.call('HSET', H, 'emptied', first) end
            end
            local begin = after == '' and '-' or '(' .. string.sub(after, 2)
            local keys = redis.call('ZRANGEBYLEX', B .. ':k', begin, '+', 'LIMIT', 0, limit)
            local count = 0
            for _, key in ipairs(keys) do
                local old = known(key)
                if not old or old.generation < tonumber(first) or generation == tonumber(first) then
                    if action == 'expire' then
                        if expire(key, generation, now) then count = count + 1 end
                    else
                        count = count + delete(key, old or {cost = 0, tags = ''})
                        -- The memory of the purge covers every key.
                        redis.call('HDEL', B .. ':c', key)
                    end
                end
            end
            if #keys < limit then redis.call('PUBLISH', P .. ':changes', '') end
            return {first, count, #keys == limit and 'k' .. keys[#keys] or false}
            """)

    // MARK: The janitor

    /// ARGV: now, how many of a kind go at most, forget what was marked until then, dead letters until then.
    /// Returns how many dead entries went.
    static let maintain = RedisScript(
        "maintain",
        common + """
            local now, batch = ARGV[4], ARGV[5]
            local function forget(key, generation)
                redis.call('HDEL', B .. ':c', key)
                if generation > counter('forgotten_keys') then redis.call('HSET', H, 'forgotten_keys', text(generation)) end
            end
            local dead = redis.call('ZRANGEBYSCORE', B .. ':d', '-inf', now, 'LIMIT', 0, batch)
            for _, key in ipairs(dead) do
                local old = known(key) or {generation = 0, cost = 0, tags = ''}
                delete(key, old)
                -- Without a tombstone of its own: nobody asked for it to be gone.
                forget(key, old.generation)
            end
            for _, key in ipairs(redis.call('ZRANGEBYSCORE', B .. ':x', '-inf', ARGV[6], 'LIMIT', 0, batch)) do
                local old = known(key)
                if old and old.cost < 0 then forget(key, old.generation) end
                redis.call('ZREM', B .. ':x', key)
            end
            for _, name in ipairs(redis.call('ZRANGEBYSCORE', B .. ':pa', '-inf', ARGV[6], 'LIMIT', 0, batch)) do
                local generation = tonumber(redis.call('ZSCORE', B .. ':p', name)) or 0
                if generation > counter('forgotten_purges') then redis.call('HSET', H, 'forgotten_purges', text(generation)) end
                redis.call('ZREM', B .. ':p', name)
                redis.call('ZREM', B .. ':pa', name)
            end
            for _, key in ipairs(redis.call('ZRANGEBYSCORE', B .. ':dl', '-inf', ARGV[7], 'LIMIT', 0, batch)) do
                local line = redis.call('HGET', B .. ':j', key)
                if line then redis.call('ZREM', B .. ':i', key) end
                redis.call('HDEL', B .. ':j', key)
                redis.call('ZREM', B .. ':dl', key)
                redis.call('HINCRBY', H, 'dead', -1)
            end
            return #dead
            """)

    /// Removes the least recently used. ARGV: pairs of a key and when it was used at last. Returns how many went.
    static let evict = RedisScript(
        "evict",
        common + """
            local count = 0
            for index = 4, #ARGV, 2 do
                local key = ARGV[index]
                local used = redis.call('ZSCORE', B .. ':u', key)
                local old = known(key)
                if used and old and tonumber(used) == tonumber(ARGV[index + 1]) then
                    delete(key, old)
                    redis.call('HDEL', B .. ':c', key)
                    if old.generation > counter('forgotten_keys') then
                        redis.call('HSET', H, 'forgotten_keys', text(old.generation))
                    end
                    count = count + 1
                end
            end
            return count
            """)

    /// Forgets entries that the server has removed by itself. ARGV: where the run before stopped or '', how many keys.
    /// Returns where this run stopped, or nothing at the end.
    static let sweep = RedisScript(
        "sweep",
        common + """
            local begin = ARGV[4] == '' and '-' or '(' .. string.sub(ARGV[4], 2)
            local keys = redis.call('ZRANGEBYLEX', B .. ':k', begin, '+', 'LIMIT', 0, ARGV[5])
            for _, key in ipairs(keys) do
                if redis.call('EXISTS', B .. ':e:' .. key) == 0 then
                    local old = known(key) or {generation = 0, cost = 0, tags = ''}
                    delete(key, old)
                    redis.call('HDEL', B .. ':c', key)
                    if old.generation > counter('forgotten_keys') then
                        redis.call('HSET', H, 'forgotten_keys', text(old.generation))
                    end
                end
            end
            return #keys == tonumber(ARGV[5]) and 'k' .. keys[#keys] or false
            """)

    // MARK: The queue

    private static let queueing =
        common + """
            -- A job: id, state (0 queued, 1 running, 2 dead), at, generation, lease token, queued at, failures, whether its worker
            -- vanished, receipt, worker, error.
            local ID, STATE, AT, GENERATION, TOKEN, QUEUED, FAILURES, LOST, RECEIPT, WORKER, ERROR = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11

            local function job(key)
                local line = redis.call('HGET', B .. ':j', key)
                return line and cmsgpack.unpack(line)
            end

            local function put(key, job) redis.call('HSET', B .. ':j', key, cmsgpack.pack(job)) end

            -- In the order of time, then of ids.
            local function due(id, key) return string.format('%015d', id) .. key end

            -- Those who wait look again. While something is due already, they have been told.
            local function ring(at, now)
                local first = redis.call('ZRANGE', B .. ':q', 0, 0, 'WITHSCORES')
                if not first[1] or tonumber(first[2]) > tonumber(now) or tonumber(at) > tonumber(now) then
                    redis.call('PUBLISH', P .. ':jobs', CACHE)
                end
            end

            -- Returns whether the job is new.
            local function enqueue(key, generation, token, queuedAt, at, now)
                local old = job(key)
                if old and old[STATE] ~= '2' then return false end
                local id = redis.call('HINCRBY', H, 'last_job', 1)
                if old then
                    redis.call('ZREM', B .. ':dl', key)
                    redis.call('HINCRBY', H, 'dead', -1)
                end
                put(key, {id, '0', at, generation, token, queuedAt, 0, '0', '', '', ''})
                ring(at, now)
                redis.call('ZADD', B .. ':i', id, key)
                redis.call('ZADD', B .. ':q', at, due(id, key))
                redis.call('HINCRBY', H, 'queued', 1)
                return true
            end

            """

    /// ARGV: key, generation, lease token, queued at, not before, now. Returns 1 when the job is new.
    static let enqueue = RedisScript(
        "enqueue",
        queueing + """
            return enqueue(ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]) and 1 or 0
            """)

    /// ARGV: key, generation, lease token, queued at, lease until, now.
    /// Returns {'queued'}, {'claimed', until}, or {'newer', fence, record}.
    static let claim = RedisScript(
        "claim",
        queueing + """
            local key, generation, token, queuedAt, til, now = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
            if redis.call('HGET', B .. ':e:' .. key, 'g') ~= generation then return {'newer', fence(), record(key)} end
            local held = takeLease(key, token, til, now)
            if held then return {'claimed', held} end
            if enqueue(key, generation, token, queuedAt, now, now) then return {'queued'} end
            -- A job from an earlier claim still waits, under that claim's token: leave it the lease.
            releaseLease(key, token)
            return {'claimed', til}
            """)

    /// ARGV: how many, worker, until, now. Returns for each job: key, id, generation, token, queued at, failures, whether
    /// redelivered, receipt.
    static let dequeue = RedisScript(
        "dequeue",
        queueing + """
            local limit, worker, til, now = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
            local members = redis.call('ZRANGEBYSCORE', B .. ':q', '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
            if #members == 0 then return {} end
            -- From the same numbers as generations: never given twice.
            local receipt = text(nextGeneration())
            local found = {}
            local begun = 0
            for index = 1, #members, 2 do
                local key = string.sub(members[index], 16)
                local item = job(key)
                if item then
                    local isLost = (item[STATE] == '1' or item[LOST] == '1') and '1' or '0'
                    if item[STATE] == '0' then begun = begun + 1 end
                    item[STATE], item[AT], item[WORKER], item[RECEIPT], item[LOST] = '1', til, worker, receipt, isLost
                    put(key, item)
                    redis.call('ZADD', B .. ':q', til, members[index])
                    found[#found + 1] = {
                        key, item[ID], item[GENERATION], item[TOKEN], item[QUEUED], item[FAILURES], isLost, receipt,
                        members[index + 1]
                    }
                else
                    redis.call('ZREM', B .. ':q', members[index])
                end
            end
            redis.call('HINCRBY', H, 'queued', 0 - begun)
            redis.call('HINCRBY', H, 'running', begun)
            return found
            """)

    /// What workers say of their deliveries. ARGV: what, at, error, then key, id and receipt of each.
    /// What: extend, complete, retry, giveBack, bury. Returns which deliveries were the current ones, as 1 or 0.
    static let settle = RedisScript(
        "settle",
        queueing + """
            local what, at, message = ARGV[4], ARGV[5], ARGV[6]
            local results = {}
            local settled = 0
            for index = 7, #ARGV, 3 do
                local key, id, receipt = ARGV[index], ARGV[index + 1], ARGV[index + 2]
                local item = job(key)
                local isCurrent = item and item[STATE] == '1' and item[RECEIPT] == receipt and tostring(item[ID]) == id
                results[#results + 1] = isCurrent and 1 or 0
                if isCurrent then
                    local member = due(item[ID], key)
                    if what == 'extend' then
                        item[AT] = at
                        put(key, item)
                        redis.call('ZADD', B .. ':q', at, member)
                    elseif what == 'complete' then
                        redis.call('HDEL', B .. ':j', key)
                        redis.call('ZREM', B .. ':i', key)
                        redis.call('ZREM', B .. ':q', member)
                        settled = settled + 1
                    else
                        if what ~= 'giveBack' then
                            item[FAILURES], item[LOST], item[ERROR] = item[FAILURES] + 1, '0', message
                        end
                        item[STATE], item[AT], item[RECEIPT], item[WORKER] = what == 'bury' and '2' or '0', at, '', ''
                        put(key, item)
                        if what == 'bury' then
                            redis.call('ZREM', B .. ':q', member)
                            redis.call('ZADD', B .. ':dl', at, key)
                            redis.call('HINCRBY', H, 'dead', 1)
                        else
                            redis.call('ZADD', B .. ':q', at, member)
                            redis.call('PUBLISH', P .. ':jobs', CACHE)
                            redis.call('HINCRBY', H, 'queued', 1)
                        end
                        settled = settled + 1
                    end
                end
            end
            if settled > 0 then redis.call('HINCRBY', H, 'running', 0 - settled) end
            return results
            """)

    /// ARGV: now, id or '' for all, how many at most. Returns how many were queued again.
    static let replay = RedisScript(
        "replay",
        queueing + """
            local now, id = ARGV[4], ARGV[5]
            local keys
            if id == '' then keys = redis.call('ZRANGE', B .. ':dl', 0, ARGV[6] - 1)
            else keys = redis.call('ZRANGEBYSCORE', B .. ':i', id, id) end
            local count = 0
            for _, key in ipairs(keys) do
                local item = job(key)
                if item and item[STATE] == '2' then
                    item[STATE], item[AT], item[FAILURES], item[LOST], item[ERROR] = '0', now, 0, '0', ''
                    put(key, item)
                    redis.call('ZREM', B .. ':dl', key)
                    redis.call('ZADD', B .. ':q', now, due(item[ID], key))
                    count = count + 1
                elseif not item then
                    redis.call('ZREM', B .. ':dl', key)
                end
            end
            if count > 0 then
                redis.call('HINCRBY', H, 'dead', 0 - count)
                redis.call('HINCRBY', H, 'queued', count)
                redis.call('PUBLISH', P .. ':jobs', CACHE)
            end
            return count
            """)

    /// ARGV: behind which id, in which state or '', how many are looked at. Returns the last id that was looked at or nothing at the
    /// end, then for each job: key, id, state, failures, queued at, at, error, worker.
    static let jobs = RedisScript(
        "jobs",
        queueing + """
            local keys = redis.call('ZRANGEBYSCORE', B .. ':i', '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[6])
            local found = {false}
            for _, key in ipairs(keys) do
                local item = job(key)
                if item and (ARGV[5] == '' or item[STATE] == ARGV[5]) then
                    found[#found + 1] = {
                        key, item[ID], item[STATE], item[FAILURES], item[QUEUED], item[AT], item[ERROR], item[WORKER]
                    }
                end
            end
            if #keys == tonumber(ARGV[6]) then found[1] = redis.call('ZSCORE', B .. ':i', keys[#keys]) end
            return found
            """)
}
