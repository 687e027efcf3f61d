-- The event log: one append-only table, its sequence, its guards, and the functions that append.
-- migrate:creates: events, events_position_seq, events_refuse_change, append_event, append_events, lock_event_log

-- migrate:up

-- CACHE 1: a session that cached positions would hand out old ones after newer ones were read.
CREATE SEQUENCE events_position_seq AS bigint CACHE 1;

-- Columns from wide to narrow, so that no row pays for padding; the digest last, so that whoever reads or writes rows by the
-- order of their columns finds the event first. No default for position: it is drawn inside the
-- append statement and nowhere else.
CREATE TABLE events (
    position       bigint      NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    version        integer     NOT NULL,
    schema_version smallint    NOT NULL,
    stream_id      uuid        NOT NULL,
    event_id       uuid        NOT NULL,
    category       text        NOT NULL,
    type           text        NOT NULL,
    data           jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    append_digest  integer     NOT NULL DEFAULT 0,
    CONSTRAINT events_pkey PRIMARY KEY (stream_id, version),
    CONSTRAINT events_position_key UNIQUE (position),
    CONSTRAINT events_version_positive CHECK (version >= 1),
    CONSTRAINT events_position_positive CHECK (position >= 1)
);

ALTER SEQUENCE events_position_seq OWNED BY events.position;

COMMENT ON TABLE events IS 'Append-only: the only truth. Read tables are folded from it and can be rebuilt.';
COMMENT ON COLUMN events.position IS 'Global order; has gaps; final once no transaction in flight can precede it.';
COMMENT ON COLUMN events.version IS '1, 2, 3 ... in the stream, without gaps.';
COMMENT ON COLUMN events.append_digest IS
    'The sum of the CRC-32 of the ids of the events appended together: a repeat of some of them is a conflict. 0: appended alone, or imported.';
COMMENT ON COLUMN events.occurred_at IS 'The clock of the domain.';
COMMENT ON COLUMN events.recorded_at IS 'The clock of the database when the statement of the append began.';

CREATE FUNCTION events_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'ES001',
              HINT = 'Append an event that corrects what an earlier one says.';
END
$$;

-- For each statement, so that one that would touch no row is refused as well; and always, so that a session in
-- replica mode is refused too.
CREATE TRIGGER events_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change;

REVOKE UPDATE, DELETE, TRUNCATE ON events FROM PUBLIC, CURRENT_USER;

-- Who appends needs no right on the table: these functions have their owner's, and take position and recorded_at from the
-- server alone. `eventstore grant --writer` lets a role call them. Each INSERT locks the table (ROW EXCLUSIVE) before the first
-- position is drawn, also from a plan that is kept: readers in order rest on that.

