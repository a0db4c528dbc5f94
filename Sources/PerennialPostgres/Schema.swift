import PerennialConnections

/// The tables and functions, and the steps that bring older ones up to date.
///
/// A released step is never changed; a new version is a new step at the end. The table `version` has their number.
///
/// **Order.** A save must not overwrite what was written after the work behind it began (the fence). Generations come
/// from a sequence, so one that is taken early may be committed late; a fence made of "the newest generation" would
/// then let older work pass. So a fence is made of what the reader saw: the entry's own generation, and for the cache
/// the last purge and the newest generation that was forgotten. Each later write gets more than that:
/// - writes of one key lock its row, and take at least one more than the generation they find there;
/// - purges of tags and caches, and the janitor, hold the cache's advisory lock alone, and saves share it; each takes
///   its generation after it has the lock. So all that was committed before a purge has a smaller generation than it,
///   and all that follows a larger one.
enum Schema {
    static var version: Int { steps.count }

    private static let steps: [@Sendable (PostgresAddress) -> String] = [version1, { _ in boundedMemory }]

    /// Makes or updates the tables. Of several processes that come at once, one does it.
    static func migrate(_ connection: PostgresConnection, _ address: PostgresAddress) throws(ConnectionError) {
        if try found(connection, address) == version { return }
        try connection.command(
            "BEGIN; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '30s'; SELECT pg_advisory_xact_lock(hashtext('perennial'), hashtext('\(address.schema)'))",
            patience: .seconds(30))
        do throws(ConnectionError) {
            var found = try found(connection, address)
            while found < version {
                try connection.command(steps[found](address), patience: .seconds(30))
                found += 1
            }
            try connection.command("COMMIT")
        } catch {
            try? connection.command("ROLLBACK")
            throw error
        }
    }

    private static func found(
        _ connection: PostgresConnection, _ address: PostgresAddress
    ) throws(ConnectionError) -> Int {
        // From the catalogue itself: a name that was looked up before is remembered as missing.
        let table = try connection.text(
            """
            SELECT c.oid::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = '\(address.schema)' AND c.relname = 'version'
            """)
        if table == nil { return 0 }
        let found =
            try connection.text("SELECT max(number)::text FROM \(address.schema).version").flatMap { Int($0) } ?? 0
        guard found <= version else {
            throw ConnectionError(
                .refused,
                "\(address.url): the schema \(address.schema) was made by a newer Perennial (version \(found), this one knows"
                    + " \(version)); upgrade, or choose another schema")
        }
        return found
    }

