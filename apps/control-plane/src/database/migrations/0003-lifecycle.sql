ALTER TABLE capsules
  -- What it may do in time; its host enforces that.
  ADD COLUMN max_run_sec integer NOT NULL DEFAULT 0 CHECK (max_run_sec >= 0),
  ADD COLUMN on_timeout  text    NOT NULL DEFAULT 'pause' CHECK (on_timeout IN ('pause', 'destroy')),
  ADD COLUMN auto_resume boolean NOT NULL DEFAULT false,
  -- Anything, for whoever made it.
  ADD COLUMN metadata    jsonb   NOT NULL DEFAULT '{}',
  -- Null: the template's, until the host has told.
  ADD COLUMN disk_mib    integer CHECK (disk_mib > 0),
  -- The snapshot that it was created from, if its template is one. That may be gone.
  ADD COLUMN snapshot_id text,
  -- The capsule that it is a copy of.
  ADD COLUMN forked_from text;
-- Whether a snapshot is in use.
CREATE INDEX capsules_snapshot ON capsules (snapshot_id) WHERE snapshot_id IS NOT NULL AND state <> 'stopped';

-- What the settler looks for: capsules with a command under way.
DROP INDEX capsules_unsettled;
CREATE INDEX capsules_unsettled ON capsules (updated_at) WHERE state IN (
  'pending', 'starting', 'pausing', 'resuming', 'snapshotting', 'hibernating', 'stopping');

-- Snapshots that capsules can be created from. Each lies on one host.
CREATE TABLE snapshots (
  id          text        PRIMARY KEY,
  team_id     text        NOT NULL REFERENCES teams,
  name        text        NOT NULL,
  host_id     text        NOT NULL REFERENCES hosts,
  -- What it was taken of. That may be gone.
  capsule_id  text        NOT NULL,
  -- The image below it.
  template    text        NOT NULL,
  vcpus       integer     NOT NULL,
  memory_mib  integer     NOT NULL,
  disk_mib    integer,
  size_bytes  bigint,
  state       text        NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
  -- The control plane that works on it while it is creating or deleting.
  operated_by text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now()
);
-- A name is taken while it is being made, and free as soon as it is being deleted.
CREATE UNIQUE INDEX snapshots_name ON snapshots (team_id, name) WHERE state = 'ready';
CREATE UNIQUE INDEX snapshots_name_taken ON snapshots (team_id, name) WHERE state = 'creating';
CREATE INDEX snapshots_host ON snapshots (host_id);

-- Every change of a capsule's state, with its time: what a capsule used is computed from these.
CREATE TABLE capsule_transitions (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  capsule_id text        NOT NULL REFERENCES capsules ON DELETE CASCADE,
  -- Null: it was made.
  from_state text,
  to_state   text        NOT NULL,
  reason     text,
  generation bigint      NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX capsule_transitions_capsule ON capsule_transitions (capsule_id, id);

-- By the database, so that no statement can forget it.
CREATE FUNCTION note_capsule_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO capsule_transitions (capsule_id, from_state, to_state, reason, generation)
  VALUES (new.id, CASE WHEN tg_op = 'UPDATE' THEN old.state END, new.state, new.reason, new.generation);
  RETURN NULL;
END $$;
CREATE TRIGGER capsule_created AFTER INSERT ON capsules
  FOR EACH ROW EXECUTE FUNCTION note_capsule_transition();
CREATE TRIGGER capsule_moved AFTER UPDATE OF state ON capsules
  FOR EACH ROW WHEN (old.state IS DISTINCT FROM new.state) EXECUTE FUNCTION note_capsule_transition();

-- Requests that carried an Idempotency-Key, and what was answered: the same request gets the same answer.
CREATE TABLE idempotency_keys (
  team_id      text        NOT NULL REFERENCES teams ON DELETE CASCADE,
  key          text        NOT NULL,
  -- SHA-256 of method, path and body.
  request_hash bytea       NOT NULL CHECK (octet_length(request_hash) = 32),
  -- The control plane that works on the request. An answer ends that.
  operated_by  text,
  status       integer,
  body         jsonb,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (team_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
