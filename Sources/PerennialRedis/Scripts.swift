/// The scripts of stores and queues. Each is about one cache, whose keys all have the same hash tag, so that a cluster
/// has them in one slot.
///
/// `KEYS[1]` is the cache's ledger; `ARGV[1]` the beginning of all its keys, `ARGV[2]` the prefix of the channels,
/// `ARGV[3]` the cache's name.
///
/// | key | what it is |
/// |---|---|
/// | `…:h` | the ledger: a hash of counters |
/// | `…:e:KEY` | an entry: a hash of `g` generation, `o` what a save writes, `m` what a confirmation writes too, `s` when it was marked stale or '', `v` the value or `b` the name of the key that has it or ''; expires by itself |
/// | `…:v:NAME` | a large value |
/// | `…:c` | hash: for each key its generation, cost, name of a large value or `-`, and tags |
/// | `…:k` | the keys of all entries, in their order |
/// | `…:d`, `…:u` | keys by when they are dead, were last used |
/// | `…:t:TAG` | the keys with this tag, in their order |
/// | `…:r` | what was purged or removed, by generation: `c` for the cache, `t` or `k` and 16 digits of a tag's or a key's SHA-1. There are 65,536 at most |
/// | `…:x`, `…:p`, `…:pa` | what an earlier version knew of removed keys and of purges, until the janitor comes |
/// | `…:l` | hash: the leases by key: until when, where the cache stood, the token. Without an expiry, so that no policy evicts them |
/// | `…:j` | hash: the refresh jobs by key |
/// | `…:q`, `…:i`, `…:dl` | jobs that are queued or running by when they are due; all by id; dead letters by time |
///
/// Beside them are `PREFIX:caches`, the names of all caches, and `PREFIX:id`, a random name of this store.
///
/// A server that has reached its `maxmemory` looks at the first write of a script: is it one that needs memory, the
/// script ends there.
enum Scripts {
    static let all = [
        save, lease, extendLease, releaseLease, claim, purgeKey, purgeTag, purgeCache, touch, maintain, evict, sweep,
        enqueue, dequeue, settle, replay, correctTimes, jobs,
    ]

    // What the scripts share, in pieces: each begins with those it needs, since the server runs all it is given.

    private static let common = """
        local B, P, CACHE, H = ARGV[1], ARGV[2], ARGV[3], KEYS[1]
        local call = redis.call

        -- Makes way for what is to lie under a name: what another program has put there goes.
        local function clearFor(wanted, name)
            local found = call('TYPE', name).ok
            if found ~= wanted and found ~= 'none' then call('UNLINK', name) end
        end

        -- Numbers of 16 digits, which Lua would write with an exponent.
        local function text(number) return string.format('%.0f', number) end

        -- Begins with the time, so that it does not fall back when the server has lost everything.
        local function nextGeneration(counted)
            local generation = counted or call('HINCRBY', H, 'seq', 1)
            if generation > 1000000 then return generation end
            local time = call('TIME')
            generation = time[1] * 1000000 + time[2]
            call('HSET', H, 'seq', text(generation))
            return generation
        end

        """

    /// What makes room, or finishes what was begun, goes through on a full server, too: its first write needs no
    /// memory.
    private static let unrefused = """
        call('DEL', B .. ':none')

        """

