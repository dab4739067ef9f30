-- What the results of each tool cost a model, at about four bytes a token, and what its definition costs every session that lists it.
WITH results AS (
  SELECT s.server, m.name AS tool, count(*) AS calls, sum(length(m.msg ->> '$.result')) / 4 AS tokens, max(length(m.msg ->> '$.result')) / 4 AS largest
  FROM messages m JOIN sessions s USING (tape)
  WHERE m.method = 'tools/call' AND m.kind = 'result'
  GROUP BY ALL
), definitions AS (
  SELECT s.server, tool ->> '$.name' AS tool, max(length(tool::VARCHAR)) / 4 AS definition
  FROM messages m JOIN sessions s USING (tape), unnest(from_json(m.msg -> '$.result.tools', '["JSON"]')) AS listed(tool)
  WHERE m.method = 'tools/list' AND m.kind = 'result'
  GROUP BY ALL
)
SELECT server, tool, coalesce(calls, 0) AS calls, coalesce(tokens, 0)::BIGINT AS tokens, (tokens / calls)::BIGINT AS tokens_a_call, largest::BIGINT AS largest_call, definition::BIGINT AS definition
FROM results FULL JOIN definitions USING (server, tool)
ORDER BY tokens DESC, definition DESC NULLS LAST;
