-- Purpose: Describe the table of a projection: its columns, and which of them an INSERT must set or cannot set.
-- Parameters:
--   $1 table text quoted, with its schema
-- Result: name text; type text with its modifier; type_id bigint; has_modifier boolean (numeric(10,2): values are
--   rounded or refused); is_not_null boolean; has_default boolean; is_generated boolean; key_place smallint in the
--   primary key, from 1, else NULL; is_table boolean; in the order of columns; no row if there is no such relation
-- Locks: none beyond ACCESS SHARE on the catalog
-- Index: pg_attribute_relid_attnum_index
SELECT
    attribute.attname::pg_catalog.text AS name,
    pg_catalog.format_type(attribute.atttypid, attribute.atttypmod) AS type,
    attribute.atttypid::bigint AS type_id,
    attribute.atttypmod <> -1 AS has_modifier,
    attribute.attnotnull AS is_not_null,
    attribute.atthasdef OR attribute.attidentity <> '' AS has_default,
    attribute.attgenerated <> '' OR attribute.attidentity = 'a' AS is_generated,
    pg_catalog.array_position(primary_key.columns, attribute.attnum)::smallint AS key_place,
    relation.relkind IN ('r', 'p') AS is_table
FROM pg_catalog.pg_class AS relation
JOIN pg_catalog.pg_attribute AS attribute ON attribute.attrelid = relation.oid
LEFT JOIN LATERAL (
    SELECT index.indkey::smallint[] AS columns FROM pg_catalog.pg_index AS index
    WHERE index.indrelid = relation.oid AND index.indisprimary
) AS primary_key ON true
WHERE relation.oid = pg_catalog.to_regclass($1::pg_catalog.text)::pg_catalog.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
ORDER BY attribute.attnum
