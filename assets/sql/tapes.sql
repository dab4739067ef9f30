-- Tapes as tables, for DuckDB 1.2 or newer: run this first, then any other file of this folder.
--
--   duckdb -cmd "SET VARIABLE tapes = 'tapes/*.tape.jsonl*'" -cmd ".read assets/sql/tapes.sql" < assets/sql/slowest-tools-by-week.sql
--
-- Packed tapes (.zst) are read as they are; a glob such as 's3://bucket/team/**/*.tape.jsonl' after `INSTALL httpfs`.
-- A line that is torn or no JSON is passed over.

CREATE OR REPLACE VIEW lines AS
SELECT filename AS tape, json
FROM read_json_objects(getvariable('tapes'), format = 'newline_delimited', filename = true, ignore_errors = true, maximum_object_size = 268435456);

-- One row a tape. Who speaks may be known by a later mark only.
CREATE OR REPLACE VIEW sessions AS
SELECT
  tape,
  max(json ->> '$.session') AS session,
  max(json ->> '$.upstream') AS upstream,
  make_timestamp(max((json ->> '$.started')::BIGINT)) AS started,
  coalesce(max(json ->> '$.server.name'), max(json ->> '$.upstream')) AS server,
  max(json ->> '$.server.version') AS server_version,
  max(json ->> '$.client.name') AS client,
  max(json ->> '$.client.version') AS client_version,
  max(json ->> '$.protocol') AS protocol,
  max(CASE WHEN json ->> '$.mark' = 'end' THEN json ->> '$.reason' END) AS ended
FROM lines
WHERE json_exists(json, '$.tapline') OR json ->> '$.mark' IN ('peer', 'end')
GROUP BY tape;

-- One row a message; times in microseconds, from the start of the session and from the request to its reply.
CREATE OR REPLACE VIEW messages AS
SELECT
  tape,
  (json ->> '$.seq')::BIGINT AS seq,
  (json ->> '$.at')::BIGINT AS at_us,
  json ->> '$.dir' AS dir,
  json ->> '$.kind' AS kind,
  json ->> '$.method' AS method,
  json ->> '$.name' AS name,
  (json ->> '$.re')::BIGINT AS re,
  (json ->> '$.dt')::BIGINT AS took_us,
  (json ->> '$.status')::INTEGER AS status,
  (json ->> '$.msg.error.code')::BIGINT AS error_code,
  coalesce((json ->> '$.msg.result.isError')::BOOLEAN, false) AS tool_failed,
  json -> '$.msg' AS msg
FROM lines
WHERE json_exists(json, '$.seq');
