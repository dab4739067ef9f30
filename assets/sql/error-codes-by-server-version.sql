-- What fails with which version of a server: errors of JSON-RPC, tools that say they failed, statuses of HTTP.
SELECT
  s.server,
  s.server_version,
  CASE WHEN m.error_code IS NOT NULL THEN 'error ' || m.error_code
       WHEN m.tool_failed THEN 'tool failed'
       ELSE 'HTTP ' || m.status END AS failure,
  coalesce(m.name, m.method) AS subject,
  count(*) AS times,
  count(DISTINCT m.tape) AS sessions
FROM messages m JOIN sessions s USING (tape)
WHERE m.error_code IS NOT NULL OR m.tool_failed OR m.status >= 400
GROUP BY ALL
ORDER BY times DESC, s.server, s.server_version;
