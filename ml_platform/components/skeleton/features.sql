-- One row an event. Use only what was known at asked_at: a feature from later is a leak.
SELECT
  day,
  event_id,
  happened_at,
  happened_at - INTERVAL 1 HOUR AS asked_at,
  amount,
  kind,
  hour,
  outcome
FROM ${name}_events
