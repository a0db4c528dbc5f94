import PerennialRedis

/// What is done to Celery's structures and to ours beside them, each in one step.
///
/// Celery's: the list of the queue (pushed at the left, taken from the right), the hash `unacked` by delivery tag with
/// its sorted set `unacked_index` by the time of taking, the lock `unacked_mutex`. Ours begin with
/// `perennial:celery:QUEUE:TASK` (`ARGV[1]`):
///
/// | key | what it is |
/// |---|---|
/// | `…:jobs` | hash: the jobs by name, which is made of the cache and the key |
/// | `…:tags` | hash: from a delivery tag to the name of its job |
/// | `…:due:CACHE` | jobs that are queued or running by when they are due |
/// | `…:ids` | the names of all jobs by id |
/// | `…:dead`, `…:malformed` | dead letters of 30 days, and the last 1,000 messages that make no sense, by time |
/// | `…:caches` | the caches that have had jobs |
/// | `…:counters` | hash: the last id and receipt, how many are running, where the look through the list stands |
/// | `…:ring` | the channel on which those who wait hear of jobs |
///
/// Celery's workers know nothing of ours. So a job's record is not believed: a job that is neither in the list nor in
/// `unacked` was done by one of them, and its record goes.
enum Scripts {
    static let all = [enqueue, take, adopt, restore, message, settle, dead, replay, correctTimes, jobs, counts]

