-- Limit how long each statement of the open transaction may take. Unlike a SELECT it takes no snapshot.
-- {milliseconds} is a number.
SET LOCAL statement_timeout = {milliseconds}