    private static let knowing = """
        local function markOf(kind, name) return kind .. string.sub(redis.sha1hex(name), 1, 16) end

        -- Remembers a write that left no entry. When there are too many, the oldest are forgotten, and older work may not save.
        local function forgetMarks(most)
            local R = B .. ':r'
            local count = call('ZCARD', R)
            if count <= most then return end
            -- An eighth more than it must, so that this is seldom.
            local gone = call('ZPOPMIN', R, count - most + math.floor(most / 8))
            local newest = tonumber(gone[#gone])
            if newest > (tonumber(call('HGET', H, 'forgotten_purges')) or 0) then
                call('HSET', H, 'forgotten_purges', text(newest))
            end
        end

        local function mark(name, generation)
            call('ZADD', B .. ':r', 'GT', text(generation), name)
            forgetMarks(65536)
        end

        local function setKnown(key, generation, cost, name, tags)
            call('HSET', B .. ':c', key, text(generation) .. ' ' .. text(cost) .. ' ' .. name .. ' ' .. tags)
        end

        -- What is known of a key made no sense: makes it anew, from what lies in the entry. When the key was written at last, nobody
        -- knows without one: as late as it can have been.
        local function mend(key)
            local E = B .. ':e:' .. key
            clearFor('hash', E)
            local entry = call('HMGET', E, 'g', 'b')
            local generation = tonumber(entry[1]) or tonumber(call('HGET', H, 'seq')) or 0
            local name = entry[2] and string.match(entry[2], '^%S+$') or '-'
            if not call('ZSCORE', B .. ':k', key) then
                call('HDEL', B .. ':c', key)
                mark(markOf('k', key), generation)
                return nil
            end
            local cost = call('HSTRLEN', E, 'v') + call('STRLEN', B .. ':v:' .. name) + 256
            setKnown(key, generation, cost, name, '')
            return {generation = generation, cost = cost, name = name, tags = ''}
        end

        local function known(key)
            local line = call('HGET', B .. ':c', key)
            if not line then return nil end
            local generation, cost, name, tags = string.match(line, '^(%d+) (-?%d+) (%S+) (.*)$')
            if not generation or #generation > 16 or #cost > 16 then return mend(key) end
            return {generation = tonumber(generation), cost = tonumber(cost), name = name, tags = tags}
        end

        local function tagList(packed)
            if packed == '' then return {} end
            local isWhole, list = pcall(cmsgpack.unpack, packed)
            -- Concatenation fails for what is no text.
            if isWhole and type(list) == 'table' and pcall(table.concat, list) then return list end
            return {}
        end

        """

    private static let reading = """
        local function fence() return call('HGET', H, 'seq') or '0' end

        local function record(key)
            local fields = redis.pcall('HMGET', B .. ':e:' .. key, 'g', 'o', 'm', 's', 'v', 'b')
            -- It is of another type: something that makes no sense.
            if fields.err then return '' end
            return fields
        end

        """

    private static let announcing = """
        local function announce(generation, keys)
            local parts = {text(generation), ' ', #CACHE, ':', CACHE}
            for _, key in ipairs(keys) do
                parts[#parts + 1] = #key
                parts[#parts + 1] = ':'
                parts[#parts + 1] = key
            end
            call('PUBLISH', P .. ':changes', table.concat(parts))
        end

        """

    private static let deleting = """
        -- Deletes all of an entry but what is known about its key.
        local function delete(key, old)
            if old.name ~= '-' then call('UNLINK', B .. ':v:' .. old.name) end
            local count = call('UNLINK', B .. ':e:' .. key)
            call('ZREM', B .. ':k', key)
            call('ZREM', B .. ':d', key)
            call('ZREM', B .. ':u', key)
            for _, tag in ipairs(tagList(old.tags)) do
                clearFor('zset', B .. ':t:' .. tag)
                call('ZREM', B .. ':t:' .. tag, key)
            end
            call('HINCRBY', H, 'bytes', 0 - old.cost)
            call('HINCRBY', H, 'entries', -1)
            return count
        end

        -- What is left of an entry that nobody asked to be gone.
        local function forget(key, generation)
            call('HDEL', B .. ':c', key)
            local stand = call('HMGET', H, 'seq', 'forgotten_keys')
            if generation <= (tonumber(stand[2]) or 0) then return end
            if (tonumber(stand[1]) or 0) - generation > 65536 then
                -- No work that is still under way began before so many writes.
                call('HSET', H, 'forgotten_keys', text(generation))
            else
                mark(markOf('k', key), generation)
            end
        end

        """

    private static let releasing = """
        local function releaseLease(key, token)
            local line = call('HGET', B .. ':l', key)
            if line and string.match(line, '^%d+ %d+ (.*)$') == token then call('HDEL', B .. ':l', key) end
        end

        """

    private static let leasing = """
        -- Returns until when somebody else holds it, and where the cache stands. Leases from before it was emptied have ended.
        local function takeLease(key, token, til, now)
            local L = B .. ':l'
            local stand = call('HMGET', H, 'seq', 'emptied')
            local line = call('HGET', L, key)
            local held, since, holder = string.match(line or '', '^(%d+) (%d+) (.*)$')
            if holder == token then
                -- On a full server nobody gets a lease, but who has one keeps it. This write needs no memory.
                call('HDEL', L, key)
            elseif held and tonumber(held) > tonumber(now) and tonumber(since) >= (tonumber(stand[2]) or 0) then
                return held, stand[1]
            end
            call('HSET', L, key, til .. ' ' .. (stand[1] or '0') .. ' ' .. token)
            return nil, stand[1]
        end

        """