    private static let common = """
        local B, L = ARGV[1], KEYS[1]
        local call = redis.call
        local U, UI = 'unacked', 'unacked_index'
        local J, T, H, I = B .. ':jobs', B .. ':tags', B .. ':counters', B .. ':ids'

        -- A job: id, state (0 queued, 1 running here, 2 dead, 3 in the hands of a worker of Celery's), at, generation, lease token,
        -- queued at, failures, whether its worker vanished, receipt, worker, error, message, delivery tag ('': a message that makes no
        -- sense), what follows the message in unacked, score in unacked_index, expires or '', cache, key.
        local ID, STATE, AT, GENERATION, TOKEN, QUEUED, FAILURES, LOST, RECEIPT, WORKER, ERROR = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
        local MESSAGE, TAG, TAIL, SCORE, EXPIRES, CACHE, KEY = 12, 13, 14, 15, 16, 17, 18

        local function nameOf(cache, key) return #cache .. ':' .. cache .. key end

        local function job(name)
            local line = call('HGET', J, name)
            return line and cmsgpack.unpack(line)
        end

        local function put(name, item) call('HSET', J, name, cmsgpack.pack(item)) end

        -- Numbers that are not given twice, though the server may have lost everything.
        local function nextNumber(counter)
            local number = call('HINCRBY', H, counter, 1)
            if number > 1000000 then return string.format('%.0f', number) end
            local time = call('TIME')
            local text = string.format('%.0f', time[1] * 1000000 + time[2])
            call('HSET', H, counter, text)
            return text
        end

        local function dueKey(cache) return B .. ':due:' .. cache end
        -- In the order of time, then of ids.
        local function due(name, item) return string.format('%016d', item[ID]) .. name end
        local function deadKey(item) return item[TAG] == '' and B .. ':malformed' or B .. ':dead' end
        local function isRunning(item) return item[STATE] == '1' or item[STATE] == '3' end

        local function leave(name, item)
            if item[STATE] == '2' then call('ZREM', deadKey(item), name)
            else call('ZREM', dueKey(item[CACHE]), due(name, item)) end
            if isRunning(item) then call('HINCRBY', H, 'running', -1) end
        end

        local function enter(name, item, state, at)
            item[STATE], item[AT] = state, at
            if state == '2' then call('ZADD', deadKey(item), at, name)
            else call('ZADD', dueKey(item[CACHE]), at, due(name, item)) end
            if isRunning(item) then call('HINCRBY', H, 'running', 1) end
            put(name, item)
        end

        local function move(name, item, state, at)
            leave(name, item)
            enter(name, item, state, at)
        end

        local function forgetTag(name, item)
            if call('HGET', T, item[TAG]) == name then call('HDEL', T, item[TAG]) end
        end

        local function forget(name, item)
            leave(name, item)
            forgetTag(name, item)
            call('HDEL', J, name)
            call('ZREM', I, name)
        end

        local function add(name, item, state, at)
            item[ID] = nextNumber('last_job')
            call('ZADD', I, item[ID], name)
            if item[TAG] ~= '' then call('HSET', T, item[TAG], name) end
            call('SADD', B .. ':caches', item[CACHE])
            enter(name, item, state, at)
        end

        -- Those who wait look again.
        local function ring() call('PUBLISH', B .. ':ring', '') end

        local function tagOf(message) return string.match(message, '"delivery_tag": ?"([^"]*)"') end

        -- A message that was put back by Celery has other bytes, and lies among the first to be taken.
        local function putBack(tag)
            local messages = call('LRANGE', L, -1000, -1)
            for index = #messages, 1, -1 do
                if string.find(messages[index], tag, 1, true) and tagOf(messages[index]) == tag then return messages[index] end
            end
        end

        -- Where the job's message is: 'list', 'held' by a worker of ours, 'celery' (and since when it is held), 'gone'.
        local function place(item)
            if item[STATE] == '0' and call('LPOS', L, item[MESSAGE], 'RANK', -1) then return 'list' end
            if call('HEXISTS', U, item[TAG]) == 1 then
                local score = call('ZSCORE', UI, item[TAG])
                if score and item[STATE] == '1' and tonumber(score) == tonumber(item[SCORE]) then return 'held' end
                -- What is not in the index is restored by nobody else.
                return 'celery', score and tonumber(score) or 0
            end
            local message = putBack(item[TAG])
            if not message then return 'gone' end
            item[MESSAGE] = message
            return 'list'
        end

        -- So much later it is looked whether Celery's worker is done.
        local LATER = 10000

        -- Brings a job's record up to date. Returns whether there still is a job.
        local function resolve(name, item, now)
            local where = place(item)
            if where == 'gone' then
                forget(name, item)
                return false
            end
            if where == 'celery' and (item[STATE] ~= '3' or now > tonumber(item[AT])) then
                item[RECEIPT], item[WORKER] = '', 'celery'
                move(name, item, '3', now + LATER)
            elseif where == 'list' and item[STATE] == '3' then
                item[WORKER], item[LOST] = '', '1'
                move(name, item, '0', now)
            elseif where == 'list' then
                put(name, item)
            end
            return true
        end

        -- Looks after the jobs that Celery's workers may have done: those due longest, until one is still in the list.
        local function sweep(cache, limit, now)
            for _, member in ipairs(call('ZRANGE', dueKey(cache), 0, limit - 1)) do
                local name = string.sub(member, 17)
                local item = job(name)
                if not item then call('ZREM', dueKey(cache), member)
                elseif item[STATE] ~= '1' and resolve(name, item, now or tonumber(item[AT])) and item[STATE] == '0' then return end
            end
        end

        -- Takes the message out of Celery's structures, wherever it is.
        local function withdraw(item)
            call('ZREM', UI, item[TAG])
            if call('HDEL', U, item[TAG]) == 0 and call('LREM', L, -1, item[MESSAGE]) == 0 then
                local message = putBack(item[TAG])
                if message then call('LREM', L, -1, message) end
            end
        end

        -- Notes that the message is in a worker's hands, as Celery notes it.
        local function note(item, til, visibility)
            item[SCORE] = string.format('%.3f', (tonumber(til) - tonumber(visibility)) / 1000)
            call('ZADD', UI, item[SCORE], item[TAG])
        end

        local function store(item) call('HSET', U, item[TAG], '[' .. item[MESSAGE] .. item[TAIL]) end

        """

    /// ARGV: cache, key, generation, token, queued at, not before, now, message, delivery tag, its tail in unacked.
    /// Returns 1 when the job is new.
    static let enqueue = RedisScript(
        "celery.enqueue",
        common + """
            local cache, key, now = ARGV[2], ARGV[3], tonumber(ARGV[8])
            local name = nameOf(cache, key)
            sweep(cache, 4, now)
            local old = job(name)
            if old and old[STATE] == '2' then forget(name, old)
            elseif old and resolve(name, old, now) then return 0 end
            local item = {
                '', '0', '', ARGV[4], ARGV[5], ARGV[6], 0, '0', '', '', '', ARGV[9], ARGV[10], ARGV[11], '', '', cache, key
            }
            add(name, item, '0', ARGV[7])
            call('LPUSH', L, ARGV[9])
            ring()
            return 1
            """)

