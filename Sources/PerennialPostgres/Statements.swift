/// Everything that is asked of the server, prepared once a connection.
enum Statements {
    static let all = [
        horizon, read, list, save, takeLeases, extendLease, releaseLease, purgeKey, tell, purgeMany, touch, maintain,
        forgetRemoved, saveRemoved, statistics,
        claim, enqueue, dequeue, extend, complete, retry, giveBack, bury, ring, jobs, replay, correctTimes, counts,
        nextDue, nothing,
        identity,
    ]

    /// When the tables were made, in microseconds.
    static let identity = Statement(
        name: "identity", sql: "SELECT (extract(epoch FROM at) * 1000000)::bigint FROM version WHERE number = 1")

    /// To see whether the server answers.
    static let nothing = Statement(name: "nothing", sql: "SELECT 1")

    private static let columns = """
        generation, absent, format, saved_at, confirmed_at, refresh_after, expire_after, stale_if_error, marked_stale_at, etag,
        last_modified, tags, size
        """
    static let columnCount = 13

    /// Where a cache stands: a fence for keys of which nothing is known.
    static let horizon = Statement(
        name: "horizon",
        sql: "SELECT greatest(last_purge, forgotten_keys, forgotten_purges) FROM horizon WHERE cache = $1")

    /// With the generation of a tombstone, too.
    static let read = Statement(
        name: "read", sql: "SELECT \(columns), value, removed_at FROM entry WHERE cache = $1 AND key = $2")

    static let list = Statement(
        name: "list",
        sql: """
            SELECT \(columns), cache, key FROM entry
            WHERE removed_at IS NULL AND ($1::text IS NULL OR cache = $1) AND ($2::text IS NULL OR tags @> ARRAY[$2] AND tags <> '{}')
                AND ($3::text IS NULL OR (cache, key) > ($3, $4::text))
            ORDER BY cache, key LIMIT $5::bigint
            """)

    static let save = Statement(
        name: "save",
        sql: """
            SELECT save($1, $2, $3::bigint, $4, $5::boolean, $6::boolean, $7, $8::bigint, $9::bigint, $10::bigint, $11::bigint,
                $12::bigint, $13::bigint, $14, $15, $16::text[], $17::bigint, $18::bigint, $19::bigint, $20::bytea)
            """)

    static let takeLeases = Statement(
        name: "take_leases", sql: "SELECT take_leases($1::text[], $2::text[], $3, $4::bigint, $5::bigint)")
    static let extendLease = Statement(
        name: "extend_lease", sql: "SELECT take_lease($1, $2, $3, $4::bigint, $5::bigint) IS NULL")
    static let releaseLease = Statement(
        name: "release_lease",
        sql: "UPDATE lease SET until = 0 WHERE cache = $1::text AND key = $2::text AND token = $3::text")

    static let purgeKey = Statement(name: "purge_key", sql: "SELECT purge_key($1::boolean, $2, $3, $4::bigint)")
    /// Tells other processes' memory tiers of a key that no row can have.
    static let tell = Statement(name: "tell", sql: "SELECT tell($1, $2, nextval('generation'))")
    static let purgeMany = Statement(name: "purge_many", sql: "SELECT purge_many($1::boolean, $2, $3, $4::bigint)")

    static let touch = Statement(
        name: "touch",
        sql: """
            UPDATE entry SET touched_at = $3::bigint, touched_from = greatest(touched_from, coarse($3::bigint, 28800000))
            FROM unnest($1::text[], $2::text[]) AS used (cache, key)
            WHERE entry.cache = used.cache AND entry.key = used.key AND touched_at < $3::bigint AND removed_at IS NULL
            """)
    static let maintain = Statement(name: "maintain", sql: "SELECT maintain($1::bigint, $2::bigint, 500)")
    static let forgetRemoved = Statement(
        name: "forget_removed", sql: "SELECT forget_removed($1::bigint, $2::bigint)")
    static let saveRemoved = Statement(
        name: "save_removed", sql: "SELECT save_removed($1, $2, $3::bigint, $4, $5::text[], $6::bigint)")
    /// Entries, their bytes, removed keys that are remembered, their bytes.
    static let statistics = Statement(
        name: "statistics",
        sql: """
            SELECT coalesce(sum(entries), 0)::bigint, coalesce(sum(bytes), 0)::bigint,
                (SELECT count(*) FROM entry WHERE removed_at IS NOT NULL),
                (SELECT coalesce(sum(removed_size(cache, key)), 0)::bigint FROM entry WHERE removed_at IS NOT NULL)
            FROM tally
            """)

    // MARK: The queue

    static let claim = Statement(
        name: "claim", sql: "SELECT claim($1, $2, $3::bigint, $4, $5::bigint, $6::bigint, $7::bigint)")
    static let enqueue = Statement(
        name: "enqueue", sql: "SELECT enqueue($1, $2, $3::bigint, $4, $5::bigint, $6::bigint)")

