ALTER TABLE idempotency_keys
  -- As it was sent: what a command wrote may have what jsonb has not.
  ALTER COLUMN body TYPE text USING body::text,
  -- Ids of what the request makes, noted before it does: the same request finds them again.
  ADD COLUMN made text[];
