DELETE FROM "public"."orders" AS old
WHERE NOT EXISTS (SELECT FROM "public"."orders__rebuild" AS new WHERE new."id" OPERATOR(pg_catalog.=) old."id")