    /// Cache by cache, in the order in which jobs are due, from the first on: for several caches at once the planner
    /// would read all that waits of them, and sort it, for each few jobs that are taken.
    static let dequeue = Statement(
        name: "dequeue",
        sql: """
            WITH due AS MATERIALIZED (
                SELECT next.* FROM unnest($1::text[]) AS served (name), LATERAL (
                    SELECT id, due_at, held_until FROM job
                    WHERE cache = served.name AND NOT is_dead AND due_at <= $4::bigint
                        AND (held_until IS NULL OR held_until <= $4::bigint)
                    ORDER BY due_at, id LIMIT $5::bigint FOR UPDATE SKIP LOCKED
                ) AS next
                ORDER BY due_at, id LIMIT $5::bigint
            )
            UPDATE job SET held_until = $3::bigint, worker = $2::text, receipt = nextval('generation'),
                was_lost = was_lost OR due.held_until IS NOT NULL
            FROM due WHERE job.id = due.id
            RETURNING job.id, cache, key, generation, lease_token, queued_at, failures, was_lost, receipt,
                coalesce(due.held_until, due.due_at)
            """)

    private static let mine =
        "FROM unnest($1::bigint[], $2::bigint[]) AS mine (id, receipt) WHERE job.id = mine.id AND job.receipt = mine.receipt"

    static let extend = Statement(
        name: "extend", sql: "UPDATE job SET held_until = $3::bigint \(mine) RETURNING job.id, job.receipt")
    static let complete = Statement(
        name: "complete",
        sql: """
            DELETE FROM job USING unnest($1::bigint[], $2::bigint[]) AS mine (id, receipt)
            WHERE job.id = mine.id AND job.receipt = mine.receipt
            """)
    static let retry = Statement(
        name: "retry",
        sql: """
            UPDATE job SET due_at = $3::bigint, held_until = NULL, failures = failures + 1, was_lost = false, error = $4::text,
                receipt = NULL, worker = NULL \(mine)
            """)
    static let giveBack = Statement(
        name: "give_back",
        sql: "UPDATE job SET due_at = $3::bigint, held_until = NULL, receipt = NULL, worker = NULL \(mine)")
    static let bury = Statement(
        name: "bury",
        sql: """
            UPDATE job SET is_dead = true, due_at = $3::bigint, held_until = NULL, failures = failures + 1, was_lost = false,
                error = $4::text, receipt = NULL, worker = NULL \(mine)
            """)
    static let ring = Statement(name: "ring", sql: "SELECT ring()")

    /// 0 queued, 1 running, 2 dead.
    private static let state = "CASE WHEN is_dead THEN 2 WHEN held_until IS NULL THEN 0 ELSE 1 END"

    static let jobs = Statement(
        name: "jobs",
        sql: """
            SELECT id, cache, key, \(state), failures, queued_at, coalesce(held_until, due_at), error, worker FROM job
            WHERE id > $1::bigint AND ($2::bigint IS NULL OR \(state) = $2) ORDER BY id LIMIT $3::bigint
            """)
    static let replay = Statement(
        name: "replay",
        sql: """
            WITH replayed AS (
                UPDATE job SET is_dead = false, due_at = $1::bigint, failures = 0, was_lost = false, error = NULL
                WHERE is_dead AND ($2::bigint IS NULL OR id = $2) RETURNING ring()
            ) SELECT count(*) FROM replayed
            """)
    /// The first part goes by the index of what may become due: no job is due before it was queued. No index says what
    /// is held: the second part reads all jobs of the caches that are no dead letters.
    static let correctTimes = Statement(
        name: "correct_times",
        sql: """
            WITH queued AS (
                UPDATE job SET due_at = $5::bigint, queued_at = least(queued_at, $5)
                WHERE cache = ANY ($1::text[]) AND NOT is_dead AND due_at > least($2::bigint, $3::bigint)
                    AND held_until IS NULL AND (queued_at > $2 OR due_at > $3)
                RETURNING ring()
            ), held AS (
                -- It was due when it was taken.
                UPDATE job SET held_until = least(held_until, $4::bigint), due_at = least(due_at, $5)
                WHERE cache = ANY ($1) AND NOT is_dead AND held_until IS NOT NULL AND (held_until > $4 OR due_at > $2)
                RETURNING 1
            ) SELECT (SELECT count(*) FROM queued) + (SELECT count(*) FROM held)
            """)
    static let counts = Statement(name: "counts", sql: "SELECT \(state), count(*) FROM job GROUP BY 1")
    static let nextDue = Statement(
        name: "next_due",
        sql: """
            SELECT min(next.at) FROM unnest($1::text[]) AS served (name), LATERAL (
                (SELECT due_at AS at FROM job WHERE cache = served.name AND NOT is_dead AND due_at > $2::bigint
                    ORDER BY due_at, id LIMIT 1)
                UNION ALL
                (SELECT min(held_until) FROM job
                    WHERE cache = served.name AND NOT is_dead AND due_at <= $2::bigint AND held_until > $2::bigint)
            ) AS next
            """)
}