    /// Version 2: what is remembered of removed keys is counted and bounded, and a value that can't fit takes the one
    /// before it away.
    private static let boundedMemory = """
        INSERT INTO version (number) VALUES (2);

        -- The bytes that a removed key counts.
        CREATE FUNCTION removed_size(p_cache text, p_key text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
            SELECT octet_length(p_cache)::bigint + octet_length(p_key) + 64
        $$;

        -- Forgets the removed keys behind the newest so many, and so many bytes; work from before their removal may no longer save
        -- anything that is missing.
        CREATE FUNCTION forget_removed(p_most bigint, p_bytes bigint) RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            c text;
            last_doomed bigint;
            newest bigint;
        BEGIN
            SELECT max(r.generation) INTO last_doomed FROM (
                SELECT generation, row_number() OVER w AS n, sum(removed_size(cache, key)) OVER w AS total
                FROM entry WHERE removed_at IS NOT NULL WINDOW w AS (ORDER BY generation DESC ROWS UNBOUNDED PRECEDING)
            ) r WHERE r.n > p_most OR r.total > p_bytes;
            IF last_doomed IS NULL THEN RETURN; END IF;
            FOR c IN
                SELECT DISTINCT cache FROM entry WHERE removed_at IS NOT NULL AND generation <= last_doomed ORDER BY 1
            LOOP
                PERFORM lock_cache(c, true);
                WITH gone AS (
                    DELETE FROM entry WHERE cache = c AND removed_at IS NOT NULL AND generation <= last_doomed
                    RETURNING generation
                ) SELECT max(generation) INTO newest FROM gone;
                IF newest IS NOT NULL THEN PERFORM forget_keys(c, newest); END IF;
            END LOOP;
        END $$;

        -- As a save, behind which the entry is removed at once.
        CREATE FUNCTION save_removed(
            p_cache text, p_key text, p_fence bigint, p_token text, p_tags text[], p_now bigint
        ) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            old record;
            h record;
            g bigint;
        BEGIN
            PERFORM lock_cache(p_cache, false);
            IF p_token IS NOT NULL THEN
                UPDATE lease SET until = 0 WHERE cache = p_cache AND key = p_key AND token = p_token;
            END IF;
            LOOP
                SELECT generation, removed_at, cost INTO old FROM entry WHERE cache = p_cache AND key = p_key FOR UPDATE;
                IF p_fence IS NOT NULL THEN
                    SELECT * INTO h FROM horizon WHERE cache = p_cache;
                    IF p_fence < coalesce(old.generation, h.forgotten_keys, 0) OR p_fence < h.forgotten_purges THEN
                        RETURN NULL;
                    END IF;
                    IF p_fence < h.last_purge AND EXISTS (
                        SELECT 1 FROM purge
                        WHERE cache = p_cache AND generation > p_fence AND (tag IS NULL OR tag = ANY (p_tags))
                    ) THEN RETURN NULL; END IF;
                END IF;
                g := greatest(nextval('generation'), old.generation + 1);
                IF old.generation IS NULL THEN
                    INSERT INTO entry (cache, key, generation, removed_at) VALUES (p_cache, p_key, g, p_now)
                        ON CONFLICT DO NOTHING;
                    CONTINUE WHEN NOT FOUND;
                ELSE
                    UPDATE entry SET generation = g, removed_at = p_now, value = NULL, tags = '{}', cost = 0
                        WHERE cache = p_cache AND key = p_key;
                END IF;
                EXIT;
            END LOOP;
            IF old.generation IS NOT NULL AND old.removed_at IS NULL THEN PERFORM count_in(-1, -old.cost); END IF;
            PERFORM tell(p_cache, p_key, g);
            RETURN g;
        END $$;
        """