    /// ARGV: key, fence or '', lease token or '', whether a confirmation, o, m, s or '', v, name of a large value or
    /// '', when dead, milliseconds to live, when used, cost (-1: it can't fit, and is removed as soon as it is saved),
    /// tags… Returns the generation; nothing when superseded.
    static let save = RedisScript(
        "save",
        common + knowing + announcing + deleting + releasing + """
            local key, fenced, token, isConfirmation, large = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1', ARGV[12]
            local cost = tonumber(ARGV[16])
            local tags = {}
            for index = 17, #ARGV do tags[#tags + 1] = ARGV[index] end
            local E = B .. ':e:' .. key
            local old = known(key)
            local isLive = old and old.cost >= 0
            clearFor('hash', E)

            local function isSuperseded()
                if isConfirmation and not (isLive and call('EXISTS', E) == 1) then return true end
                if not fenced then return false end
                local stand = call('HMGET', H, 'forgotten_keys', 'forgotten_purges', 'last_purge')
                local written = old and old.generation or tonumber(stand[1]) or 0
                if fenced < written or fenced < (tonumber(stand[2]) or 0) then return true end
                local function isMarked(name)
                    local generation = call('ZSCORE', B .. ':r', name)
                    return generation and fenced < tonumber(generation)
                end
                if not old and isMarked(markOf('k', key)) then return true end
                if fenced >= (tonumber(stand[3]) or 0) then return false end
                -- Purges of an earlier version are not told apart any more.
                local before = call('ZREVRANGE', B .. ':p', 0, 0, 'WITHSCORES')
                if before[2] and fenced < tonumber(before[2]) then return true end
                if isMarked('c') then return true end
                for _, tag in ipairs(tags) do
                    if isMarked(markOf('t', tag)) then return true end
                end
                return false
            end

            -- However it ends, the lease ends; but only behind the first write, which a full server may refuse.
            local function finish(result)
                if token ~= '' then releaseLease(key, token) end
                return result
            end

            if large ~= '' then
                -- This very save was done before, and its answer lost.
                if isLive and old.name == large then return finish(text(old.generation)) end
                if call('EXISTS', B .. ':v:' .. large) == 0 then
                    return finish(redis.error_reply('GONE the value was evicted, or expired, before its entry was saved'))
                end
            end
            if isSuperseded() then
                if large ~= '' then call('UNLINK', B .. ':v:' .. large) end
                return finish(false)
            end
            local generation = redis.pcall('HINCRBY', H, 'seq', 1)
            if type(generation) == 'table' then
                if large ~= '' then call('UNLINK', B .. ':v:' .. large) end
                return finish(generation)
            end
            generation = nextGeneration(generation)
            finish()
            if cost < 0 then
                if isLive then delete(key, old) end
                call('HDEL', B .. ':c', key)
                mark(markOf('k', key), generation)
                announce(generation, {key})
                return text(generation)
            end
            local packed = ''
            if #tags > 0 then packed = cmsgpack.pack(tags) end
            local name = '-'
            if isConfirmation then
                local function size(list)
                    local sum = 0
                    for _, tag in ipairs(list) do sum = sum + #tag end
                    return sum
                end
                cost, name = old.cost, old.name
                if packed ~= old.tags then cost = cost + size(tags) - size(tagList(old.tags)) end
                call('HSET', E, 'g', text(generation), 'm', ARGV[9], 's', ARGV[10])
            else
                if large ~= '' then name = large end
                if isLive and old.name ~= '-' and old.name ~= name then call('UNLINK', B .. ':v:' .. old.name) end
                call('HSET', E, 'g', text(generation), 'o', ARGV[8], 'm', ARGV[9], 's', ARGV[10], 'v', ARGV[11], 'b', large)
            end
            if ARGV[14] ~= '' then
                call('PEXPIRE', E, ARGV[14])
                if name ~= '-' then call('PEXPIRE', B .. ':v:' .. name, ARGV[14]) end
            else
                call('PERSIST', E)
                if name ~= '-' then call('PERSIST', B .. ':v:' .. name) end
            end
            call('ZADD', B .. ':d', ARGV[13], key)
            call('ZADD', B .. ':u', 'GT', ARGV[15], key)
            if not isLive then
                call('ZADD', B .. ':k', 0, key)
                call('HINCRBY', H, 'entries', 1)
                call('HINCRBY', H, 'bytes', cost)
                if old then call('ZREM', B .. ':x', key) end
            elseif cost ~= old.cost then
                call('HINCRBY', H, 'bytes', cost - old.cost)
            end
            if not isLive or packed ~= old.tags then
                if isLive then
                    for _, tag in ipairs(tagList(old.tags)) do
                        clearFor('zset', B .. ':t:' .. tag)
                        call('ZREM', B .. ':t:' .. tag, key)
                    end
                end
                for _, tag in ipairs(tags) do
                    clearFor('zset', B .. ':t:' .. tag)
                    call('ZADD', B .. ':t:' .. tag, 0, key)
                end
            end
            setKnown(key, generation, cost, name, packed)
            announce(generation, {key})
            return text(generation)
            """)