    /// ARGV: now, until, worker, how many, visibility time-out, the task's name in quotes, how many messages are looked
    /// at, caches. Returns {jobs taken, messages of the task that are not known, {tag, value} of such that were taken
    /// by workers of Celery's that vanished, length of the list}. Each job: id, cache, key, generation, token, queued
    /// at, failures, whether redelivered, receipt.
    static let take = RedisScript(
        "celery.take",
        common + """
            local now, til, worker, limit, visibility = tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
            local task, window = ARGV[7], tonumber(ARGV[8])
            local lateScore = (now - visibility) / 1000
            local found, unknown, vanished = {}, {}, {}

            local function look(first, last)
                local messages = call('LRANGE', L, first, last)
                for index = #messages, 1, -1 do
                    local message = messages[index]
                    if string.find(message, task, 1, true) then
                        local tag = tagOf(message)
                        local name = tag and call('HGET', T, tag)
                        local item = name and job(name)
                        if not item then unknown[#unknown + 1] = message
                        elseif item[MESSAGE] ~= message and (item[STATE] == '0' or item[STATE] == '3') then
                            -- Put back by Celery.
                            item[MESSAGE] = message
                            item[LOST], item[WORKER] = '1', ''
                            move(name, item, '0', math.min(now, tonumber(item[AT])))
                        end
                    end
                end
            end

            if window > 0 then
                look(-window, -1)
                local length = call('LLEN', L)
                if length > window then
                    -- And a piece of the rest, another each time.
                    local begin = tonumber(call('HGET', H, 'cursor') or '0')
                    if begin < window or begin >= length then begin = window end
                    look(-(begin + window), -(begin + 1))
                    call('HSET', H, 'cursor', begin + window)
                end
                if call('EXISTS', 'unacked_mutex') == 0 then
                    for _, tag in ipairs(call('ZRANGEBYSCORE', UI, '-inf', lateScore, 'LIMIT', 0, 100)) do
                        local value = call('HEXISTS', T, tag) == 0 and call('HGET', U, tag)
                        if value and string.find(value, task, 1, true) then vanished[#vanished + 1] = {tag, value} end
                    end
                end
            end

            local function hold(name, item)
                if isRunning(item) then item[LOST] = '1' end
                note(item, til, visibility)
                item[RECEIPT], item[WORKER] = nextNumber('receipt'), worker
                move(name, item, '1', til)
                found[#found + 1] = {
                    item[ID], item[CACHE], item[KEY], item[GENERATION], item[TOKEN], item[QUEUED], item[FAILURES], item[LOST],
                    item[RECEIPT]
                }
            end

            local function take(name, item)
                if item[EXPIRES] ~= '' and now > tonumber(item[EXPIRES]) and item[STATE] == '0' and call('LREM', L, -1, item[MESSAGE]) == 1 then
                    return forget(name, item)
                end
                local where, since = 'taken', nil
                if item[STATE] ~= '0' or call('LREM', L, -1, item[MESSAGE]) == 0 then
                    where, since = place(item)
                    if where == 'list' then call('LREM', L, -1, item[MESSAGE]) end
                end
                if where == 'taken' or where == 'list' then
                    store(item)
                    hold(name, item)
                elseif where == 'held' then hold(name, item)
                elseif where == 'gone' then forget(name, item)
                elseif since <= lateScore then
                    -- Celery's worker has vanished.
                    item[LOST] = '1'
                    hold(name, item)
                else
                    item[RECEIPT], item[WORKER] = '', 'celery'
                    move(name, item, '3', now + LATER)
                end
            end

            for round = 1, 10 do
                local members = {}
                for index = 9, #ARGV do
                    local list = call('ZRANGEBYSCORE', dueKey(ARGV[index]), '-inf', ARGV[2], 'WITHSCORES', 'LIMIT', 0, limit - #found)
                    for index = 1, #list, 2 do members[#members + 1] = {list[index], tonumber(list[index + 1])} end
                end
                if #members == 0 then break end
                table.sort(members, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
                for index = 1, math.min(#members, limit - #found) do
                    local name = string.sub(members[index][1], 17)
                    local item = job(name)
                    if item then take(name, item)
                    else
                        for index = 9, #ARGV do call('ZREM', dueKey(ARGV[index]), members[index][1]) end
                    end
                end
                if #found >= limit or tonumber(til) <= now then break end
            end
            return {found, unknown, vanished, call('LLEN', L)}
            """)