    private static func version1(_ address: PostgresAddress) -> String {
        let table = address.isUnlogged ? "CREATE UNLOGGED TABLE" : "CREATE TABLE"
        return """
            CREATE SCHEMA IF NOT EXISTS \(address.schema);
            CREATE TABLE version (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
            INSERT INTO version (number) VALUES (1);

            -- Beginning with the time, so that tables that take the place of lost ones never give an older generation.
            DO $$ BEGIN EXECUTE format('CREATE SEQUENCE generation START %s', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint); END $$;
            CREATE SEQUENCE job_id;

            -- Times in milliseconds since 1970, durations in milliseconds. A row with removed_at is a tombstone.
            -- dead_from and touched_from are dead_at and touched_at made coarse: they have indexes and seldom change, so that most
            -- updates touch no index (heap-only tuples).
            \(table) entry (
                cache text COLLATE "C" NOT NULL,
                key text COLLATE "C" NOT NULL,
                generation bigint NOT NULL,
                removed_at bigint,
                absent boolean NOT NULL DEFAULT false,
                format text NOT NULL DEFAULT '',
                saved_at bigint NOT NULL DEFAULT 0,
                confirmed_at bigint NOT NULL DEFAULT 0,
                refresh_after bigint NOT NULL DEFAULT 0,
                expire_after bigint NOT NULL DEFAULT 0,
                stale_if_error bigint NOT NULL DEFAULT 0,
                marked_stale_at bigint,
                etag text,
                last_modified text,
                tags text[] COLLATE "C" NOT NULL DEFAULT '{}',
                dead_at bigint NOT NULL DEFAULT 0,
                dead_from bigint NOT NULL DEFAULT 0,
                touched_at bigint NOT NULL DEFAULT 0,
                touched_from bigint NOT NULL DEFAULT 0,
                size bigint NOT NULL DEFAULT 0,
                cost bigint NOT NULL DEFAULT 0,
                value bytea,
                PRIMARY KEY (cache, key)
            ) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05);
            ALTER TABLE entry ALTER COLUMN value SET STORAGE EXTERNAL;
            CREATE INDEX entry_dead ON entry (dead_from) WHERE removed_at IS NULL;
            CREATE INDEX entry_touched ON entry (touched_from) WHERE removed_at IS NULL;
            CREATE INDEX entry_removed ON entry (removed_at) WHERE removed_at IS NOT NULL;
            CREATE INDEX entry_tags ON entry USING gin (tags) WITH (fastupdate = off) WHERE tags <> '{}';

            -- For each cache the newest purge and what is no longer remembered one by one.
            \(table) horizon (
                cache text COLLATE "C" PRIMARY KEY,
                last_purge bigint NOT NULL DEFAULT 0,
                forgotten_keys bigint NOT NULL DEFAULT 0,
                forgotten_purges bigint NOT NULL DEFAULT 0
            );
            -- tag NULL: the whole cache.
            \(table) purge (
                cache text COLLATE "C" NOT NULL,
                tag text COLLATE "C",
                generation bigint NOT NULL,
                at bigint NOT NULL
            );
            CREATE INDEX purge_cache ON purge (cache, generation);

            -- Without a log always: a lease that is lost costs a second request to the origin at worst.
            CREATE UNLOGGED TABLE lease (
                cache text COLLATE "C" NOT NULL,
                key text COLLATE "C" NOT NULL,
                token text NOT NULL,
                until bigint NOT NULL,
                PRIMARY KEY (cache, key)
            ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

            -- How much there is; each connection has a row of its own, the sum counts.
            \(table) tally (slot integer PRIMARY KEY, entries bigint NOT NULL, bytes bigint NOT NULL)
                WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500);

            -- A worker that takes a job, and its heartbeat, change nothing that has an index (heap-only tuples): that the job is running
            -- stands in held_until alone, which is past or null when nobody has it. due_at of a dead letter is when it was buried.
            \(table) job (
                cache text COLLATE "C" NOT NULL,
                key text COLLATE "C" NOT NULL,
                id bigint NOT NULL DEFAULT nextval('job_id'),
                is_dead boolean NOT NULL DEFAULT false,
                due_at bigint NOT NULL,
                held_until bigint,
                generation bigint NOT NULL,
                lease_token text NOT NULL,
                queued_at bigint NOT NULL,
                failures bigint NOT NULL DEFAULT 0,
                was_lost boolean NOT NULL DEFAULT false,
                receipt bigint,
                worker text,
                error text,
                PRIMARY KEY (cache, key)
            ) WITH (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.05);
            CREATE UNIQUE INDEX job_by_id ON job (id);
            CREATE INDEX job_due ON job (cache, due_at, id) WHERE NOT is_dead;

            -- For people.
            CREATE VIEW entries AS SELECT cache, key, generation, absent, to_timestamp(saved_at / 1000.0) AS saved_at,
                to_timestamp(confirmed_at / 1000.0) AS confirmed_at, refresh_after * interval '1 ms' AS refresh_after,
                expire_after * interval '1 ms' AS expire_after, stale_if_error * interval '1 ms' AS stale_if_error,
                marked_stale_at IS NOT NULL AS is_marked_stale, etag, last_modified, tags, format, size, value
                FROM entry WHERE removed_at IS NULL;

            CREATE FUNCTION lock_cache(p_cache text, p_alone boolean) RETURNS void LANGUAGE plpgsql AS $$
            BEGIN
                IF p_alone THEN PERFORM pg_advisory_xact_lock(hashtext(current_schema()), hashtext(p_cache));
                ELSE PERFORM pg_advisory_xact_lock_shared(hashtext(current_schema()), hashtext(p_cache)); END IF;
            END $$;

            CREATE FUNCTION tell(p_cache text, p_key text, p_generation bigint) RETURNS void LANGUAGE plpgsql AS $$
            DECLARE line text := p_generation || ' ' || octet_length(p_cache) || ':' || p_cache || octet_length(p_key) || ':' || p_key;
            BEGIN
                -- What is too long to be told is told as "much was changed".
                PERFORM pg_notify(current_schema() || '_changes', CASE WHEN octet_length(line) < 7900 THEN line ELSE '' END);
            END $$;

            CREATE FUNCTION count_in(p_entries bigint, p_bytes bigint) RETURNS void LANGUAGE sql AS $$
                INSERT INTO tally VALUES (pg_backend_pid() % 1024, p_entries, p_bytes)
                ON CONFLICT (slot) DO UPDATE SET entries = tally.entries + p_entries, bytes = tally.bytes + p_bytes
            $$;

            -- Times made coarse, by a step that fits how long they are ahead.
            CREATE FUNCTION coarse(p_time bigint, p_span bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
                SELECT p_time - mod(p_time, greatest(1, (p_span / 8)))
            $$;

            CREATE FUNCTION save(
                p_cache text, p_key text, p_fence bigint, p_token text, p_confirms boolean, p_absent boolean, p_format text,
                p_saved_at bigint, p_confirmed_at bigint, p_refresh_after bigint, p_expire_after bigint, p_stale_if_error bigint,
                p_marked_stale_at bigint, p_etag text, p_last_modified text, p_tags text[], p_dead_at bigint, p_size bigint,
                p_cost bigint, p_value bytea
            ) RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE
                old record;
                h record;
                g bigint;
                used bigint := greatest(p_saved_at, p_confirmed_at);
                dead bigint := coarse(p_dead_at, p_dead_at - greatest(p_saved_at, p_confirmed_at));
                touched bigint := coarse(greatest(p_saved_at, p_confirmed_at), 28800000);
                new_cost bigint := p_cost;
            BEGIN
                -- As lock_cache and tell do, without the cost of calling them.
                PERFORM pg_advisory_xact_lock_shared(hashtext(current_schema()), hashtext(p_cache));
                IF p_token IS NOT NULL THEN
                    UPDATE lease SET until = 0 WHERE cache = p_cache AND key = p_key AND token = p_token;
                END IF;
                LOOP
                    SELECT generation, removed_at, touched_at, cost, size, tags INTO old
                        FROM entry WHERE cache = p_cache AND key = p_key FOR UPDATE;
                    IF p_confirms AND (old.generation IS NULL OR old.removed_at IS NOT NULL) THEN RETURN NULL; END IF;
                    IF p_fence IS NOT NULL THEN
                        SELECT * INTO h FROM horizon WHERE cache = p_cache;
                        IF p_fence < coalesce(old.generation, h.forgotten_keys, 0) OR p_fence < h.forgotten_purges THEN
                            RETURN NULL;
                        END IF;
                        IF p_fence < h.last_purge AND EXISTS (
                            SELECT 1 FROM purge
                            WHERE cache = p_cache AND generation > p_fence AND (tag IS NULL OR tag = ANY (p_tags))
                        ) THEN RETURN NULL; END IF;
                    END IF;
                    g := greatest(nextval('generation'), old.generation + 1);
                    IF old.generation IS NULL THEN
                        INSERT INTO entry VALUES (
                            p_cache, p_key, g, NULL, p_absent, p_format, p_saved_at, p_confirmed_at, p_refresh_after,
                            p_expire_after, p_stale_if_error, p_marked_stale_at, p_etag, p_last_modified, p_tags, p_dead_at, dead,
                            used, touched, p_size, p_cost, p_value
                        ) ON CONFLICT DO NOTHING;
                        -- Somebody else was first: look again.
                        CONTINUE WHEN NOT FOUND;
                    ELSIF p_confirms THEN
                        new_cost := old.cost + (SELECT coalesce(sum(octet_length(t)), 0) FROM unnest(p_tags) t)
                            - (SELECT coalesce(sum(octet_length(t)), 0) FROM unnest(old.tags) t);
                        UPDATE entry SET generation = g, confirmed_at = p_confirmed_at, refresh_after = p_refresh_after,
                            expire_after = p_expire_after, stale_if_error = p_stale_if_error,
                            marked_stale_at = p_marked_stale_at, etag = p_etag, last_modified = p_last_modified,
                            tags = p_tags, dead_at = p_dead_at, dead_from = dead, cost = new_cost,
                            touched_at = greatest(touched_at, used), touched_from = greatest(touched_from, touched)
                            WHERE cache = p_cache AND key = p_key;
                    ELSE
                        UPDATE entry SET generation = g, removed_at = NULL, absent = p_absent, format = p_format,
                            saved_at = p_saved_at, confirmed_at = p_confirmed_at, refresh_after = p_refresh_after,
                            expire_after = p_expire_after, stale_if_error = p_stale_if_error,
                            marked_stale_at = p_marked_stale_at, etag = p_etag, last_modified = p_last_modified,
                            tags = p_tags, dead_at = p_dead_at, dead_from = dead, size = p_size, cost = p_cost,
                            touched_at = greatest(touched_at, used), touched_from = greatest(touched_from, touched), value = p_value
                            WHERE cache = p_cache AND key = p_key;
                    END IF;
                    EXIT;
                END LOOP;
                IF old.generation IS NULL OR old.removed_at IS NOT NULL THEN
                    PERFORM count_in(1, new_cost);
                ELSIF new_cost <> old.cost THEN
                    PERFORM count_in(0, new_cost - old.cost);
                END IF;
                PERFORM pg_notify(current_schema() || '_changes', CASE WHEN octet_length(p_cache) + octet_length(p_key) < 7800
                    THEN g || ' ' || octet_length(p_cache) || ':' || p_cache || octet_length(p_key) || ':' || p_key ELSE '' END);
                RETURN g;
            END $$;

            -- NULL: the lease is the token's. Else until when somebody else has it.
            CREATE FUNCTION take_lease(p_cache text, p_key text, p_token text, p_until bigint, p_now bigint)
            RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE held bigint;
            BEGIN
                LOOP
                    INSERT INTO lease VALUES (p_cache, p_key, p_token, p_until)
                        ON CONFLICT (cache, key) DO UPDATE SET token = p_token, until = p_until
                        WHERE lease.until <= p_now OR lease.token = p_token;
                    IF FOUND THEN RETURN NULL; END IF;
                    SELECT until INTO held FROM lease WHERE cache = p_cache AND key = p_key;
                    IF held > p_now THEN RETURN held; END IF;
                END LOOP;
            END $$;

            -- In the order of the keys, so that two who take several don't wait for each other.
            CREATE FUNCTION take_leases(p_caches text[], p_keys text[], p_token text, p_until bigint, p_now bigint)
            RETURNS bigint[] LANGUAGE plpgsql AS $$
            DECLARE
                item record;
                outcomes bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(p_keys)]);
            BEGIN
                FOR item IN SELECT * FROM unnest(p_caches, p_keys) WITH ORDINALITY AS u (cache, key, place) ORDER BY 1, 2 LOOP
                    outcomes[item.place] := take_lease(item.cache, item.key, p_token, p_until, p_now);
                END LOOP;
                RETURN outcomes;
            END $$;

            CREATE FUNCTION purge_key(p_removes boolean, p_cache text, p_key text, p_now bigint)
            RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE
                old record;
                g bigint;
                is_live boolean;
            BEGIN
                PERFORM lock_cache(p_cache, false);
                IF p_removes THEN UPDATE lease SET until = 0 WHERE cache = p_cache AND key = p_key; END IF;
                LOOP
                    SELECT generation, removed_at, cost INTO old FROM entry WHERE cache = p_cache AND key = p_key FOR UPDATE;
                    g := greatest(nextval('generation'), old.generation + 1);
                    is_live := old.generation IS NOT NULL AND old.removed_at IS NULL;
                    IF old.generation IS NULL THEN
                        INSERT INTO entry (cache, key, generation, removed_at) VALUES (p_cache, p_key, g, p_now)
                            ON CONFLICT DO NOTHING;
                        CONTINUE WHEN NOT FOUND;
                    ELSIF is_live AND NOT p_removes THEN
                        UPDATE entry SET generation = g, marked_stale_at = least(marked_stale_at, p_now)
                            WHERE cache = p_cache AND key = p_key;
                    ELSE
                        UPDATE entry SET generation = g, removed_at = p_now, value = NULL, tags = '{}', cost = 0
                            WHERE cache = p_cache AND key = p_key;
                    END IF;
                    EXIT;
                END LOOP;
                IF is_live AND p_removes THEN PERFORM count_in(-1, -old.cost); END IF;
                PERFORM tell(p_cache, p_key, g);
                RETURN CASE WHEN is_live THEN 1 ELSE 0 END;
            END $$;

            -- p_tag NULL: the whole cache.
            CREATE FUNCTION purge_many(p_removes boolean, p_cache text, p_tag text, p_now bigint)
            RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE
                g bigint;
                found_keys text[];
                lost bigint;
                n bigint;
            BEGIN
                PERFORM lock_cache(p_cache, true);
                g := nextval('generation');
                IF NOT p_removes THEN
                    WITH changed AS (
                        UPDATE entry SET generation = greatest(g, generation + 1), marked_stale_at = least(marked_stale_at, p_now)
                        WHERE cache = p_cache AND removed_at IS NULL AND (p_tag IS NULL OR tags @> ARRAY[p_tag] AND tags <> '{}')
                        RETURNING key
                    ) SELECT array_agg(key), count(*) INTO found_keys, n FROM changed;
                ELSIF p_tag IS NULL THEN
                    -- No tombstones: the memory of the purge covers every key of the cache.
                    WITH gone AS (DELETE FROM entry WHERE cache = p_cache RETURNING removed_at, cost)
                        SELECT count(*), sum(cost) INTO n, lost FROM gone WHERE removed_at IS NULL;
                    UPDATE lease SET until = 0 WHERE cache = p_cache;
                ELSE
                    SELECT array_agg(key), count(*), sum(cost) INTO found_keys, n, lost
                        FROM entry WHERE cache = p_cache AND removed_at IS NULL AND tags @> ARRAY[p_tag] AND tags <> '{}';
                    UPDATE entry SET generation = greatest(g, generation + 1), removed_at = p_now, value = NULL, tags = '{}', cost = 0
                        WHERE cache = p_cache AND key = ANY (found_keys);
                    UPDATE lease SET until = 0 WHERE cache = p_cache AND key = ANY (found_keys);
                END IF;
                IF n > 0 AND p_removes THEN PERFORM count_in(-n, -lost); END IF;
                DELETE FROM purge WHERE cache = p_cache AND tag IS NOT DISTINCT FROM p_tag;
                INSERT INTO purge VALUES (p_cache, p_tag, g, p_now);
                INSERT INTO horizon (cache, last_purge) VALUES (p_cache, g)
                    ON CONFLICT (cache) DO UPDATE SET last_purge = g;
                IF n <= 100 AND p_tag IS NOT NULL THEN
                    PERFORM tell(p_cache, k, (SELECT generation FROM entry WHERE cache = p_cache AND key = k))
                        FROM unnest(found_keys) AS k;
                ELSE
                    PERFORM pg_notify(current_schema() || '_changes', '');
                END IF;
                RETURN coalesce(n, 0);
            END $$;

            CREATE FUNCTION ring() RETURNS void LANGUAGE sql AS $$ SELECT pg_notify(current_schema() || '_jobs', '') $$;

            -- Whether the job is new.
            CREATE FUNCTION enqueue(
                p_cache text, p_key text, p_generation bigint, p_token text, p_queued_at bigint, p_at bigint
            ) RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO job (cache, key, due_at, generation, lease_token, queued_at)
                    VALUES (p_cache, p_key, p_at, p_generation, p_token, p_queued_at)
                    ON CONFLICT (cache, key) DO UPDATE SET id = nextval('job_id'), is_dead = false, due_at = p_at,
                        generation = p_generation, lease_token = p_token, queued_at = p_queued_at, failures = 0, was_lost = false,
                        error = NULL
                    WHERE job.is_dead;
                IF FOUND THEN PERFORM ring(); END IF;
                RETURN FOUND;
            END $$;

            -- -1: queued; -2: the entry is another; else until when somebody else has claimed it.
            CREATE FUNCTION claim(
                p_cache text, p_key text, p_generation bigint, p_token text, p_queued_at bigint, p_until bigint, p_now bigint
            ) RETURNS bigint LANGUAGE plpgsql AS $$
            DECLARE
                held bigint;
                is_new boolean;
            BEGIN
                -- Somebody else is at it in this very moment: not waited for, since many claim many at once.
                IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' ' || p_cache || ' ' || p_key, 0)) THEN
                    RETURN p_now + 1000;
                END IF;
                held := take_lease(p_cache, p_key, p_token, p_until, p_now);
                IF NOT EXISTS (
                    SELECT 1 FROM entry
                    WHERE cache = p_cache AND key = p_key AND generation = p_generation AND removed_at IS NULL
                ) THEN
                    IF held IS NULL THEN
                        UPDATE lease SET until = 0 WHERE cache = p_cache AND key = p_key AND token = p_token;
                    END IF;
                    RETURN -2;
                END IF;
                IF held IS NOT NULL THEN RETURN held; END IF;
                is_new := enqueue(p_cache, p_key, p_generation, p_token, p_queued_at, p_now);
                IF is_new THEN RETURN -1; END IF;
                -- A job from an earlier claim still waits, under that claim's token: leave it the lease.
                UPDATE lease SET until = 0 WHERE cache = p_cache AND key = p_key AND token = p_token;
                RETURN p_until;
            END $$;

            -- The janitor; of several processes one does it at a time. Returns how many dead entries went, how many were evicted, and
            -- whether there is more to do (1).
            CREATE FUNCTION maintain(p_now bigint, p_limit bigint, p_batch bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
            DECLARE
                c text;
                all_bytes bigint;
                dead bigint := 0;
                evicted bigint := 0;
                n bigint;
                lost bigint;
                newest bigint;
                is_unfinished bigint := 0;
            BEGIN
                IF NOT pg_try_advisory_xact_lock(hashtext(current_schema()), hashtext('perennial janitor')) THEN
                    RETURN ARRAY[0, 0, 0];
                END IF;
                FOR c IN
                    SELECT DISTINCT doomed.cache FROM (
                        SELECT cache FROM entry WHERE removed_at IS NULL AND dead_from <= p_now AND dead_at <= p_now LIMIT p_batch
                    ) doomed ORDER BY 1
                LOOP
                    PERFORM lock_cache(c, true);
                    WITH gone AS (
                        DELETE FROM entry WHERE ctid = ANY (ARRAY(
                            SELECT ctid FROM entry
                            WHERE cache = c AND removed_at IS NULL AND dead_from <= p_now AND dead_at <= p_now LIMIT p_batch - dead))
                        RETURNING entry.generation, entry.cost
                    ) SELECT count(*), sum(cost), max(generation) INTO n, lost, newest FROM gone;
                    CONTINUE WHEN n = 0;
                    PERFORM forget_keys(c, newest);
                    PERFORM count_in(-n, -lost);
                    dead := dead + n;
                    EXIT WHEN dead >= p_batch;
                END LOOP;
                IF dead >= p_batch THEN is_unfinished := 1; END IF;
                SELECT sum(bytes) INTO all_bytes FROM tally;
                IF all_bytes > p_limit AND dead < p_batch THEN
                    CREATE TEMP TABLE IF NOT EXISTS oldest (cache text, key text, generation bigint) ON COMMIT DELETE ROWS;
                    INSERT INTO oldest SELECT o.cache, o.key, o.generation FROM (
                        SELECT e.*, sum(e.cost) OVER (ORDER BY e.touched_from, e.touched_at, e.cache, e.key) - e.cost AS freed FROM (
                            SELECT * FROM entry WHERE removed_at IS NULL
                            ORDER BY touched_from, touched_at, cache, key LIMIT p_batch - dead
                        ) e
                    ) o WHERE o.freed < all_bytes - p_limit;
                    FOR c IN SELECT DISTINCT oldest.cache FROM oldest ORDER BY 1 LOOP
                        PERFORM lock_cache(c, true);
                        WITH gone AS (
                            DELETE FROM entry USING oldest
                            WHERE entry.cache = c AND oldest.cache = c AND entry.key = oldest.key
                                AND entry.generation = oldest.generation AND entry.removed_at IS NULL
                            RETURNING entry.generation, entry.cost
                        ) SELECT count(*), sum(cost), max(generation) INTO n, lost, newest FROM gone;
                        CONTINUE WHEN n = 0;
                        PERFORM forget_keys(c, newest);
                        PERFORM count_in(-n, -lost);
                        evicted := evicted + n;
                        all_bytes := all_bytes - lost;
                    END LOOP;
                    DELETE FROM oldest;
                END IF;
                IF all_bytes > p_limit THEN is_unfinished := 1; END IF;

                -- Marks of an hour ago; work that is older may no longer save.
                FOR c IN
                    SELECT DISTINCT doomed.cache FROM (
                        SELECT cache FROM entry WHERE removed_at <= p_now - 3600000 LIMIT p_batch
                    ) doomed ORDER BY 1
                LOOP
                    PERFORM lock_cache(c, true);
                    WITH gone AS (
                        DELETE FROM entry WHERE ctid = ANY (ARRAY(
                            SELECT ctid FROM entry WHERE cache = c AND removed_at <= p_now - 3600000 LIMIT p_batch))
                        RETURNING entry.generation
                    ) SELECT max(generation) INTO newest FROM gone;
                    PERFORM forget_keys(c, newest);
                END LOOP;
                FOR c IN SELECT DISTINCT cache FROM purge WHERE at <= p_now - 3600000 ORDER BY 1 LOOP
                    PERFORM lock_cache(c, true);
                    WITH gone AS (DELETE FROM purge WHERE cache = c AND at <= p_now - 3600000 RETURNING generation)
                        SELECT max(generation) INTO newest FROM gone;
                    UPDATE horizon SET forgotten_purges = greatest(forgotten_purges, newest) WHERE cache = c;
                END LOOP;
                DELETE FROM lease WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM lease WHERE until <= p_now - 60000 LIMIT p_batch FOR UPDATE SKIP LOCKED));
                DELETE FROM job WHERE id = ANY (ARRAY(
                    SELECT id FROM job WHERE is_dead AND due_at <= p_now - 2592000000 LIMIT p_batch));
                RETURN ARRAY[dead, evicted, is_unfinished];
            END $$;

            CREATE FUNCTION forget_keys(p_cache text, p_generation bigint) RETURNS void LANGUAGE sql AS $$
                INSERT INTO horizon (cache, forgotten_keys) VALUES (p_cache, p_generation)
                ON CONFLICT (cache) DO UPDATE SET forgotten_keys = greatest(horizon.forgotten_keys, p_generation)
            $$
            """
    }
}