    // MARK: Leases

    /// ARGV: token, until, now, how many bytes of values at most, keys… Returns the fence, then for each key until when
    /// somebody else holds it or '', and its record, or nothing when that would be too much: then it is to be read by
    /// itself.
    static let lease = RedisScript(
        "lease",
        common + reading + leasing + """
            local found = {'0'}
            local left = tonumber(ARGV[7])
            for index = 8, #ARGV do
                local held, stand = takeLease(ARGV[index], ARGV[4], ARGV[5], ARGV[6])
                found[1] = stand or '0'
                found[#found + 1] = held or ''
                local entry = left > 0 and record(ARGV[index])
                if entry and entry ~= '' then left = left - #(entry[5] or '') end
                found[#found + 1] = entry
            end
            return found
            """)

    /// ARGV: key, token, until, now. Returns 1 when the lease is the token's.
    static let extendLease = RedisScript(
        "extendLease",
        common + leasing + """
            if takeLease(ARGV[4], ARGV[5], ARGV[6], ARGV[7]) then return 0 end
            return tonumber(ARGV[6]) > tonumber(ARGV[7]) and 1 or 0
            """)

    /// ARGV: key, token.
    static let releaseLease = RedisScript("releaseLease", common + releasing + "releaseLease(ARGV[4], ARGV[5])")

    // MARK: Purging

    private static let purging =
        common + knowing + announcing + deleting + """
            -- Returns whether there was an entry.
            local function expire(key, generation, now)
                local E = B .. ':e:' .. key
                clearFor('hash', E)
                if call('EXISTS', E) == 0 then return false end
                local old = known(key)
                local marked = tonumber(call('HGET', E, 's'))
                if not marked or tonumber(now) < marked then marked = now end
                call('HSET', E, 's', marked, 'g', text(generation))
                old = old or {cost = 0, name = '-', tags = ''}
                setKnown(key, generation, old.cost, old.name, old.tags)
                return true
            end

            -- Returns whether there was an entry.
            local function clear(key, generation)
                local old = known(key)
                local count = 0
                if old and old.cost >= 0 then count = delete(key, old) end
                call('HDEL', B .. ':c', key)
                mark(markOf('k', key), generation)
                return count > 0
            end

            local function remove(key, generation)
                call('HDEL', B .. ':l', key)
                return clear(key, generation)
            end

            local function remember(name, generation)
                mark(name, generation)
                call('HSET', H, 'last_purge', text(generation))
            end

            """

    /// ARGV: expire or remove, now, key. Returns how many.
    static let purgeKey = RedisScript(
        "purgeKey",
        purging + unrefused + """
            local action, now, key = ARGV[4], ARGV[5], ARGV[6]
            local generation = nextGeneration()
            local isDone
            if action == 'expire' then
                isDone = expire(key, generation, now)
                if not isDone then clear(key, generation) end
            else
                isDone = remove(key, generation)
            end
            announce(generation, {key})
            return isDone and 1 or 0
            """)