    /// Makes jobs of messages that others have sent. ARGV: now, then for each 12: what ('job', 'malformed', 'expired'),
    /// message, cache, key, generation, token, queued at, at, failures, delivery tag, its tail in unacked, expires or
    /// what is wrong. Returns for each: 1 when something was done.
    static let adopt = RedisScript(
        "celery.adopt",
        common + """
            local now = tonumber(ARGV[2])
            local results = {}
            for index = 3, #ARGV, 12 do
                local what, message, cache, key = ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3]
                local result = 0
                if not call('LPOS', L, message, 'RANK', -1) then result = 0
                elseif what == 'expired' then result = call('LREM', L, -1, message)
                elseif what == 'malformed' then
                    result = call('LREM', L, -1, message)
                    local item = {
                        '', '2', '', '0', '', ARGV[2], 0, '0', '', '', ARGV[index + 11], message, '', '', '', '', cache, key
                    }
                    add('!' .. nextNumber('malformed'), item, '2', ARGV[2])
                    local kept = B .. ':malformed'
                    if call('ZCARD', kept) > 1000 then
                        local name = call('ZRANGE', kept, 0, 0)[1]
                        local oldest = job(name)
                        if oldest then forget(name, oldest) else call('ZREM', kept, name) end
                    end
                else
                    local name = nameOf(cache, key)
                    local old = job(name)
                    if old and old[STATE] == '2' then
                        forget(name, old)
                        old = nil
                    elseif old and old[MESSAGE] ~= message and not resolve(name, old, now) then old = nil end
                    if not old then
                        local item = {
                            '', '0', '', ARGV[index + 4], ARGV[index + 5], ARGV[index + 6], tonumber(ARGV[index + 8]), '0', '', '', '',
                            message, ARGV[index + 9], ARGV[index + 10], '', ARGV[index + 11], cache, key
                        }
                        add(name, item, '0', ARGV[index + 7])
                        result = 1
                    elseif old[STATE] == '0' and old[MESSAGE] ~= message then
                        -- A job of this key waits already, and will do what this one asks for.
                        result = call('LREM', L, -1, message)
                    end
                end
                results[#results + 1] = result
            end
            return results
            """)

    /// Puts back what a worker of Celery's has taken and not done. ARGV: for each 3: tag, what is in unacked, message.
    static let restore = RedisScript(
        "celery.restore",
        common + """
            for index = 2, #ARGV, 3 do
                if call('HGET', U, ARGV[index]) == ARGV[index + 1] then
                    call('ZREM', UI, ARGV[index])
                    call('HDEL', U, ARGV[index])
                    call('RPUSH', L, ARGV[index + 2])
                end
            end
            """)

    /// ARGV: cache, key, receipt. Returns the message of a delivery that is the current one, or nothing.
    static let message = RedisScript(
        "celery.message",
        common + """
            local item = job(nameOf(ARGV[2], ARGV[3]))
            return item and item[STATE] == '1' and item[RECEIPT] == ARGV[4] and item[MESSAGE] or false
            """)

    /// What workers say of their deliveries. ARGV: what (extend, complete, retry, giveBack, bury), at, error,
    /// visibility time-out, new message and its tag or '', then cache, key and receipt of each. Returns which
    /// deliveries were the current ones, as 1 or 0.
    static let settle = RedisScript(
        "celery.settle",
        common + """
            local what, at, message, visibility, newMessage, newTag = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
            local results = {}
            for index = 8, #ARGV, 3 do
                local name = nameOf(ARGV[index], ARGV[index + 1])
                local item = job(name)
                local isCurrent = item and item[STATE] == '1' and item[RECEIPT] == ARGV[index + 2]
                if isCurrent and what == 'extend' then
                    local where = place(item)
                    if where == 'list' then
                        -- Celery has put it back, since the last heartbeat is long ago.
                        call('LREM', L, -1, item[MESSAGE])
                        store(item)
                    end
                    if where == 'held' or where == 'list' then
                        note(item, at, visibility)
                        move(name, item, '1', at)
                    else
                        isCurrent = false
                        resolve(name, item, tonumber(item[AT]))
                    end
                elseif isCurrent then
                    withdraw(item)
                    if what == 'complete' then forget(name, item)
                    else
                        forgetTag(name, item)
                        if what ~= 'giveBack' then
                            item[FAILURES], item[LOST], item[ERROR] = item[FAILURES] + 1, '0', message
                        end
                        item[RECEIPT], item[WORKER] = '', ''
                        if what == 'bury' then
                            move(name, item, '2', at)
                            local old = tonumber(at) - 30 * 86400000
                            for _, name in ipairs(call('ZRANGEBYSCORE', B .. ':dead', '-inf', old, 'LIMIT', 0, 10)) do
                                local item = job(name)
                                if item then forget(name, item) else call('ZREM', B .. ':dead', name) end
                            end
                        else
                            item[MESSAGE], item[TAG] = newMessage, newTag
                            call('HSET', T, newTag, name)
                            call(what == 'giveBack' and 'RPUSH' or 'LPUSH', L, newMessage)
                            move(name, item, '0', at)
                            ring()
                        end
                    end
                end
                results[#results + 1] = isCurrent and 1 or 0
            end
            return results
            """)