CREATE FUNCTION append_event(
    stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint, data text,
    metadata text, occurred_at timestamptz, lock_timeout text,
    OUT "position" bigint, OUT recorded_at timestamptz, OUT actual integer
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
#variable_conflict use_column
BEGIN
    -- Text that begins so and is JSON is an object.
    IF (
        schema_version >= 1
        AND category <> '' AND type <> '' AND greatest(octet_length(category), octet_length(type)) <= 255
        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00'
        AND starts_with(data, '{') AND starts_with(metadata, '{')
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'the log does not take this event: schema_version is 1 or more, category and type have 1 to '
                '255 bytes, occurred_at lies in the years 1 to 9999, data and metadata are JSON objects'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'events_event_check';
    END IF;
    IF lock_timeout IS NOT NULL THEN
        lock_timeout := set_config('lock_timeout', lock_timeout, true);
    END IF;
    -- One statement where all is well: it costs a tenth less than a look at the stream and then an INSERT. Where others
    -- append between that and the look, it is tried again.
    FOR attempt IN 1 .. 2 LOOP
        INSERT INTO {schema}.events AS appended (
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            recorded_at
        )
        SELECT
            nextval({regclass events_position_seq}), append_event.stream_id, append_event.version, append_event.event_id,
            append_event.category, append_event.type, append_event.schema_version, append_event.data::jsonb,
            append_event.metadata::jsonb, append_event.occurred_at, statement_timestamp()
        WHERE append_event.version - 1 = coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = append_event.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0)
        RETURNING appended.position, appended.recorded_at INTO position, recorded_at;
        EXIT WHEN position IS NOT NULL;
        actual := coalesce((
            SELECT last.version FROM {schema}.events AS last
            WHERE last.stream_id = append_event.stream_id
            ORDER BY last.version DESC
            LIMIT 1
        ), 0);
        EXIT WHEN actual <> append_event.version - 1;
    END LOOP;
END
$body$;

-- The events come as one document, an array of objects in the order of their staging: it costs the client half of what
-- an array for each column does.
CREATE FUNCTION append_events(
    document text, lock_timeout text,
    OUT positions bigint[], OUT recorded_at timestamptz, OUT conflicts text
)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
#variable_conflict use_column
DECLARE
    has_fault boolean;
BEGIN
    IF lock_timeout IS NOT NULL THEN
        lock_timeout := set_config('lock_timeout', lock_timeout, true);
    END IF;
    WITH given AS MATERIALIZED (
        -- In a sub-select, so that the planner cannot look at the document: every plan then costs the same, and
        -- PostgreSQL goes over to a generic one after five calls.
        SELECT event.*
        FROM json_to_recordset((SELECT document::json)) AS event (
            stream_id uuid, version integer, event_id uuid, category text, type text, schema_version smallint,
            data jsonb, metadata jsonb, occurred_at timestamptz, append_digest integer
        )
    ),
    refused AS MATERIALIZED (
        SELECT head.stream_id, head.expected, head.actual, head.is_sound
        FROM (
            SELECT seen.stream_id, seen.expected, seen.is_sound, coalesce((
                SELECT last.version FROM {schema}.events AS last
                WHERE last.stream_id = seen.stream_id
                ORDER BY last.version DESC
                LIMIT 1
            ), 0) AS actual
            FROM (
                SELECT
                    stream_id,
                    min(version) - 1 AS expected,
                    max(version)::bigint - min(version) + 1 = count(*) AND bool_and(
                        schema_version >= 1
                        AND category <> '' AND type <> '' AND greatest(octet_length(category), octet_length(type)) <= 255
                        AND occurred_at >= '0001-01-01 00:00:00+00' AND occurred_at < '10000-01-01 00:00:00+00'
                        AND jsonb_typeof(data) = 'object' AND jsonb_typeof(metadata) = 'object'
                    ) AS is_sound
                FROM given
                GROUP BY stream_id
            ) AS seen
        ) AS head
        WHERE head.actual <> head.expected OR NOT head.is_sound
    ),
    staged AS MATERIALIZED (
        SELECT nextval({regclass events_position_seq}) AS position, given.*
        FROM given
        WHERE NOT EXISTS (SELECT FROM refused)
    ),
    appended AS (
        -- By stream and version, so that two appends which cross cannot deadlock.
        INSERT INTO {schema}.events (
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            recorded_at, append_digest
        )
        SELECT
            position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at,
            statement_timestamp(), coalesce(append_digest, 0)
        FROM staged
        ORDER BY stream_id, version
        RETURNING position, recorded_at
    )
    SELECT
        array_agg(position ORDER BY position),
        min(recorded_at),
        (
            SELECT json_agg(json_build_object('stream_id', stream_id, 'expected', expected, 'actual', actual))::text
            FROM refused WHERE actual <> expected
        ),
        EXISTS (SELECT FROM refused WHERE NOT is_sound)
    INTO positions, recorded_at, conflicts, has_fault
    FROM appended;
    IF has_fault THEN
        RAISE EXCEPTION 'the log does not take one of these events: the versions of a stream follow one another, '
                'schema_version is 1 or more, category and type have 1 to 255 bytes, occurred_at lies in the years '
                '1 to 9999, data and metadata are JSON objects'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'events_event_check';
    END IF;
END
$body$;

-- LOCK TABLE needs rights that not even the owner of an append-only table has; this takes SHARE ROW EXCLUSIVE and changes
-- nothing. Reads go on.
CREATE FUNCTION lock_event_log() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    ALTER TABLE {schema}.events ENABLE ALWAYS TRIGGER events_refuse_change;
END
$body$;

-- A function is everybody's to call unless that is revoked.
REVOKE ALL ON FUNCTION
    append_event(uuid, integer, uuid, text, text, smallint, text, text, timestamptz, text),
    append_events(text, text),
    lock_event_log(),
    events_refuse_change()
    FROM PUBLIC;

-- migrate:requires-empty: events
-- migrate:down

DROP FUNCTION lock_event_log();
DROP FUNCTION append_events(text, text);
DROP FUNCTION append_event(uuid, integer, uuid, text, text, smallint, text, text, timestamptz, text);
DROP TABLE events;
DROP FUNCTION events_refuse_change();