    /// A step of a purge by tag. ARGV: expire or remove, now, tag, the generation of the first step or '', where the
    /// step before ended or '', how many keys at most. Returns the generation of the first step, how many were purged,
    /// and where this step ended or nothing at the end.
    static let purgeTag = RedisScript(
        "purgeTag",
        purging + unrefused + """
            local action, now, tag, first, after, limit = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
            local generation = nextGeneration()
            if first == '' then
                first = text(generation)
                remember(markOf('t', tag), generation)
            end
            local begin = after == '' and '-' or '(' .. string.sub(after, 2)
            clearFor('zset', B .. ':t:' .. tag)
            local keys = call('ZRANGEBYLEX', B .. ':t:' .. tag, begin, '+', 'LIMIT', 0, limit)
            local purged = {}
            for _, key in ipairs(keys) do
                local old = known(key)
                -- What was written since the first step is not meant.
                if old and old.generation < tonumber(first) or generation == tonumber(first) then
                    local isDone
                    if action == 'expire' then isDone = expire(key, generation, now)
                    else isDone = remove(key, generation) end
                    if isDone then purged[#purged + 1] = key end
                end
                if not old then call('ZREM', B .. ':t:' .. tag, key) end
            end
            if #purged > 0 then announce(generation, purged) end
            return {first, #purged, #keys == limit and 'k' .. keys[#keys] or false}
            """)

    /// A step of a purge of the whole cache; as ``purgeTag``, without the tag. Leases end with a removal.
    static let purgeCache = RedisScript(
        "purgeCache",
        purging + unrefused + """
            local action, now, first, after, limit = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
            local generation = nextGeneration()
            if first == '' then
                first = text(generation)
                remember('c', generation)
                if action == 'remove' then call('HSET', H, 'emptied', first) end
            end
            local begin = after == '' and '-' or '(' .. string.sub(after, 2)
            local keys = call('ZRANGEBYLEX', B .. ':k', begin, '+', 'LIMIT', 0, limit)
            local count = 0
            for _, key in ipairs(keys) do
                local old = known(key)
                if not old or old.generation < tonumber(first) or generation == tonumber(first) then
                    if action == 'expire' then
                        if expire(key, generation, now) then count = count + 1 end
                    else
                        count = count + delete(key, old or {cost = 0, name = '-', tags = ''})
                        -- The memory of the purge covers every key.
                        call('HDEL', B .. ':c', key)
                    end
                end
            end
            if #keys < limit then call('PUBLISH', P .. ':changes', '') end
            return {first, count, #keys == limit and 'k' .. keys[#keys] or false}
            """)

    // MARK: The janitor

    /// ARGV: when, keys…
    static let touch = RedisScript(
        "touch",
        common + unrefused + """
            -- In parts, since Lua's stack is limited.
            for first = 5, #ARGV, 1000 do
                local used = {}
                for index = first, math.min(first + 999, #ARGV) do
                    used[#used + 1] = ARGV[4]
                    used[#used + 1] = ARGV[index]
                end
                call('ZADD', B .. ':u', 'XX', 'GT', unpack(used))
            end
            """)

