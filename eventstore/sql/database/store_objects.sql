-- Purpose: List the objects of a store on which roles have rights: its tables, its sequences, the functions of its
--   owner, its schema and its database; with their owners.
-- Parameters:
--   $1 relations text[] names of tables and sequences; those that exist are listed
--   $2 functions text[] names
-- Result: kind text (table, sequence, function, schema, database, or relation: another object with a table's name),
--   name text, identity text quoted with its schema, owner text; by kind and name
-- Locks: none
-- Index: those of the system tables
WITH events AS (
    SELECT relation.relowner
    FROM pg_catalog.pg_class AS relation
    WHERE relation.oid = pg_catalog.to_regclass(pg_catalog.format('%I.events', {schema_name}))::pg_catalog.oid
)
SELECT
    CASE
        WHEN relation.relkind IN ('r', 'p') THEN 'table'
        WHEN relation.relkind = 'S' THEN 'sequence'
        ELSE 'relation'
    END AS kind,
    relation.relname::pg_catalog.text AS name,
    pg_catalog.format('%I.%I', {schema_name}, relation.relname) AS identity,
    pg_catalog.pg_get_userbyid(relation.relowner)::pg_catalog.text AS owner
FROM pg_catalog.pg_class AS relation
WHERE relation.relnamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))::pg_catalog.oid
    AND relation.relname::pg_catalog.text = ANY ($1::pg_catalog.text[])
UNION ALL
-- A function of another role with such a name does not belong to the store.
SELECT
    'function', one.proname::pg_catalog.text,
    pg_catalog.format(
        '%I.%I(%s)', {schema_name}, one.proname, (
            SELECT pg_catalog.string_agg(pg_catalog.format_type(argument.type, NULL), ', ' ORDER BY argument.place)
            FROM pg_catalog.unnest(one.proargtypes) WITH ORDINALITY AS argument (type, place)
        )
    ),
    pg_catalog.pg_get_userbyid(one.proowner)::pg_catalog.text
FROM pg_catalog.pg_proc AS one
JOIN events ON events.relowner = one.proowner
WHERE one.pronamespace = pg_catalog.to_regnamespace(pg_catalog.quote_ident({schema_name}))::pg_catalog.oid
    AND one.proname::pg_catalog.text = ANY ($2::pg_catalog.text[])
UNION ALL
SELECT
    'schema', one.nspname::pg_catalog.text, pg_catalog.quote_ident(one.nspname::pg_catalog.text),
    pg_catalog.pg_get_userbyid(one.nspowner)::pg_catalog.text
FROM pg_catalog.pg_namespace AS one
WHERE one.nspname::pg_catalog.text = {schema_name}
UNION ALL
SELECT
    'database', one.datname::pg_catalog.text, pg_catalog.quote_ident(one.datname::pg_catalog.text),
    pg_catalog.pg_get_userbyid(one.datdba)::pg_catalog.text
FROM pg_catalog.pg_database AS one
WHERE one.datname = pg_catalog.current_database()
ORDER BY kind, name
