-- Which tools are slow, and since when: the slowest of each week, by the 95th of 100 calls.
WITH weeks AS (
  SELECT
    date_trunc('week', s.started)::DATE AS week,
    s.server,
    m.name AS tool,
    count(*) AS calls,
    round(quantile_cont(m.took_us, 0.5) / 1000, 1) AS p50_ms,
    round(quantile_cont(m.took_us, 0.95) / 1000, 1) AS p95_ms
  FROM messages m JOIN sessions s USING (tape)
  WHERE m.method = 'tools/call' AND m.took_us IS NOT NULL
  GROUP BY ALL
)
FROM weeks
QUALIFY row_number() OVER (PARTITION BY week ORDER BY p95_ms DESC) <= 10
ORDER BY week DESC, p95_ms DESC;