    /// ARGV: now, how many of a kind go at most, dead letters until then, leases until then, how many marks there may
    /// be. Returns how many dead entries went, and 1 when there may be more to do.
    static let maintain = RedisScript(
        "maintain",
        common + knowing + deleting + unrefused + """
            local now, batch = ARGV[4], ARGV[5]
            local dead = call('ZRANGEBYSCORE', B .. ':d', '-inf', now, 'LIMIT', 0, batch)
            for _, key in ipairs(dead) do
                local old = known(key) or {generation = 0, cost = 0, name = '-', tags = ''}
                delete(key, old)
                forget(key, old.generation)
            end
            forgetMarks(tonumber(ARGV[8]))
            -- From an earlier version.
            for _, key in ipairs(call('ZRANGE', B .. ':x', 0, batch - 1)) do
                local old = known(key)
                if old and old.cost < 0 then forget(key, old.generation) end
                call('ZREM', B .. ':x', key)
            end
            local newest = call('ZREVRANGE', B .. ':p', 0, 0, 'WITHSCORES')[2]
            if newest then
                if tonumber(newest) > (tonumber(call('HGET', H, 'forgotten_purges')) or 0) then
                    call('HSET', H, 'forgotten_purges', newest)
                end
                call('UNLINK', B .. ':p', B .. ':pa')
            end
            for _, key in ipairs(call('ZRANGEBYSCORE', B .. ':dl', '-inf', ARGV[6], 'LIMIT', 0, batch)) do
                local line = call('HGET', B .. ':j', key)
                if line then call('ZREM', B .. ':i', key) end
                call('HDEL', B .. ':j', key)
                call('ZREM', B .. ':dl', key)
            end
            -- Leases that nobody has ended. Any of them, as often as many are found.
            local leases = call('HRANDFIELD', B .. ':l', batch, 'WITHVALUES')
            local ended = {}
            for index = 1, #leases, 2 do
                local til = tonumber(string.match(leases[index + 1], '^(%d+) '))
                if not til or til < tonumber(ARGV[7]) then ended[#ended + 1] = leases[index] end
            end
            if #ended > 0 then call('HDEL', B .. ':l', unpack(ended)) end
            -- It may have lost count of jobs that made no sense.
            if call('EXISTS', B .. ':q') == 0 then call('HDEL', H, 'running') end
            local most = tonumber(batch)
            return {#dead, (#dead == most or #ended * 4 > most) and 1 or 0}
            """)

    /// Removes the least recently used. ARGV: pairs of a key and when it was used at last. Returns how many went.
    static let evict = RedisScript(
        "evict",
        common + knowing + deleting + unrefused + """
            local count = 0
            for index = 4, #ARGV, 2 do
                local key = ARGV[index]
                local used = call('ZSCORE', B .. ':u', key)
                local old = known(key)
                if used and old and tonumber(used) == tonumber(ARGV[index + 1]) then
                    delete(key, old)
                    forget(key, old.generation)
                    count = count + 1
                end
            end
            return count
            """)

