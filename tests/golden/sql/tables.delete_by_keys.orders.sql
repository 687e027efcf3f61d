DELETE FROM "public"."orders"
WHERE ("id") OPERATOR(pg_catalog.=) ANY (SELECT "id" FROM pg_catalog.unnest($1::pg_catalog.uuid[]) AS given ("id"))