    /// ARGV: id or '' for all, how many at most. Returns for each dead letter: name, id, message, generation, token,
    /// queued at, cache, key.
    static let dead = RedisScript(
        "celery.dead",
        common + """
            local names
            if ARGV[2] == '' then names = call('ZRANGE', B .. ':dead', 0, ARGV[3] - 1)
            else names = call('ZRANGEBYSCORE', I, ARGV[2], ARGV[2]) end
            local found = {}
            for _, name in ipairs(names) do
                local item = job(name)
                if item and item[STATE] == '2' and item[TAG] ~= '' then
                    found[#found + 1] = {
                        name, item[ID], item[MESSAGE], item[GENERATION], item[TOKEN], item[QUEUED], item[CACHE], item[KEY]
                    }
                elseif ARGV[2] == '' then
                    -- It is in the way of those behind it.
                    call('ZREM', B .. ':dead', name)
                end
            end
            return found
            """)

    /// ARGV: now, then for each 4: name, id, new message, its tag. Returns how many were queued again.
    static let replay = RedisScript(
        "celery.replay",
        common + """
            local count = 0
            for index = 3, #ARGV, 4 do
                local name = ARGV[index]
                local item = job(name)
                if item and item[STATE] == '2' and item[ID] == ARGV[index + 1] then
                    leave(name, item)
                    item[FAILURES], item[LOST], item[ERROR], item[EXPIRES] = 0, '0', '', ''
                    item[MESSAGE], item[TAG] = ARGV[index + 2], ARGV[index + 3]
                    call('HSET', T, item[TAG], name)
                    call('LPUSH', L, item[MESSAGE])
                    enter(name, item, '0', ARGV[2])
                    count = count + 1
                end
            end
            if count > 0 then ring() end
            return count
            """)

    /// ARGV: what waits and was queued after this time or is due after the next is due now; what is running here beyond
    /// the third is so until then; now, how many are looked at of each cache, caches. Returns how many were changed.
    /// What a message says of its own time stays, for Celery's workers.
    static let correctTimes = RedisScript(
        "celery.correctTimes",
        common + RedisScript.correcting + """
            local least, count = string.format('%.0f', math.min(ARGV[2], ARGV[3], ARGV[4])), 0
            for index = 7, #ARGV do
                local members = call('ZREVRANGEBYSCORE', dueKey(ARGV[index]), '+inf', '(' .. least, 'LIMIT', 0, ARGV[6])
                for _, member in ipairs(members) do
                    local name = string.sub(member, 17)
                    local item = job(name)
                    local at = item and corrected(item, ARGV[2], ARGV[3], ARGV[4], ARGV[5])
                    if at then
                        move(name, item, item[STATE], at)
                        count = count + 1
                    end
                end
            end
            if count > 0 then ring() end
            return count
            """)

    private static let sweepAll = """
        for _, cache in ipairs(call('SMEMBERS', B .. ':caches')) do sweep(cache, 1000) end

        """

    /// ARGV: behind which id, in which state or '', how many are looked at. Returns the last id that was looked at or
    /// nothing at the end, then for each job: id, cache, key, state, failures, queued at, at, error, worker.
    static let jobs = RedisScript(
        "celery.jobs",
        common + sweepAll + """
            local names = call('ZRANGEBYSCORE', I, '(' .. ARGV[2], '+inf', 'LIMIT', 0, ARGV[4])
            local found = {false}
            for _, name in ipairs(names) do
                local item = job(name)
                local state = item and (item[STATE] == '3' and '1' or item[STATE])
                if item and (ARGV[3] == '' or state == ARGV[3]) then
                    found[#found + 1] = {
                        item[ID], item[CACHE], item[KEY], state, item[FAILURES], item[QUEUED], item[AT], item[ERROR], item[WORKER]
                    }
                end
            end
            if #names == tonumber(ARGV[4]) then found[1] = call('ZSCORE', I, names[#names]) end
            return found
            """)

    /// Returns how many are queued, running, dead.
    static let counts = RedisScript(
        "celery.counts",
        common + sweepAll + """
            local alive = 0
            for _, cache in ipairs(call('SMEMBERS', B .. ':caches')) do alive = alive + call('ZCARD', dueKey(cache)) end
            local running = math.max(0, math.min(alive, tonumber(call('HGET', H, 'running') or '0')))
            return {alive - running, running, call('ZCARD', B .. ':dead') + call('ZCARD', B .. ':malformed')}
            """)
}