    /// Forgets entries that the server has removed by itself. ARGV: where the run before stopped or '', how many keys.
    /// Returns where this run stopped, or nothing at the end.
    static let sweep = RedisScript(
        "sweep",
        common + knowing + deleting + unrefused + """
            local begin = ARGV[4] == '' and '-' or '(' .. string.sub(ARGV[4], 2)
            local keys = call('ZRANGEBYLEX', B .. ':k', begin, '+', 'LIMIT', 0, ARGV[5])
            for _, key in ipairs(keys) do
                if call('EXISTS', B .. ':e:' .. key) == 0 then
                    local old = known(key) or {generation = 0, cost = 0, name = '-', tags = ''}
                    delete(key, old)
                    forget(key, old.generation)
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
            local J, Q = B .. ':j', B .. ':q'

            -- Returns nothing for a line that makes no sense.
            local function read(line)
                local isWhole, item = pcall(cmsgpack.unpack, line)
                -- Concatenation fails for what is neither text nor number.
                if not isWhole or type(item) ~= 'table' or #item ~= ERROR or not pcall(table.concat, item) then return nil end
                for _, field in ipairs({ID, AT, GENERATION, QUEUED, FAILURES}) do
                    if not tonumber(item[field]) then return nil end
                end
                return item
            end

            -- Returns the job, and whether there is one that makes no sense.
            local function job(key)
                local line = call('HGET', J, key)
                if not line then return nil, false end
                local item = read(line)
                return item, not item
            end

            local function put(key, job) call('HSET', J, key, cmsgpack.pack(job)) end

            -- In the order of time, then of ids.
            local function due(id, key) return string.format('%015d', id) .. key end

            -- Removes a job that makes no sense: whoever reads the entry queues another. Returns whether it was queued or running.
            local function drop(key)
                local id = call('ZSCORE', B .. ':i', key)
                local isDue = id and call('ZREM', Q, due(id, key)) == 1
                call('HDEL', J, key)
                call('ZREM', B .. ':i', key)
                call('ZREM', B .. ':dl', key)
                return isDue
            end

            -- Those who wait look again.
            local function ring() call('PUBLISH', P .. ':jobs', CACHE) end

            """

    private static let adding = """
        -- Returns whether the job is new.
        local function enqueue(key, generation, token, queuedAt, at)
            local old, isDamaged = job(key)
            if isDamaged then drop(key) end
            if old then
                if old[STATE] ~= '2' then return false end
                call('ZREM', B .. ':dl', key)
            end
            local id = call('HINCRBY', H, 'last_job', 1)
            put(key, {id, '0', at, generation, token, queuedAt, 0, '0', '', '', ''})
            call('ZADD', B .. ':i', id, key)
            call('ZADD', Q, at, due(id, key))
            ring()
            return true
        end

        """

    /// ARGV: key, generation, lease token, queued at, not before. Returns 1 when the job is new.
    static let enqueue = RedisScript(
        "enqueue",
        queueing + adding + """
            return enqueue(ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]) and 1 or 0
            """)

    /// ARGV: key, generation, lease token, queued at, lease until, now.
    /// Returns {'queued'}, {'claimed', until}, or {'newer', fence, record}.
    static let claim = RedisScript(
        "claim",
        queueing + adding + reading + leasing + releasing + """
            local key, generation, token, queuedAt, til, now = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
            if redis.pcall('HGET', B .. ':e:' .. key, 'g') ~= generation then return {'newer', fence(), record(key)} end
            local held = takeLease(key, token, til, now)
            if held then return {'claimed', held} end
            if enqueue(key, generation, token, queuedAt, now) then return {'queued'} end
            -- A job from an earlier claim still waits, under that claim's token: leave it the lease.
            releaseLease(key, token)
            return {'claimed', til}
            """)

    /// ARGV: how many, worker, until, now. Returns for each job: key, id, generation, token, queued at, failures,
    /// whether redelivered, receipt, since when it was due; for each that made no sense, and was dropped: its key.
    static let dequeue = RedisScript(
        "dequeue",
        queueing + unrefused + """
            local limit, worker, til, now = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
            local members = call('ZRANGEBYSCORE', Q, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
            local found = {}
            -- In parts, since Lua's stack is limited.
            for first = 1, #members, 200 do
                local last = math.min(first + 199, #members)
                local keys, changed, moved = {}, {}, {}
                for index = first, last, 2 do keys[#keys + 1] = string.sub(members[index], 16) end
                local lines = call('HMGET', J, unpack(keys))
                -- From the same numbers as generations: never given twice.
                local receipt = text(nextGeneration())
                local begun = 0
                for index, key in ipairs(keys) do
                    local member = members[first + index * 2 - 2]
                    local item = lines[index] and read(lines[index])
                    if item then
                        local isLost = (item[STATE] == '1' or item[LOST] == '1') and '1' or '0'
                        if item[STATE] == '0' then begun = begun + 1 end
                        item[STATE], item[AT], item[WORKER], item[RECEIPT], item[LOST] = '1', til, worker, receipt, isLost
                        changed[#changed + 1] = key
                        changed[#changed + 1] = cmsgpack.pack(item)
                        moved[#moved + 1] = til
                        moved[#moved + 1] = member
                        found[#found + 1] = {
                            key, item[ID], item[GENERATION], item[TOKEN], item[QUEUED], item[FAILURES], isLost, receipt,
                            members[first + index * 2 - 1]
                        }
                    else
                        if lines[index] then
                            drop(key)
                            found[#found + 1] = {key}
                        end
                        call('ZREM', Q, member)
                    end
                end
                if #changed > 0 then
                    call('HSET', J, unpack(changed))
                    call('ZADD', Q, unpack(moved))
                end
                if begun > 0 then call('HINCRBY', H, 'running', begun) end
            end
            return found
            """)

    /// What workers say of their deliveries. ARGV: what, at, error, then key, id and receipt of each. What: extend,
    /// complete, retry, giveBack, bury. Returns which deliveries were the current ones, as 1 or 0; 2 is one whose job
    /// made no sense, and was dropped.
    static let settle = RedisScript(
        "settle",
        queueing + unrefused + """
            local what, at, message = ARGV[4], ARGV[5], ARGV[6]
            local results = {}
            local settled = 0
            for index = 7, #ARGV, 3 do
                local key, id, receipt = ARGV[index], ARGV[index + 1], ARGV[index + 2]
                local item, isDamaged = job(key)
                local isCurrent = item and item[STATE] == '1' and item[RECEIPT] == receipt and tostring(item[ID]) == id
                results[#results + 1] = isDamaged and 2 or isCurrent and 1 or 0
                -- It was running, or nobody would speak of it.
                if isDamaged and drop(key) then settled = settled + 1 end
                if isCurrent then
                    local member = due(item[ID], key)
                    if what == 'extend' then
                        item[AT] = at
                        put(key, item)
                        call('ZADD', Q, at, member)
                    elseif what == 'complete' then
                        call('HDEL', J, key)
                        call('ZREM', B .. ':i', key)
                        call('ZREM', Q, member)
                        settled = settled + 1
                    else
                        if what ~= 'giveBack' then
                            item[FAILURES], item[LOST], item[ERROR] = item[FAILURES] + 1, '0', message
                        end
                        item[STATE], item[AT], item[RECEIPT], item[WORKER] = what == 'bury' and '2' or '0', at, '', ''
                        put(key, item)
                        if what == 'bury' then
                            call('ZREM', Q, member)
                            call('ZADD', B .. ':dl', at, key)
                        else
                            call('ZADD', Q, at, member)
                            ring()
                        end
                        settled = settled + 1
                    end
                end
            end
            if settled > 0 then call('HINCRBY', H, 'running', 0 - settled) end
            return results
            """)

    /// ARGV: now, id or '' for all, how many at most. Returns how many were queued again, 1 when there may be more, and
    /// the keys of those that made no sense and were dropped.
    static let replay = RedisScript(
        "replay",
        queueing + unrefused + """
            local now, id = ARGV[4], ARGV[5]
            local keys
            if id == '' then keys = call('ZRANGE', B .. ':dl', 0, ARGV[6] - 1)
            else keys = call('ZRANGEBYSCORE', B .. ':i', id, id) end
            local count = 0
            local found = {0, id == '' and #keys == tonumber(ARGV[6]) and 1 or 0}
            for _, key in ipairs(keys) do
                local item, isDamaged = job(key)
                if isDamaged then
                    drop(key)
                    found[#found + 1] = key
                elseif item and item[STATE] == '2' then
                    item[STATE], item[AT], item[FAILURES], item[LOST], item[ERROR] = '0', now, 0, '0', ''
                    put(key, item)
                    call('ZREM', B .. ':dl', key)
                    call('ZADD', B .. ':q', now, due(item[ID], key))
                    count = count + 1
                elseif not item then
                    call('ZREM', B .. ':dl', key)
                end
            end
            if count > 0 then ring() end
            found[1] = count
            return found
            """)

    /// ARGV: what waits and was queued after this time or is due after the next is due now; what is running beyond the
    /// third is so until then; now, how many are looked at. Returns how many were changed.
    static let correctTimes = RedisScript(
        "correctTimes",
        queueing + unrefused + RedisScript.correcting + """
            local least, count = math.min(ARGV[4], ARGV[5], ARGV[6]), 0
            local members = call('ZREVRANGEBYSCORE', Q, '+inf', '(' .. text(least), 'LIMIT', 0, ARGV[8])
            for _, member in ipairs(members) do
                local key = string.sub(member, 16)
                local item = job(key)
                local at = item and corrected(item, ARGV[4], ARGV[5], ARGV[6], ARGV[7])
                if at then
                    item[AT] = at
                    put(key, item)
                    call('ZADD', Q, at, member)
                    count = count + 1
                end
            end
            if count > 0 then ring() end
            return count
            """)

    /// ARGV: behind which id, in which state or '', how many are looked at. Returns the last id that was looked at or
    /// nothing at the end, then for each job: key, id, state, failures, queued at, at, error, worker; for each that
    /// makes no sense: its key.
    static let jobs = RedisScript(
        "jobs",
        queueing + """
            local keys = call('ZRANGEBYSCORE', B .. ':i', '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[6])
            local found = {false}
            for _, key in ipairs(keys) do
                local item, isDamaged = job(key)
                if isDamaged then found[#found + 1] = {key} end
                if item and (ARGV[5] == '' or item[STATE] == ARGV[5]) then
                    found[#found + 1] = {
                        key, item[ID], item[STATE], item[FAILURES], item[QUEUED], item[AT], item[ERROR], item[WORKER]
                    }
                end
            end
            if #keys == tonumber(ARGV[6]) then found[1] = call('ZSCORE', B .. ':i', keys[#keys]) end
            return found
            """)
}
