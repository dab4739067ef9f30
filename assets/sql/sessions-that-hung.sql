-- Requests of clients that nobody answered, and how long their session went on without an answer.
SELECT
  s.tape,
  s.client,
  s.server,
  s.server_version,
  r.method,
  r.name,
  round((newest.at_us - r.at_us) / 1e6, 1) AS waited_s,
  s.ended
FROM messages r
JOIN sessions s USING (tape)
JOIN (SELECT tape, max(at_us) AS at_us FROM messages GROUP BY tape) AS newest USING (tape)
WHERE r.kind = 'request' AND r.dir = 'c2s'
  AND r.method NOT IN ('subscriptions/listen')
  AND NOT EXISTS (FROM messages a WHERE a.tape = r.tape AND a.re = r.seq)
ORDER BY waited_s DESC;
